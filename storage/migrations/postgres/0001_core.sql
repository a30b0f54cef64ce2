-- compatible: 1
--
-- `owner` is accounts.id and stands first in every primary key (docs/architecture.md, "Storage"): a table that has it can be
-- distributed by it, so there are no foreign keys. Every such table is listed in storage/postgres/accounts.py, so that
-- deleting an account empties it. Text is compared by code points (COLLATE "C"), whatever the database's locale.

CREATE TABLE accounts (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,  -- from a sequence: an id is never used again
    domain text COLLATE "C" NOT NULL,
    local text COLLATE "C" NOT NULL,
    created double precision NOT NULL,                   -- times are seconds since the epoch
    seen_at double precision,                            -- NULL: no session has ended yet
    seen_status text NOT NULL DEFAULT '',
    UNIQUE (domain, local)
) WITH (fillfactor = 80);  -- room for the next "last seen" beside the last one

CREATE TABLE scram_keys (
    owner bigint NOT NULL,
    hash text COLLATE "C" NOT NULL,                      -- sha1, sha256, sha512
    salt bytea NOT NULL,
    iterations integer NOT NULL,
    stored_key bytea NOT NULL,
    server_key bytea NOT NULL,
    PRIMARY KEY (owner, hash)
);

-- Apart from the items: a version outlives an emptied roster and never goes back.
CREATE TABLE roster_versions (
    owner bigint PRIMARY KEY,
    version bigint NOT NULL
);

CREATE TABLE roster_items (
    owner bigint NOT NULL,
    contact text COLLATE "C" NOT NULL,
    name text NOT NULL,
    groups text NOT NULL,                                -- JSON array of strings, in the user's order
    subscription text NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    ask boolean NOT NULL,
    approved boolean NOT NULL,
    request bytea,                                       -- the contact's stanza that waits for an answer
    listed boolean NOT NULL,
    PRIMARY KEY (owner, contact)
);

-- Few: approvals that were not used yet. They end with the account that they are for.
CREATE INDEX roster_approvals ON roster_items (contact) WHERE approved;

CREATE TABLE blocked (
    owner bigint NOT NULL,
    jid text COLLATE "C" NOT NULL,
    PRIMARY KEY (owner, jid)
);

CREATE TABLE private_xml (
    owner bigint NOT NULL,
    space text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    element bytea NOT NULL,
    PRIMARY KEY (owner, space, name)
);

CREATE TABLE vcards (
    owner bigint PRIMARY KEY,
    photo_hash text NOT NULL,
    xml bytea NOT NULL
);

CREATE TABLE secrets (
    name text COLLATE "C" PRIMARY KEY,
    value bytea NOT NULL
);

-- One row per connection that has written: the number of its last transaction, set by that transaction. Whoever lost the
-- connection while COMMIT was on its way reads here whether it happened (storage/postgres/database.py).
CREATE TABLE writers (
    writer uuid PRIMARY KEY,
    number bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()                -- rows of connections that are long gone are removed
) WITH (fillfactor = 50);
