"""A client that logs in, says so, and then only reads: to be stopped by a signal.

python -m tests.support.sleeper PORT CERTIFICATE LOCALPART
"""

from __future__ import annotations

import sys

from tests.support.witness import User


def main(port: int, certificate: str, name: str) -> None:
    user = User(name, "asleep", port, certificate)
    print("reading", flush=True)
    while user.read():
        pass


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], sys.argv[3])
