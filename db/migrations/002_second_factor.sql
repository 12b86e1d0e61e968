-- What a user enters codes from. The secret is sealed for its user.
CREATE TABLE authenticator (
	user_id      {{int}} PRIMARY KEY REFERENCES user_account (id),
	secret       {{bytes}} NOT NULL,
	confirmed_at {{int}} NOT NULL,
	last_step    {{int}} NOT NULL               -- the latest time step whose code was used
) {{strict}};

-- An authenticator that is shown but not confirmed yet.
CREATE TABLE enrolment (
	user_id    {{int}} PRIMARY KEY REFERENCES user_account (id),
	secret     {{bytes}} NOT NULL,
	expires_at {{int}} NOT NULL
) {{strict}};

-- One-time stand-ins for the authenticator. A set shares its salt, so that an attempt costs
-- one hash.
CREATE TABLE recovery_code (
	id      {{id}},
	user_id {{int}} NOT NULL REFERENCES user_account (id),
	salt    {{bytes}} NOT NULL,
	hash    {{bytes}} NOT NULL,
	used_at {{int}} NOT NULL
) {{strict}};
CREATE INDEX recovery_code_user_id ON recovery_code (user_id);

ALTER TABLE session ADD COLUMN code_owed {{bool}} NOT NULL DEFAULT FALSE;    -- password given, code not yet
ALTER TABLE session ADD COLUMN wrong_codes {{int}} NOT NULL DEFAULT 0;

ALTER TABLE browser ADD COLUMN address TEXT NOT NULL DEFAULT '';
ALTER TABLE browser ADD COLUMN trusted_until {{int}} NOT NULL DEFAULT 0;     -- needs no code until then,
ALTER TABLE browser ADD COLUMN trusted_epoch {{int}} NOT NULL DEFAULT 0;     -- while the user has this epoch

-- The chain over the audit trail: events in the order of their positions, each code made
-- from the one before and every column.
ALTER TABLE audit_event ADD COLUMN position {{int}};                         -- NULL until sealed
ALTER TABLE audit_event ADD COLUMN code {{bytes}};
CREATE UNIQUE INDEX audit_event_position ON audit_event (position);
CREATE INDEX audit_event_unsealed ON audit_event (id) WHERE position IS NULL;
CREATE INDEX audit_event_actor_id ON audit_event (actor_id, id);
CREATE INDEX audit_event_action ON audit_event (action, id);
CREATE INDEX audit_event_organization_id ON audit_event (organization_id, id);
CREATE INDEX audit_event_at ON audit_event (at);

-- The import that is under way, or was cut off; there is one at a time. Its users and
-- organizations are made in short batches that nobody sees (deleted_at is -1, importing is
-- 1) and all become real in one statement, so that no writer waits for a hundred thousand
-- rows. Who did it is kept for the events that follow.
CREATE TABLE import (
	id         {{id}},
	actor_kind TEXT NOT NULL,
	actor_id   {{int}} NOT NULL,
	address    TEXT NOT NULL,
	user_agent TEXT NOT NULL,
	request_id TEXT NOT NULL,
	invite     {{bool}} NOT NULL,
	made_at    {{int}} NOT NULL,                -- when its users became real; 0 before
	created_at {{int}} NOT NULL
) {{strict}};

-- What it has read, until the event and the invitation of the row are written.
CREATE TABLE import_row (
	line                {{int}} PRIMARY KEY,
	email               TEXT NOT NULL,
	email_folded        TEXT NOT NULL,
	username            TEXT,
	name                TEXT NOT NULL,
	name_folded         TEXT NOT NULL,
	organization_folded TEXT NOT NULL,          -- empty for none
	role                TEXT NOT NULL,
	password_hash       TEXT NOT NULL,
	user_id             {{int}}                 -- once the user is made
) {{strict}};

-- Staff are few among many.
CREATE INDEX user_account_role ON user_account (role);

ALTER TABLE organization ADD COLUMN importing {{int}} NOT NULL DEFAULT 0;    -- 1: not there yet; 2: there, not recorded yet
