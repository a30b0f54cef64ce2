"""Running the command line: in this process where that is enough, as a program where it is not."""

from __future__ import annotations

import contextlib
import io
import json
import os
import selectors
import signal
import socket
import ssl
import subprocess
import sys
import threading
from base64 import b64encode
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from xmppd.cli.app import run

SECONDS = 20.0  # for a program to do what it should do at once


@dataclass(frozen=True, slots=True)
class Result:
    """How a command ended, and what it printed."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON value on standard output."""
        return json.loads(self.out)


def call(*arguments: object, stdin: str | bytes = "") -> Result:
    """Run a command in this process; standard input is no terminal."""
    out, err = io.StringIO(), io.StringIO()
    data = stdin.encode() if isinstance(stdin, str) else stdin
    old = sys.stdin
    sys.stdin = io.TextIOWrapper(io.BytesIO(data))
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            status = run([str(argument) for argument in arguments])
    finally:
        sys.stdin = old
    return Result(status, out.getvalue(), err.getvalue())


def program(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "xmppd", *map(str, arguments)]


class ServerProcess:
    """`xmppd serve` as a program, ended with the context."""

    def __init__(self, *arguments: object, cwd: Path, env: dict[str, str] | None = None) -> None:
        self.process = subprocess.Popen(
            program(*arguments),
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        self._err: list[str] = []
        self._new_line = threading.Condition()
        self._reader = threading.Thread(target=self._read_err)
        self._reader.start()

    def ready(self) -> str:
        """The first line on standard output."""
        assert self.process.stdout is not None
        with selectors.DefaultSelector() as selector:
            selector.register(self.process.stdout, selectors.EVENT_READ)
            assert selector.select(SECONDS), self.err
        line = self.process.stdout.readline()
        assert line, self.stop()
        return line.rstrip("\n")

    def address(self, kind: str) -> tuple[str, int]:
        """Where ``kind`` listens, out of the ready line."""
        word = next(word for word in self.ready().split() if word.startswith(f"{kind}="))
        host, _, port = word.partition("=")[2].rpartition(":")
        return host, int(port)

    @property
    def err(self) -> str:
        """What is on standard error so far."""
        return "".join(self._err)

    def wait_for(self, text: str) -> None:
        """Until ``text`` is on standard error."""
        with self._new_line:
            assert self._new_line.wait_for(lambda: text in self.err, SECONDS), self.err

    def stop(self, how: signal.Signals = signal.SIGTERM) -> Result:
        """Send a signal and wait for the end; the status is negative where the signal killed it."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        return self.wait()

    def wait(self) -> Result:
        try:
            self.process.wait(SECONDS)
        finally:
            self.process.kill()
            self._reader.join()
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        out = "" if self.process.stdout.closed else self.process.stdout.read()
        self.process.stdout.close()
        self.process.stderr.close()
        return Result(self.process.returncode, out, self.err)

    def _read_err(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._new_line:
                self._err.append(line)
                self._new_line.notify_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if error is not None:
            print(self.err)  # pytest shows it where the test failed


class ChatClient:
    """A client that logs in over direct TLS with PLAIN, and then only listens."""

    def __init__(self, address: tuple[str, int], jid: str, password: str) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        local, _, domain = jid.partition("@")
        self._header = (
            f"<stream:stream to='{domain}' xmlns='jabber:client' "
            "xmlns:stream='http://etherx.jabber.org/streams' version='1.0'>"
        )
        self._sock = context.wrap_socket(socket.create_connection(address, SECONDS), server_hostname=domain)
        self.certificate = self._sock.getpeercert(binary_form=True)
        secret = b64encode(f"\0{local}\0{password}".encode()).decode()
        try:
            self._log_in(secret)
        except BaseException:
            self.close()
            raise

    def _log_in(self, secret: str) -> None:
        self.ask(self._header, "</stream:features>")
        self.ask(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{secret}</auth>",
            "xmlns='urn:ietf:params:xml:ns:xmpp-sasl'",
        )
        self.ask(self._header, "</stream:features>")
        self.ask("<iq type='set' id='b'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>", "</iq>")

    def read_to_end(self) -> str:
        """Everything until the server closes the connection."""
        read = b""
        while chunk := self._sock.recv(65536):
            read += chunk
        return read.decode()

    def close(self) -> None:
        self._sock.close()

    def ask(self, text: str, until: str) -> str:
        """What comes after ``text`` was sent, up to the piece that holds ``until``."""
        self._sock.sendall(text.encode())
        read = ""
        while until not in read:
            chunk = self._sock.recv(65536)
            assert chunk, f"closed after {read}"
            read += chunk.decode()
        assert "<failure" not in read, read
        return read


@contextlib.contextmanager
def logged_in(address: tuple[str, int], jid: str, password: str) -> Iterator[ChatClient]:
    client = ChatClient(address, jid, password)
    try:
        yield client
    finally:
        client.close()
