-- {{id}}, {{int}}, {{bool}}, {{bytes}} and {{strict}} stand for what SQLite and PostgreSQL
-- call differently (db/migrate.go). Times are milliseconds since 1970, UTC; 0 is never.

-- Facts about this installation, by name.
CREATE TABLE instance (
	name  TEXT PRIMARY KEY,
	value TEXT NOT NULL
) {{strict}};

-- Settings that differ from their default.
CREATE TABLE setting (
	key   TEXT PRIMARY KEY,
	value TEXT NOT NULL
) {{strict}};

CREATE TABLE role (
	id          TEXT PRIMARY KEY,
	name        TEXT NOT NULL,
	scope       TEXT NOT NULL,          -- everybody, organization
	permissions TEXT NOT NULL,          -- separated by blanks
	built_in    {{bool}} NOT NULL
) {{strict}};

INSERT INTO role (id, name, scope, permissions, built_in) VALUES
	('owner', 'Owner', 'everybody', 'users.view users.edit users.reset_password users.reset_totp organizations.edit roles.edit settings.edit mail.view audit.view', TRUE),
	('support', 'Support', 'everybody', 'users.view users.reset_password users.reset_totp mail.view', TRUE),
	('auditor', 'Auditor', 'everybody', 'users.view audit.view', TRUE),
	('portal_administrator', 'Portal administrator', 'organization', 'users.view users.edit users.reset_password users.reset_totp audit.view', TRUE),
	('customer', 'Customer', 'organization', '', TRUE);

CREATE TABLE organization (
	id               {{id}},
	name             TEXT NOT NULL,
	name_folded      TEXT NOT NULL UNIQUE,
	contact_owner_id {{int}},           -- the staff user who looks after it
	active           {{bool}} NOT NULL,
	created_at       {{int}} NOT NULL
) {{strict}};

CREATE TABLE user_account (
	id                     {{id}},
	email                  TEXT NOT NULL,         -- as typed
	email_folded           TEXT NOT NULL UNIQUE,
	username               TEXT UNIQUE,           -- folded; NULL for none
	name                   TEXT NOT NULL,
	name_folded            TEXT NOT NULL,         -- to sort and search by
	phone                  TEXT NOT NULL,
	time_zone              TEXT NOT NULL,
	notify_sign_in         {{bool}} NOT NULL,
	organization_id        {{int}} REFERENCES organization (id),
	role                   TEXT NOT NULL REFERENCES role (id),
	active                 {{bool}} NOT NULL,
	password_hash          TEXT NOT NULL,         -- PHC string; empty for none
	password_set_at        {{int}} NOT NULL,      -- 0 while invited
	invitation_accepted_at {{int}} NOT NULL,
	last_sign_in_at        {{int}} NOT NULL,
	pending_email          TEXT NOT NULL,         -- waits for its confirmation; empty for none
	epoch                  {{int}} NOT NULL,      -- sessions, links and trust of older epochs are dead
	epoch_at               {{int}} NOT NULL,
	wrong_passwords        {{int}} NOT NULL,      -- in a row, from unknown browsers
	closed_at              {{int}} NOT NULL,      -- "this was not me": no password sign-in, no recovery
	deleted_at             {{int}} NOT NULL,
	created_at             {{int}} NOT NULL
) {{strict}};
CREATE INDEX user_account_name_folded ON user_account (name_folded, id);
CREATE INDEX user_account_organization_id ON user_account (organization_id, role);

-- What a mailed link holds, by the hash of its token.
CREATE TABLE link (
	id            {{id}},
	token_hash    {{bytes}} NOT NULL UNIQUE,
	purpose       TEXT NOT NULL,                  -- reset, invitation, verify_email, not_me
	user_id       {{int}} NOT NULL REFERENCES user_account (id),
	email         TEXT NOT NULL,                  -- mailed to; empty when printed for the operator
	epoch         {{int}} NOT NULL,
	message_id    {{int}} NOT NULL,               -- the outbox message that carries it; 0 for none
	restore_email TEXT NOT NULL,                  -- not_me after a change of address: the old one
	failures      {{int}} NOT NULL,               -- wrong usernames
	created_at    {{int}} NOT NULL,
	expires_at    {{int}} NOT NULL,
	used_at       {{int}} NOT NULL,
	revoked_at    {{int}} NOT NULL
) {{strict}};
CREATE INDEX link_user_id ON link (user_id, purpose);
CREATE INDEX link_expires_at ON link (expires_at);

