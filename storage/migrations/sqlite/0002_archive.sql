-- compatible: 2
--
-- The archive, which is also the queue of what is owed to clients (storage/archive.py). An owner is an account or a room.

-- The key holds all that `with`, chat lists and counts look at, so that they read no stanza. `id`: microseconds since
-- the epoch. Not WITHOUT ROWID: stanzas are appended behind one another, and only the small key is spread over owners.
CREATE TABLE archive (
    owner INTEGER NOT NULL,
    id INTEGER NOT NULL,
    peer INTEGER NOT NULL,                 -- peer_key and Mark
    kind INTEGER NOT NULL,                 -- Kind
    origin INTEGER,                        -- origin_key, where the sender gave one
    stanza BLOB NOT NULL,                  -- packed (storage/packing.py)
    PRIMARY KEY (owner, id, peer, kind)
) STRICT;

-- What is only kept to be delivered, and may be owed yet.
CREATE INDEX archive_hidden ON archive (owner, id) WHERE kind & 3 = 3;

-- What an owner's next id has to be above, where the newest row is not there any more.
CREATE TABLE archive_floors (
    owner INTEGER PRIMARY KEY,
    id INTEGER NOT NULL
) STRICT;

CREATE TABLE archive_cursors (
    owner INTEGER PRIMARY KEY,
    upto INTEGER NOT NULL,
    above TEXT NOT NULL                    -- JSON array of ids
) STRICT;

CREATE TABLE archive_preferences (
    owner INTEGER PRIMARY KEY,
    by_default TEXT NOT NULL CHECK (by_default IN ('always', 'never', 'roster')),
    always TEXT NOT NULL,                  -- JSON arrays of addresses
    never TEXT NOT NULL,
    days INTEGER                           -- NULL: no retention of its own
) STRICT;

CREATE INDEX archive_retention ON archive_preferences (owner, days) WHERE days IS NOT NULL;

CREATE TABLE chat_lists (
    owner INTEGER PRIMARY KEY,
    version INTEGER NOT NULL,
    upto INTEGER NOT NULL,
    conversations BLOB NOT NULL            -- storage/conversations.py
) STRICT;

-- Dictionaries trained on this server's own messages; without them the rows that they packed cannot be read.
CREATE TABLE dictionaries (
    number INTEGER PRIMARY KEY,
    content BLOB NOT NULL
) STRICT;

-- What was kept for accounts that nobody was online of is owed to them (1), and no part of their history (2); not packed
-- (0). It holds its own <delay/>, so that its new id does not tell the time of its arrival.
INSERT INTO archive (owner, id, peer, kind, stanza)
SELECT owner, CAST(strftime('%s', 'now') AS INTEGER) * 1000000 + row_number() OVER (PARTITION BY owner ORDER BY id),
       0, 3, CAST(x'00' || stanza AS BLOB)
FROM offline_messages
WHERE expires IS NULL OR expires > CAST(strftime('%s', 'now') AS INTEGER);

DROP TABLE offline_messages;

DROP TABLE offline_queues;
