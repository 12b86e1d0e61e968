package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"postern/db"
	"postern/db/dbtest"
	"postern/internal/config"
	"postern/internal/portaltest"
	"postern/internal/throttle"
)

// console is an operator at the command line of one installation.
type console struct {
	t   *testing.T
	env map[string]string
}

func newConsole(t *testing.T) *console {
	t.Helper()
	return &console{t: t, env: map[string]string{"POSTERN_DATA": filepath.Join(t.TempDir(), "data"), "POSTERN_LISTEN": "127.0.0.1:0"}}
}

// eachConsole runs the test over an installation on each engine.
func eachConsole(t *testing.T, test func(t *testing.T, c *console)) {
	t.Helper()
	t.Run(string(db.SQLite), func(t *testing.T) {
		c := newConsole(t)
		c.do("migrate")
		test(t, c)
	})
	t.Run(string(db.PostgreSQL), func(t *testing.T) {
		c := newConsole(t)
		c.env["POSTERN_DATABASE"] = dbtest.NewPostgreSQL(t)
		c.do("migrate")
		test(t, c)
	})
}

func (c *console) data() string { return c.env["POSTERN_DATA"] }

// try runs a command with that on its standard input.
func (c *console) try(typed string, args ...string) (stdout string, err error) {
	c.t.Helper()
	var out, log bytes.Buffer
	err = c.run(c.t.Context(), args, strings.NewReader(typed), &out, &log)
	return out.String(), err
}

// run is the program. A panic is no refusal, but the other tests go on after it.
func (c *console) run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) (err error) {
	c.t.Helper()
	defer func() {
		if cause := recover(); cause != nil {
			c.t.Errorf("postern %s: panic: %v", strings.Join(args, " "), cause)
			err = errors.New("panic")
		}
	}()
	return run(ctx, args, func(name string) string { return c.env[name] }, stdin, stdout, stderr)
}

// do runs a command that must succeed and returns what it printed.
func (c *console) do(args ...string) string {
	c.t.Helper()
	out, err := c.try("", args...)
	if err != nil {
		c.t.Fatalf("postern %s: %v", strings.Join(args, " "), err)
	}
	return out
}

// refuse runs a command that must fail and say all that.
func (c *console) refuse(args []string, wants ...string) {
	c.t.Helper()
	out, err := c.try("", args...)
	if err == nil {
		c.t.Errorf("postern %s was not refused: %s", strings.Join(args, " "), out)
		return
	}
	for _, want := range wants {
		if !strings.Contains(err.Error(), want) {
			c.t.Errorf("postern %s does not say %q: %v", strings.Join(args, " "), want, err)
		}
	}
}

// create makes a user with portaltest.Password.
func (c *console) create(email string, more ...string) {
	c.t.Helper()
	args := append([]string{"user", "create", "--email", email, "--name", "Zoë Tester", "--password-stdin"}, more...)
	if out, err := c.try(portaltest.Password, args...); err != nil {
		c.t.Fatalf("make %s: %v %s", email, err, out)
	}
}

// show is a user as programs read it.
func (c *console) show(email string) map[string]any {
	c.t.Helper()
	var user map[string]any
	if err := json.Unmarshal([]byte(c.do("user", "show", email)), &user); err != nil {
		c.t.Fatal(err)
	}
	return user
}

// list is what a list prints with --json.
func (c *console) list(args ...string) []map[string]any {
	c.t.Helper()
	var rows []map[string]any
	if err := json.Unmarshal([]byte(c.do(append(args, "--json")...)), &rows); err != nil {
		c.t.Fatal(err)
	}
	return rows
}

// open opens the installation as a command would.
func (c *console) open() *portal {
	c.t.Helper()
	p := &program{stdout: io.Discard, stderr: io.Discard, flags: config.Flags{Listen: "127.0.0.1:0", Data: c.data(),
		URL: c.env["POSTERN_URL"], Database: c.env["POSTERN_DATABASE"], MailFrom: "Portal <portal@vendor.example>"}}
	opened, err := p.open(c.t.Context(), opening{create: true})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() {
		if err := opened.close(); err != nil {
			c.t.Error(err)
		}
	})
	return opened
}

// signsIn says whether login and password let somebody in from that address.
func signsIn(t *testing.T, p *portal, address, login, password string) error {
	t.Helper()
	_, err := p.account.SignIn(t.Context(), portaltest.Visit(address), login, password)
	return err
}

