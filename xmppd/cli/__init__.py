"""The command line: `xmppd serve | init | user | check | pipeline | version`.

Exit status 0: done, 1: failed, 2: wrong usage or configuration, 130: interrupted. With --json, standard output holds
exactly one JSON value (for `serve` one per line): the result, or {"error": {...}}. What is meant for people, errors
included, goes to standard error.
"""
