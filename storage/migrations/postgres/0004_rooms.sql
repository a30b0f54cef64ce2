-- compatible: 2
--
-- Rooms (storage/rooms.py). A room is an owner as an account is, with an id that no account can have.

CREATE TABLE rooms (
    id bigint GENERATED ALWAYS AS IDENTITY (START WITH 281474976710656) PRIMARY KEY,  -- FIRST_ROOM
    domain text COLLATE "C" NOT NULL,
    local text COLLATE "C" NOT NULL,
    created double precision NOT NULL,
    version bigint NOT NULL,                             -- of the lists
    forgotten bigint NOT NULL DEFAULT 0,                 -- the version up to which those who went are not known any more
    subject text,                                        -- NULL: there never was one
    subject_nick text,
    subject_at double precision,
    secret bytea NOT NULL,
    config bytea NOT NULL,                               -- JSON
    UNIQUE (domain, local)
) WITH (fillfactor = 80);

CREATE TABLE room_affiliations (
    owner bigint NOT NULL,
    jid text COLLATE "C" NOT NULL,
    affiliation smallint NOT NULL,                       -- Affiliation; 0: who went, kept for those who ask what changed
    nick text NOT NULL,
    reason text NOT NULL,
    version bigint NOT NULL,                             -- of the lists, when the entry changed last
    since bigint NOT NULL,                               -- of the lists, when it got this affiliation
    PRIMARY KEY (owner, jid)
);

CREATE INDEX room_memberships ON room_affiliations (jid) WHERE affiliation > 0;

CREATE INDEX room_affiliations_gone ON room_affiliations (owner, version) WHERE affiliation = 0;

CREATE TABLE room_pictures (
    owner bigint PRIMARY KEY,
    vcard bytea NOT NULL
);