func TestAUserMadeByCommandIsWhatWasSaid(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.do("organization", "create", "Acme GmbH")
		c.create("Ann@Acme.example", "--username", "Ann", "--organization", "acme  gmbh", "--role", "portal_administrator")
		want := map[string]any{"email": "Ann@Acme.example", "username": "ann", "name": "Zoë Tester", "organization": "Acme GmbH",
			"role": "portal_administrator", "status": "active", "totp": false}
		got := c.show("ann@acme.EXAMPLE")
		if id, ok := got["id"].(float64); !ok || id < 1 {
			t.Errorf("the id is %v", got["id"])
		}
		delete(got, "id")
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("show says %v instead of %v", got, want)
		}
		c.do("user", "create", "--email", "bob@acme.example", "--name", "Bob", "--invite")
		c.do("user", "create", "--email", "cyd@acme.example", "--name", "Cyd")
		users := c.list("user", "list")
		if len(users) != 3 || users[0]["email"] != "Ann@Acme.example" || users[1]["status"] != "invited" || users[1]["role"] != "customer" {
			t.Errorf("list says %v", users)
		}
		if fmt.Sprint(users[0]) != fmt.Sprint(c.show("ann@acme.example")) {
			t.Errorf("list and show differ: %v", users[0])
		}
		if n, err := c.open().db.Reader().CountMessages(t.Context(), db.MessageQueued); err != nil || n != 1 {
			t.Errorf("%d mails wait instead of the one invitation: %v", n, err)
		}
	})
}

func TestThePasswordIsTheFirstLineAndNothingElse(t *testing.T) {
	c := newConsole(t)
	p := c.open()
	for name, typed := range map[string]struct{ input, password string }{
		"no newline":     {"Quiet-Harbour-42-Lantern", "Quiet-Harbour-42-Lantern"},
		"newline":        {"Quiet-Harbour-42-Lantern\n", "Quiet-Harbour-42-Lantern"},
		"windows":        {"Quiet-Harbour-42-Lantern\r\n", "Quiet-Harbour-42-Lantern"},
		"more lines":     {"Quiet-Harbour-42-Lantern\nsecond line\n", "Quiet-Harbour-42-Lantern"},
		"blanks at ends": {"  Quiet-Harbour-42 \n", "  Quiet-Harbour-42 "},
	} {
		t.Run(name, func(t *testing.T) {
			email := strings.ReplaceAll(name, " ", "") + "@acme.example"
			if _, err := c.try(typed.input, "user", "create", "--email", email, "--name", "Zoë", "--password-stdin"); err != nil {
				t.Fatal(err)
			}
			if err := signsIn(t, p, "192.0.2.1", email, typed.password); err != nil {
				t.Errorf("the password does not work: %v", err)
			}
		})
	}
}

func TestAUserThatCannotBeIsRefusedInWordsAndNotMade(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example", "--username", "ann")
		for name, test := range map[string]struct {
			password string
			args     []string
			wants    []string
		}{
			"weak":             {"password", nil, []string{"password:", "a capital letter", "common password"}},
			"own name":         {"Zoë-Tester-4711-x", nil, []string{"It holds your name"}},
			"no password":      {"", nil, []string{"Enter a password."}},
			"empty line first": {"\n" + portaltest.Password, nil, []string{"Enter a password."}},
			"endless password": {strings.Repeat("Aa1!", 2000), nil, []string{"Use 256 characters at most."}},
			"taken address":    {portaltest.Password, []string{"--email", "ANN@acme.example"}, []string{"email: Another user has this address."}},
			"taken username":   {portaltest.Password, []string{"--username", "ANN"}, []string{"username: This username is taken"}},
			"bad username":     {portaltest.Password, []string{"--username", "a@b"}, []string{"username: Use 3 to 32"}},
			"bad address":      {portaltest.Password, []string{"--email", "Zoë <zoe@acme.example>"}, []string{"email: Enter an e-mail address"}},
			"unknown role":     {portaltest.Password, []string{"--role", "king"}, []string{"role: There is no such role."}},
			"unknown organization": {portaltest.Password, []string{"--organization", "Nowhere"},
				[]string{"organization: There is no such organization."}},
			"administrator of nothing": {portaltest.Password, []string{"--role", "portal_administrator"}, []string{"--organization"}},
			"two ways":                 {portaltest.Password, []string{"--invite"}, []string{"--invite", "--password-stdin"}},
		} {
			t.Run(name, func(t *testing.T) {
				args := []string{"user", "create", "--name", "Zoë Tester", "--password-stdin"}
				if !slices.Contains(test.args, "--email") {
					args = append(args, "--email", "zoe@acme.example")
				}
				out, err := c.try(test.password, append(args, test.args...)...)
				if err == nil {
					t.Fatalf("not refused: %s", out)
				}
				for _, want := range test.wants {
					if !strings.Contains(err.Error(), want) {
						t.Errorf("it does not say %q: %v", want, err)
					}
				}
				if strings.Contains(out, "Created") {
					t.Errorf("it says: %s", out)
				}
			})
		}
		c.refuse([]string{"user", "create", "--name", "Zoë"}, "--email")
		if users := c.list("user", "list"); len(users) != 1 {
			t.Errorf("there are %d users instead of one: %v", len(users), users)
		}
	})
}

