"""The program that tests/e2e/test_durability.py runs: a town of phones that write to one another while its server is
killed, its database restarted and its network cut. It believes nothing that it has not read in the archive.

``letters``    what was sent, what its sender was told, and the history of each message
``outgoing``   a client's half of stream management (XEP-0198)
``catchup``    a client that reads what it missed from its history (XEP-0313)
``phone``      a client with all that, which comes back whatever happens
``network``    the proxy between phones and server: connections are cut in seven ways
``swallow``    the proxy between server and PostgreSQL: a COMMIT gets through, its answer does not
``stranger``   another process that writes into the same archives, as another node will
``engines``    the storages
``town``       all of it, with the calm end
``troubles``   what goes wrong, in which order
``verdict``    what has to be true at the end
"""
