-- compatible: 2
--
-- The archive, which is also the queue of what is owed to clients (storage/archive.py). An owner is an account or a room.

-- The key holds all that `with`, chat lists and counts look at, so that they read no stanza. `id`: microseconds since
-- the epoch, ascending within one owner also in the order in which rows become visible (archive_append).
CREATE TABLE archive (
    owner bigint NOT NULL,
    id bigint NOT NULL,
    peer bigint NOT NULL,                                -- peer_key and Mark
    origin bigint,                                       -- origin_key, where the sender gave one
    kind smallint NOT NULL,                              -- Kind
    stanza bytea NOT NULL,                               -- packed (storage/packing.py)
    PRIMARY KEY (owner, id, peer) INCLUDE (kind)
) PARTITION BY RANGE (id);

ALTER TABLE archive ALTER COLUMN stanza SET STORAGE EXTERNAL;  -- it is compressed already

-- One partition a month, and one at each end that takes what is older or newer than those: no row is refused, and without
-- a default partition pages are read partition by partition. storage/postgres/partitions.py makes them.
CREATE TABLE archive_past PARTITION OF archive FOR VALUES FROM (MINVALUE) TO (1577836800000000);  -- 2020
CREATE TABLE archive_rest PARTITION OF archive FOR VALUES FROM (1577836800000000) TO (MAXVALUE);

-- What is only kept to be delivered, and may be owed yet.
CREATE INDEX archive_hidden ON archive (owner, id) WHERE kind & 3 = 3;

-- What an owner's next id has to be above, where the newest row is not there any more.
CREATE TABLE archive_floors (
    owner bigint PRIMARY KEY,
    id bigint NOT NULL
);

-- The transaction of the writer's newest batch: whoever lost the answer finds his rows by it.
ALTER TABLE writers ADD COLUMN transaction xid8;

-- Store a batch of messages: the newest id of each owner before it, and the time of the batch in microseconds. Row n of
-- the owner o has the id greatest(moment, newest[o] + 1) + n, counted from 0, whether rows before it are duplicates or not.
--
-- The locks make ids visible in their order: whoever comes later for an owner begins when the one before has committed,
-- and READ COMMITTED lets the next statement see what he wrote. They are taken in one order by all, and their keys are
-- negative, as no others are. Nothing here may be STABLE, or read the clock in front of the locks.
--
-- The first number of a row holds, in 16 bits each, from above: the place of its owner in owners, from 1; how many rows of
-- the owner stand before it; the place of its stanza in stanzas, from 1; its kind. It is arrays that cost most.
CREATE FUNCTION archive_append(
    writer uuid,            -- of one connection
    number bigint,          -- of the batch, from 1
    epoch bigint,           -- of the node; refusing an older one comes with clusters
    recent bigint,          -- an id; that most owners have rows above it makes it fast
    owners bigint[],        -- ascending, each once
    rows bigint[],          -- three numbers for each row: where and what (below), peer, origin (0: none)
    stanzas bytea[],
    asked bigint[],         -- four for each message that may be a resend: the place of its owner in owners, its origin,
                            -- the id from which on, the place of its stanza in stanzas; NULL where there is none
    OUT newest bigint[],
    OUT moment bigint,
    OUT earlier bigint[]    -- of each message that may be a resend: the id of the first one's row; 0: it is none
) LANGUAGE plpgsql VOLATILE SET plan_cache_mode = force_generic_plan SET enable_bitmapscan = off AS $$
#variable_conflict use_variable
DECLARE
    known integer[];
BEGIN
    INSERT INTO writers AS w VALUES (writer, number, now(), pg_current_xact_id())
        ON CONFLICT ON CONSTRAINT writers_pkey
        DO UPDATE SET number = excluded.number, at = excluded.at, transaction = excluded.transaction
        WHERE w.number >= 0;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the writer % was given up', writer USING ERRCODE = 'connection_exception';
    END IF;

    PERFORM pg_advisory_xact_lock(-o) FROM unnest(owners) AS o;

    newest := ARRAY(
        SELECT coalesce(
            (SELECT a.id FROM archive AS a WHERE a.owner = o AND a.id >= recent ORDER BY a.id DESC LIMIT 1), -1)
        FROM unnest(owners) AS o);
    IF -1 = ANY(newest) THEN
        newest := ARRAY(
            SELECT CASE WHEN n >= 0 THEN n ELSE greatest(
                0,
                (SELECT a.id FROM archive AS a WHERE a.owner = o AND a.id < recent ORDER BY a.id DESC LIMIT 1),
                (SELECT f.id FROM archive_floors AS f WHERE f.owner = o)) END
            FROM unnest(owners, newest) AS t (o, n));
    END IF;

    IF asked IS NOT NULL THEN
        -- Of each owner only the newest rows are looked through, and once: RESENDS in storage/archive.py. A bitmap scan,
        -- which they can be got by as well, would read them all.
        earlier := ARRAY(
            WITH q AS (
                SELECT i, owners[asked[i]] AS owner, asked[i + 1] AS origin, asked[i + 2] AS since
                FROM generate_series(1, cardinality(asked), 4) AS i
            ), there AS MATERIALIZED (
                SELECT w.owner, a.origin, a.id FROM (SELECT q.owner, min(q.since) AS since FROM q GROUP BY q.owner) AS w
                CROSS JOIN LATERAL (
                    SELECT b.origin, b.id FROM archive AS b WHERE b.owner = w.owner AND b.id >= w.since
                    ORDER BY b.id DESC LIMIT 2000
                ) AS a WHERE a.origin IS NOT NULL
            )
            SELECT coalesce(max(t.id), 0) FROM q
            LEFT JOIN there AS t ON t.owner = q.owner AND t.origin = q.origin AND t.id >= q.since
            GROUP BY q.i ORDER BY q.i);
        known := ARRAY(SELECT asked[4 * n]::integer FROM generate_series(1, cardinality(earlier)) AS n WHERE earlier[n] > 0);
    END IF;

    moment := (extract(epoch FROM clock_timestamp()) * 1000000)::bigint;
    INSERT INTO archive (owner, id, peer, origin, kind, stanza)
        SELECT owners[s], greatest(moment, newest[s] + 1) + r, rows[i + 1], nullif(rows[i + 2], 0), k, stanzas[m]
        FROM (
            SELECT i, (rows[i] >> 48)::integer AS s, rows[i] >> 32 & 65535 AS r, (rows[i] >> 16 & 65535)::integer AS m,
                (rows[i] & 65535)::smallint AS k
            FROM generate_series(1, cardinality(rows), 3) AS i
        ) AS t
        WHERE known IS NULL OR m <> ALL(known);
END
$$;

CREATE TABLE archive_cursors (
    owner bigint PRIMARY KEY,
    upto bigint NOT NULL,
    above bigint[] NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE archive_preferences (
    owner bigint PRIMARY KEY,
    by_default text NOT NULL CHECK (by_default IN ('always', 'never', 'roster')),
    always text NOT NULL,                                -- JSON arrays of addresses
    never text NOT NULL,
    days integer                                         -- NULL: no retention of its own
);

CREATE INDEX archive_retention ON archive_preferences (owner) INCLUDE (days) WHERE days IS NOT NULL;

CREATE TABLE chat_lists (
    owner bigint PRIMARY KEY,
    version bigint NOT NULL,
    upto bigint NOT NULL,
    conversations bytea NOT NULL                         -- storage/conversations.py
) WITH (fillfactor = 70);

-- Dictionaries trained on this server's own messages; without them the rows that they packed cannot be read.
CREATE TABLE dictionaries (
    number integer PRIMARY KEY,
    content bytea NOT NULL
);