func TestListsAreArraysForProgramsAlsoWhenEmpty(t *testing.T) {
	eachConsole(t, func(_ *testing.T, c *console) {
		for _, list := range [][]string{{"user", "list", "--json"}, {"organization", "list", "--json"}} {
			if out := c.do(list...); strings.TrimSpace(out) != "[]" {
				c.t.Errorf("%v prints %q", list, out)
			}
		}
	})
}

func TestALongListIsWhole(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.crowd(1201)
		seen := map[any]bool{}
		for _, user := range c.list("user", "list") {
			seen[user["email"]] = true
		}
		if len(seen) != 1201 {
			t.Errorf("%d of 1201 users are in the list", len(seen))
		}
	})
}

func TestAnOperatorReadsTablesOnATerminal(t *testing.T) {
	script, err := exec.LookPath("script")
	if err != nil {
		t.Skip("script, which makes a terminal, was not found")
	}
	c := newConsole(t)
	c.do("organization", "create", "Acme GmbH")
	c.create("ann@acme.example", "--organization", "Acme GmbH")
	for command, want := range map[string]string{"user list": "EMAIL", "organization list": "NAME"} {
		run := exec.Command(script, "-qec", built(t)+" --data "+c.data()+" "+command, "/dev/null")
		out, err := run.CombinedOutput()
		if err != nil || !strings.Contains(string(out), want) || !strings.Contains(string(out), "Acme GmbH") || strings.Contains(string(out), "{") {
			t.Errorf("%s: %v %s", command, err, out)
		}
	}
}

func TestADeactivatedUserIsOutUntilActivated(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example")
		p := c.open()
		in, err := p.account.SignIn(t.Context(), portaltest.Visit("192.0.2.1"), "ann@acme.example", portaltest.Password)
		if err != nil || in.Session == "" {
			t.Fatal(err)
		}
		c.do("user", "deactivate", "ANN@acme.example")
		c.do("user", "deactivate", "ann@acme.example") // twice is no error
		user, err := p.db.Reader().UserByEmail(t.Context(), "ann@acme.example")
		if err != nil || c.show("ann@acme.example")["status"] != "inactive" || user.Epoch != 2 {
			t.Errorf("after deactivating: %v %v %v", c.show("ann@acme.example"), user.Epoch, err)
		}
		if err := signsIn(t, p, "192.0.2.1", "ann@acme.example", portaltest.Password); err == nil {
			t.Error("a deactivated user got in")
		}
		c.refuse([]string{"user", "reset-password", "ann@acme.example"}, "activate")
		c.do("user", "activate", "ann@acme.example")
		if err := signsIn(t, p, "192.0.2.1", "ann@acme.example", portaltest.Password); err != nil {
			t.Errorf("an activated user is still out: %v", err)
		}
	})
}

func TestUnlockLetsALockedOutUserBackIn(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example", "--username", "ann")
		p := c.open()
		for range 5 {
			_ = signsIn(t, p, "192.0.2.1", "ann", "wrong")
		}
		err := signsIn(t, p, "192.0.2.1", "ann", portaltest.Password)
		if _, held := errors.AsType[*throttle.HeldError](err); !held {
			t.Fatalf("five wrong passwords and the answer is: %v", err)
		}
		c.do("user", "unlock", "ann@acme.example")
		if err := signsIn(t, p, "192.0.2.1", "ann", portaltest.Password); err != nil {
			t.Errorf("still locked out: %v", err)
		}
	})
}

