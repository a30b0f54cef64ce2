"""Where the socket is, also when its path is longer than an address of the system may be."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from xmppd.control.protocol import SOCKET_NAME

_LONGEST: Final = 100  # bytes; Linux allows 107, macOS 103


@contextlib.contextmanager
def address(data_dir: Path) -> Iterator[str]:
    """A name under which ``bind`` and ``connect`` find the socket, valid inside the context only.

    For a long path this changes the working directory meanwhile: do nothing else in there.
    """
    path = str(data_dir / SOCKET_NAME)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
    else:
        with contextlib.chdir(data_dir):
            yield SOCKET_NAME


def bind(data_dir: Path) -> socket.socket:
    """A listening socket that only this user may connect to. What a dead server left behind is replaced.

    Only the holder of the data folder's lock may call it.
    """
    (data_dir / SOCKET_NAME).unlink(missing_ok=True)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    mask = os.umask(0o177)  # so that it is never open to others, not even for a moment
    try:
        with address(data_dir) as name:
            sock.bind(name)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(mask)
    sock.setblocking(False)
    sock.listen()
    return sock


def connect(data_dir: Path) -> socket.socket | None:
    """A connection to the running server; None where there is none."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with address(data_dir) as name:
            sock.connect(name)
    except (FileNotFoundError, ConnectionRefusedError, NotADirectoryError):
        sock.close()
        return None
    except BaseException:
        sock.close()
        raise
    sock.setblocking(False)
    return sock
