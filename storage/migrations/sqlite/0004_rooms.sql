-- compatible: 2
--
-- Rooms (storage/rooms.py). A room is an owner as an account is, with an id that no account can have.

CREATE TABLE rooms (
    id INTEGER PRIMARY KEY AUTOINCREMENT,  -- AUTOINCREMENT: an id is never used again
    domain TEXT NOT NULL,
    local TEXT NOT NULL,
    created REAL NOT NULL,
    version INTEGER NOT NULL,              -- of the lists
    forgotten INTEGER NOT NULL DEFAULT 0,  -- the version up to which those who went are not known any more
    subject TEXT,                          -- NULL: there never was one
    subject_nick TEXT,
    subject_at REAL,
    secret BLOB NOT NULL,
    config BLOB NOT NULL,                  -- JSON
    UNIQUE (domain, local)
) STRICT;

INSERT INTO sqlite_sequence (name, seq) VALUES ('rooms', 281474976710655);  -- the first id is FIRST_ROOM

CREATE TABLE room_affiliations (
    owner INTEGER NOT NULL,
    jid TEXT NOT NULL,
    affiliation INTEGER NOT NULL,          -- Affiliation; 0: who went, kept for those who ask what changed
    nick TEXT NOT NULL,
    reason TEXT NOT NULL,
    version INTEGER NOT NULL,              -- of the lists, when the entry changed last
    since INTEGER NOT NULL,                -- of the lists, when it got this affiliation
    PRIMARY KEY (owner, jid)
) STRICT, WITHOUT ROWID;

CREATE INDEX room_memberships ON room_affiliations (jid) WHERE affiliation > 0;

CREATE INDEX room_affiliations_gone ON room_affiliations (owner, version) WHERE affiliation = 0;

CREATE TABLE room_pictures (
    owner INTEGER PRIMARY KEY,
    vcard BLOB NOT NULL
) STRICT;