func TestUnlockOpensWhatThisWasNotMeHasShut(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example")
		p := c.open()
		user, err := p.db.Reader().UserByEmail(t.Context(), "ann@acme.example")
		if err != nil {
			t.Fatal(err)
		}
		if err := p.db.Update(t.Context(), func(tx *db.Tx) error { return tx.CloseUser(t.Context(), user.ID) }); err != nil {
			t.Fatal(err)
		}
		c.refuse([]string{"user", "reset-password", "ann@acme.example"}, "unlock")
		c.do("user", "unlock", "ann@acme.example")
		if link := strings.TrimSpace(c.do("user", "reset-password", "ann@acme.example")); !strings.Contains(link, "/reset-password/") {
			t.Errorf("it prints %q", link)
		}
	})
}

func TestADeletedUserIsGoneAndTheAddressIsFree(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("ann@acme.example", "--username", "ann")
		before := c.show("ann@acme.example")["id"]
		c.do("user", "delete", "ann@acme.example")
		c.refuse([]string{"user", "show", "ann@acme.example"}, "ann@acme.example")
		if users := c.list("user", "list"); len(users) != 0 {
			t.Errorf("the list still holds %v", users)
		}
		c.create("ann@acme.example", "--username", "ann")
		if after := c.show("ann@acme.example")["id"]; after == before {
			t.Errorf("the id %v was given to somebody else", after)
		}
	})
}

func TestTheLastOwnerStays(t *testing.T) {
	acts := [][]string{{"user", "delete", "own@acme.example"}, {"user", "deactivate", "own@acme.example"},
		{"user", "set-role", "own@acme.example", "customer"}}
	eachConsole(t, func(t *testing.T, c *console) {
		c.create("own@acme.example", "--role", "owner")
		// Neither of these can sign in, so neither is an owner that counts.
		c.do("user", "create", "--email", "invited@acme.example", "--name", "I", "--role", "owner", "--invite")
		c.create("off@acme.example", "--role", "owner")
		c.do("user", "deactivate", "off@acme.example")
		for _, act := range acts {
			c.refuse(act, "last active owner")
		}
		if own := c.show("own@acme.example"); own["role"] != "owner" || own["status"] != "active" {
			t.Fatalf("the last owner is now %v", own)
		}
		c.do("user", "activate", "off@acme.example")
		c.do("user", "set-role", "own@acme.example", "customer")
		if own := c.show("own@acme.example"); own["role"] != "customer" {
			t.Errorf("with a second owner the first is still %v", own)
		}
	})
}

func TestARoleIsGivenOnlyWhereItFits(t *testing.T) {
	eachConsole(t, func(_ *testing.T, c *console) {
		c.create("ann@acme.example")
		c.refuse([]string{"user", "set-role", "ann@acme.example", "king"}, "There is no such role.")
		c.refuse([]string{"user", "set-role", "ann@acme.example", "portal_administrator"}, "organization")
		c.do("user", "set-role", "ann@acme.example", "support")
		if role := c.show("ann@acme.example")["role"]; role != "support" {
			c.t.Errorf("the role is %v", role)
		}
	})
}

func TestWhoIsNotThereIsSaidByName(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	for _, act := range [][]string{{"show"}, {"activate"}, {"deactivate"}, {"unlock"}, {"delete"}, {"reset-password"}} {
		c.refuse([]string{"user", act[0], "ghost@acme.example"}, "ghost@acme.example", "no user")
	}
	c.refuse([]string{"user", "set-role", "ghost@acme.example", "support"}, "ghost@acme.example", "no user")
	for _, act := range []string{"activate", "deactivate"} {
		c.refuse([]string{"organization", act, "Ghost Ltd"}, "Ghost Ltd", "no organization")
	}
}

