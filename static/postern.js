// What pages do more smoothly with scripts. Everything works without this file.
(() => {
  "use strict";

  const announcer = () => document.getElementById("announcer");

  // The buttons that only a script can make work.
  const unhide = (root) => {
    for (const button of root.querySelectorAll("button[data-shows], button[data-copies], button[data-prints]")) button.hidden = false;
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-shows]");
    if (!button) return;
    const input = document.getElementById(button.dataset.shows);
    const show = input.type === "password";
    input.type = show ? "text" : "password";
    button.setAttribute("aria-pressed", String(show));
    button.firstChild.data = show ? "Hide" : "Show";
    input.focus();
  });

  // A password is never submitted while it is shown: browsers would offer to complete it.
  document.addEventListener("submit", (event) => {
    event.target.dataset.submitted = "";
    for (const button of event.target.querySelectorAll('button[data-shows][aria-pressed="true"]')) button.click();
  });

  // Links of an error summary put the focus into the field.
  document.addEventListener("click", (event) => {
    const link = event.target.closest(".summary a[href^='#']");
    const field = link && document.getElementById(link.getAttribute("href").slice(1));
    if (!field) return;
    event.preventDefault();
    field.focus();
  });

  // The judgement on a password needs two fields and what is known of the person, no more.
  const judged = new Set(["password", "confirm", "for", "name", "email", "username", "portal_name"]);
  document.addEventListener("htmx:config:request", (event) => {
    const request = event.detail.ctx.request;
    if (request.action !== "/password/strength") return;
    // What was just sent is judged there; the link that allowed to ask may be used up by now.
    if (event.detail.ctx.sourceElement.closest("form[data-submitted]")) event.preventDefault();
    for (const key of [...request.body.keys()]) if (!judged.has(key)) request.body.delete(key);
  });

  // What opened a form in place, so that the focus can go back there.
  let opener = null;

  // After something was opened in place: the focus goes to its error, or its first field.
  document.addEventListener("htmx:after:swap", (event) => {
    const target = event.detail.ctx?.target;
    const spoken = target?.querySelector?.("[data-announce]")?.dataset.announce;
    if (target?.classList?.contains("judgement")) {
      if (spoken && announcer()) announcer().textContent = spoken;
      return;
    }
    unhide(document);
    // What the page before had to say is over once something was opened or sent here.
    const opened = target?.matches?.("section, .act");
    if (opened) document.querySelector("main > .notice")?.remove();
    if (target?.id === "results") {
      if (announcer()) announcer().textContent = document.getElementById("results").dataset.announce;
      return;
    }
    const panel = document.querySelector(".panel.open, .act:has(.card)");
    const wanted = panel
      ? panel.querySelector("[data-focus]") || panel.querySelector("[data-first]") || panel.querySelector(".primary")
      : (opened && document.querySelector("main [data-focus]")) || (opener && document.querySelector(`.panel a[href="${opener}"]`));
    if (wanted) wanted.focus();
  });

  // A panel knows that something is open in it, and what opened it.
  document.addEventListener("htmx:before:request", (event) => {
    const source = event.detail.ctx?.sourceElement;
    const panel = source?.closest?.(".panel");
    if (source?.matches?.("[hx-target='#act']")) opener = source.getAttribute("href");
    if (!panel) return;
    panel.classList.toggle("open", !source.hasAttribute("data-cancel"));
    if (source.matches(".row a.button")) opener = source.getAttribute("href");
  });

  // Escape leaves what was opened in place, and menus.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    const menu = document.querySelector("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
      return;
    }
    const cancel = event.target.closest?.(".panel, .act")?.querySelector("[data-cancel]");
    if (cancel) cancel.click();
  });

  // What asks before an act is closed where it was opened.
  document.addEventListener("click", (event) => {
    const act = event.target.closest("[data-cancel]")?.closest(".act");
    if (!act) return;
    event.preventDefault();
    act.replaceChildren();
    document.querySelector(`a[hx-target='#act'][href="${opener}"]`)?.focus();
  });

  // Clicks elsewhere close the menu.
  document.addEventListener("click", (event) => {
    for (const menu of document.querySelectorAll("details.menu[open]")) {
      if (!menu.contains(event.target)) menu.open = false;
    }
  });

  // A page that comes back from the browser's memory may be of a session that has ended.
  window.addEventListener("pageshow", (event) => {
    if (event.persisted) location.reload();
  });

  // The buttons at recovery codes.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-copies], button[data-prints]");
    if (!button) return;
    if ("prints" in button.dataset) {
      window.print();
      return;
    }
    const codes = [...document.querySelectorAll(`${button.dataset.copies} code`)].map((code) => code.textContent);
    navigator.clipboard.writeText(codes.join("\n")).then(() => {
      button.textContent = "Copied";
      if (announcer()) announcer().textContent = "Copied";
    });
  });

  // On phones the sections scroll sideways: the current one is to be seen.
  const sections = document.querySelector(".sections");
  const here = sections?.querySelector("[aria-current]");
  if (here) sections.scrollLeft = here.offsetLeft + here.offsetWidth - sections.clientWidth + 16;

  unhide(document);
  const first = document.querySelector("[data-focus]") || document.querySelector("[data-first]");
  if (first) first.focus();
})();
