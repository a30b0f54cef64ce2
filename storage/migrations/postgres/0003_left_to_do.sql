-- compatible: 2
--
-- What was begun and has to be ended, whatever becomes of the program in between.

-- Kind.PENDING: something is left to be done because of the row (storage/archive.py). There are few.
CREATE INDEX archive_pending ON archive (owner, id) WHERE kind & 16 = 16;

-- Owners that were deleted, and when, in seconds since the epoch: what was on its way to them then may be stored behind
-- that, and is deleted some time later.
CREATE TABLE deleted_owners (
    id bigint PRIMARY KEY,
    at double precision NOT NULL
);