func TestADeactivatedOrganizationKeepsItsUsersOut(t *testing.T) {
	eachConsole(t, func(t *testing.T, c *console) {
		c.do("organization", "create", "Acme GmbH")
		c.refuse([]string{"organization", "create", " ACME   gmbh "}, "This name is taken.")
		c.create("ann@acme.example", "--organization", "Acme GmbH")
		c.create("bob@acme.example")
		p := c.open()
		c.do("organization", "deactivate", "acme gmbh")
		if got := c.list("organization", "list"); len(got) != 1 || got[0]["name"] != "Acme GmbH" || got[0]["status"] != "inactive" {
			t.Errorf("list says %v", got)
		}
		if err := signsIn(t, p, "192.0.2.1", "ann@acme.example", portaltest.Password); err == nil {
			t.Error("a user of a deactivated organization got in")
		}
		if err := signsIn(t, p, "192.0.2.1", "bob@acme.example", portaltest.Password); err != nil {
			t.Errorf("a stranger to it is out: %v", err)
		}
		c.refuse([]string{"user", "reset-password", "ann@acme.example"}, "organization")
		c.do("organization", "activate", "Acme GmbH")
		if err := signsIn(t, p, "192.0.2.2", "ann@acme.example", portaltest.Password); err != nil {
			t.Errorf("still out: %v", err)
		}
	})
}

func TestNothingSaidPrintsHelpAndNonsenseIsAnError(t *testing.T) {
	c := newConsole(t)
	help := c.do()
	for _, command := range []string{"serve", "user create", "organization", "settings set", "doctor", "migrate", "version", "$POSTERN_MAIL_FROM"} {
		if !strings.Contains(help, command) {
			t.Errorf("help does not mention %s:\n%s", command, help)
		}
	}
	if n := strings.Count(help, "Usage:"); n != 1 {
		t.Errorf("help is printed %d times", n)
	}
	if out := c.do("user", "create", "--help"); !strings.Contains(out, "--password-stdin") {
		t.Errorf("help of a command is %s", out)
	}
	c.refuse([]string{"frobnicate"}, "frobnicate")
	c.refuse([]string{"serve", "--bogus"}, "--bogus")
	c.refuse([]string{"user"}, "list")
	c.refuse([]string{"user", "show"}, "email")
	if made, err := exists(c.data()); err != nil || made {
		t.Errorf("asking for help made the data folder: %v", err)
	}
	if out := c.do("version"); !strings.HasPrefix(out, "postern ") || len(strings.Fields(out)) != 2 {
		t.Errorf("the version is %q", out)
	}
}

func TestACommandThatNeedsAPortalDoesNotMakeOne(t *testing.T) {
	c := newConsole(t)
	for _, args := range [][]string{{"user", "list"}, {"user", "show", "ann@acme.example"}, {"settings", "list"}, {"settings", "get", "portal.name"},
		{"organization", "list"}, {"doctor"}} {
		_, err := c.try("", args...)
		if made, _ := exists(c.data()); err == nil || made {
			t.Errorf("%v on nothing: %v, made a folder: %v", args, err, made)
		}
	}
	c.refuse([]string{"user", "list"}, "POSTERN_DATA", "postern serve")
}

func TestAFlagGoesBeforeItsVariable(t *testing.T) {
	c := newConsole(t)
	c.do("migrate")
	c.create("ann@acme.example")
	other := newConsole(t)
	if users := other.list("user", "list", "--data", c.data()); len(users) != 1 {
		t.Errorf("the flag was not followed: %v", users)
	}
	if made, _ := exists(other.data()); made {
		t.Error("the variable was followed, too")
	}
}

func TestCommandsTakeTheAddressThatServeWasStartedWith(t *testing.T) {
	c := newConsole(t)
	p := c.open()
	if err := p.db.Update(t.Context(), func(tx *db.Tx) error { return tx.SetFact(t.Context(), db.FactURL, "https://lighthouse.example") }); err != nil {
		t.Fatal(err)
	}
	c.create("ann@acme.example")
	if link := c.do("user", "reset-password", "ann@acme.example"); !strings.HasPrefix(link, "https://lighthouse.example/reset-password/") {
		t.Errorf("the link is %s", link)
	}
	t.Run("for the words of the host in a password", func(t *testing.T) {
		out, err := c.try("Lighthouse-Kiosk-42-Umbra", "user", "create", "--email", "bob@acme.example", "--name", "Bob", "--password-stdin")
		if err == nil || !strings.Contains(err.Error(), "a name of the portal") {
			t.Errorf("a word of the host is in the password, and the answer is %v %s", err, out)
		}
	})
	c.env["POSTERN_URL"] = "https://other.example"
	if link := c.do("user", "reset-password", "ann@acme.example"); !strings.HasPrefix(link, "https://other.example/reset-password/") {
		t.Errorf("the link is %s", link)
	}
}