CREATE TABLE session (
	id           {{id}},
	token_hash   {{bytes}} NOT NULL UNIQUE,
	user_id      {{int}} NOT NULL REFERENCES user_account (id),
	epoch        {{int}} NOT NULL,
	created_at   {{int}} NOT NULL,
	last_seen_at {{int}} NOT NULL,
	proven_at    {{int}} NOT NULL,                -- the latest fresh proof
	ended_at     {{int}} NOT NULL,                -- a tombstone: a late commit cannot bring it back
	data         {{bytes}} NOT NULL,
	address      TEXT NOT NULL,
	user_agent   TEXT NOT NULL
) {{strict}};
CREATE INDEX session_user_id ON session (user_id, ended_at);
CREATE INDEX session_last_seen_at ON session (last_seen_at);

-- Browsers in which a user has signed in, or completed a reset.
CREATE TABLE browser (
	id           {{id}},
	token_hash   {{bytes}} NOT NULL,
	user_id      {{int}} NOT NULL REFERENCES user_account (id),
	created_at   {{int}} NOT NULL,
	last_seen_at {{int}} NOT NULL,
	user_agent   TEXT NOT NULL,
	UNIQUE (token_hash, user_id)
) {{strict}};
CREATE INDEX browser_user_id ON browser (user_id);

-- Mail, in the transaction that caused it. No link and no text is kept here: both are
-- made when it is sent.
CREATE TABLE outbox (
	id          {{id}},
	kind        TEXT NOT NULL,
	user_id     {{int}},
	recipient   TEXT NOT NULL,
	data        TEXT NOT NULL,                    -- JSON
	state       TEXT NOT NULL,                    -- queued, sending, sent, failed, dropped
	attempts    {{int}} NOT NULL,
	due_at      {{int}} NOT NULL,                 -- while sending: when the lease ends
	created_at  {{int}} NOT NULL,
	finished_at {{int}} NOT NULL,
	answer      TEXT NOT NULL                     -- the mail server's last word, or why it was dropped
) {{strict}};
CREATE INDEX outbox_due ON outbox (state, due_at);
CREATE INDEX outbox_user_id ON outbox (user_id, id);

-- Rates, each one number by the generic cell rate algorithm.
CREATE TABLE rate (
	key     {{bytes}} PRIMARY KEY,
	full_at {{int}} NOT NULL
) {{strict}};
CREATE INDEX rate_full_at ON rate (full_at);

-- Failures in a row, with growing waits.
CREATE TABLE failure (
	key        {{bytes}} PRIMARY KEY,
	count      {{int}} NOT NULL,
	held_until {{int}} NOT NULL,
	updated_at {{int}} NOT NULL
) {{strict}};
CREATE INDEX failure_updated_at ON failure (updated_at);

CREATE TABLE audit_event (
	id              {{id}},
	at              {{int}} NOT NULL,
	action          TEXT NOT NULL,                -- past tense: password_reset.requested
	outcome         TEXT NOT NULL,                -- done, refused
	actor_kind      TEXT NOT NULL,                -- user, operator, system, visitor
	actor_id        {{int}},
	user_id         {{int}},                      -- whom it concerns
	organization_id {{int}},                      -- the one it concerned then
	detail          TEXT NOT NULL,                -- JSON
	address         TEXT NOT NULL,
	user_agent      TEXT NOT NULL,
	request_id      TEXT NOT NULL
) {{strict}};
CREATE INDEX audit_event_user_id ON audit_event (user_id, id);
