"""The program that tests/e2e/test_durability.py runs: a town of phones that write to one another while its server is
killed, its database restarted and its network cut. It believes nothing that it has not read in the archive.

``letters``    what was sent, what its sender was told, and the history of each message
``outgoing``   a client's half of stream management (XEP-0198)
``catchup``    a client that reads what it missed from its history (XEP-0313)
``phone``      a client with all that, which comes back whatever happens
``network``    the proxy between phones and server: connections are cut in seven ways
``swallow``    the proxy between server and PostgreSQL: a COMMIT gets through, its answer does not
``writer``     another writer of the same archives, as another node will be
``engines``    the storages
``town``       all of it, with the calm end
``troubles``   what goes wrong, in which order
``verdict``    what has to be true at the end

What each guard is worth was seen by taking it away in a copy of the tree and running the test, with 20 phones and the
kills of ``make test``; it said:

I1  SQLite: ``Archiver._commit`` settles its tickets before it appends: "p16.p18.1: taken, but 0 times in its sender's
    archive and 0 in its recipient's" (5 letters). Not before the server was also killed while a batch could not be
    committed (``Town.kill_in_commit``).
I1  PostgreSQL: connection.py sets ``synchronous_commit`` to off: "p09.p08.8: taken, but 0 times ...", "p01.p00.19:
    p00 saw it, and it is not in the archive" (35).
I2  SQLite: ``Messages._store`` with ``check = 0``: "p09.p08.3: taken, but 2 times in its sender's archive and 2 in
    its recipient's" (99), "p01.p00.28: p00 saw it as [two stanza-ids]" (138).
I2  PostgreSQL: ``Writer._settle`` returns None, so that a batch whose answer was lost is sent again: "p15.p16.25:
    taken, but 2 times ..." (2). Not before there were letters without origin-id: the check for resends had hidden it.
I3  ``place.prev`` is not looked at in ``Delivery._bring`` and ``sent``: "stranger.p00.57: p00 has it as row ..., and
    was never given it" (60 on SQLite, 934 on PostgreSQL).
I3  SQLite: ``Mailbox._upto`` returns ``seen``, so that what was given counts as settled: "stranger.p06.7: p06 has it
    as row ..., and was never given it" (283). Not before phones were out of reach for long (``Town.kill_late``), and
    only in one of two runs with 20 phones; with 50 in the one there was.
I4  PostgreSQL: ``archive_append`` without its ``pg_advisory_xact_lock``: "stranger.p00.101: p00 has it as row ...,
    and was never given it" (17).

SQLite with ``synchronous = OFF`` is not noticed: only a machine that loses its power shows that.
"""
