-- compatible: 1
--
-- `owner` is accounts.id and stands first in every primary key (docs/architecture.md, "Storage"). Every table that has it is
-- listed in storage/sqlite/accounts.py, so that deleting an account empties it. WITHOUT ROWID where rows are small.

CREATE TABLE accounts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: an id is never used again
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    created REAL NOT NULL,                 -- times are seconds since the epoch
    seen_at REAL,                          -- NULL: no session has ended yet
    seen_status TEXT NOT NULL DEFAULT '',
    UNIQUE (domain, local)
) STRICT;

CREATE TABLE scram_keys (
    owner INTEGER NOT NULL,
    hash TEXT NOT NULL,                    -- sha1, sha256, sha512
    salt BLOB NOT NULL,
    iterations INTEGER NOT NULL,
    stored_key BLOB NOT NULL,
    server_key BLOB NOT NULL,
    PRIMARY KEY (owner, hash)
) STRICT, WITHOUT ROWID;

-- Apart from the items: a version outlives an emptied roster and never goes back.
CREATE TABLE roster_versions (
    owner INTEGER PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT;

CREATE TABLE roster_items (
    owner INTEGER NOT NULL,
    contact TEXT NOT NULL,
    name TEXT NOT NULL,
    groups TEXT NOT NULL,                  -- JSON array of strings, in the user's order
    subscription TEXT NOT NULL CHECK (subscription IN ('none', 'to', 'from', 'both')),
    ask INTEGER NOT NULL,
    approved INTEGER NOT NULL,
    request BLOB,                          -- the contact's stanza that waits for an answer
    listed INTEGER NOT NULL,
    PRIMARY KEY (owner, contact)
) STRICT, WITHOUT ROWID;

-- Few: approvals that were not used yet. They end with the account that they are for.
CREATE INDEX roster_approvals ON roster_items (contact) WHERE approved = 1;

CREATE TABLE blocked (
    owner INTEGER NOT NULL,
    jid TEXT NOT NULL,
    PRIMARY KEY (owner, jid)
) STRICT, WITHOUT ROWID;

CREATE TABLE private_xml (
    owner INTEGER NOT NULL,
    space TEXT NOT NULL,
    name TEXT NOT NULL,
    element BLOB NOT NULL,
    PRIMARY KEY (owner, space, name)
) STRICT;

CREATE TABLE vcards (
    owner INTEGER PRIMARY KEY,
    photo_hash TEXT NOT NULL,              -- in front of the large column, so that reading it reads one page
    xml BLOB NOT NULL
) STRICT;

-- `newest` is the floor of the ids, which are not used again when the queue is emptied; `kept` counts the rows below.
CREATE TABLE offline_queues (
    owner INTEGER PRIMARY KEY,
    newest INTEGER NOT NULL,
    kept INTEGER NOT NULL
) STRICT;

CREATE TABLE offline_messages (
    owner INTEGER NOT NULL,
    id INTEGER NOT NULL,
    expires REAL,                          -- NULL: never
    stanza BLOB NOT NULL,
    PRIMARY KEY (owner, id)
) STRICT;

CREATE INDEX offline_messages_expires ON offline_messages (expires) WHERE expires IS NOT NULL;

CREATE TABLE secrets (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) STRICT, WITHOUT ROWID;
