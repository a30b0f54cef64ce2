"""Two ordinary users who talk while somebody else attacks the server; how long each of their exchanges took.

A program of its own, so that its clock does not wait for the attacker's event loop. It logs in twice, then plays
ping-pong: juliet writes to romeo, romeo answers, a pause, again. For each line on standard input, it prints the
milliseconds of the exchanges since the line before, as JSON. The time in which the server or the witness could have
run, but the machine ran something else, is not the server's, and does not count. How long the disk may keep everybody
waiting is measured beside it.

    python -m tests.support.witness PORT CERTIFICATE PID
"""

from __future__ import annotations

import json
import os
import select
import socket
import ssl
import subprocess
import sys
import threading
import time
from base64 import b64encode
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

PAUSE_SECONDS: Final = 0.002
DISK_SECONDS: Final = 0.02  # from one look at the disk to the next
SILENCE_SECONDS: Final = 20.0
USERS: Final = ("witness1", "witness2")
DOMAIN: Final = "capulet.example"
PASSWORD: Final = "Wherefore art thou?"

_HEADER: Final = (
    f"<stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
    f"to='{DOMAIN}' version='1.0'>"
)


class User:
    """One session with presence, over a socket that blocks."""

    def __init__(self, name: str, resource: str, port: int, certificate: str) -> None:
        context = ssl.create_default_context(cafile=certificate)
        sock = socket.create_connection(("127.0.0.1", port), timeout=SILENCE_SECONDS)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._sock = context.wrap_socket(sock, server_hostname=DOMAIN)
        login = b64encode(f"\0{name}\0{PASSWORD}".encode()).decode()
        self.say(_HEADER, "</stream:features>")
        self.say(
            f"<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>{login}</auth>", "<success"
        )
        self.say(_HEADER, "</stream:features>")
        self.say(
            "<iq type='set' id='bind'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
            f"<resource>{resource}</resource></bind></iq>",
            "</iq>",
        )
        self.say("<presence/>", "<presence")

    def say(self, xml: str, answer: str = "") -> None:
        self._sock.sendall(xml.encode())
        if answer:
            self.wait_for(answer.encode())

    def wait_for(self, marker: bytes) -> None:
        data = b""
        while marker not in data:
            more = self.read()
            if not more:
                raise SystemExit(f"the connection was closed instead of {marker!r}, after {data!r}")
            data += more

    def read(self) -> bytes:
        return self._sock.recv(65_536)


class Queue:
    """What kept the witness and the server ``pid`` from running although they could: 0 where the system does not tell.

    Who sleeps, or waits for a disk or a lock, does not wait for a core. Where the server's other threads ran meanwhile,
    it may have been they that took it, and that is the server's own doing.
    """

    def __init__(self, pid: int) -> None:
        self._tasks = Path(f"/proc/{pid}/task")
        self._main = [self._tasks / str(pid), Path("/proc/self")]
        self._known = (self._main[0] / "schedstat").exists()
        self._last = (0, 0)
        self.look()

    def look(self) -> float:
        """The seconds since the last look in which the machine ran something else."""
        if not self._known:
            return 0.0
        before = self._last
        waited = sum(_schedstat(folder)[1] for folder in self._main)
        ran = sum(_schedstat(folder)[0] for folder in self._tasks.iterdir() if folder != self._main[0])
        self._last = (waited, ran)
        return max(0, waited - before[0] - (ran - before[1])) / 1e9


def _schedstat(task: Path) -> tuple[int, int]:
    """Nanoseconds that a thread ran, and that it waited for a core."""
    ran, waited, _ = (task / "schedstat").read_text().split()
    return int(ran), int(waited)


class Disk(threading.Thread):
    """Forces a page to the disk of ``folder`` again and again, as a storage does, and keeps how long that took."""

    def __init__(self, folder: Path) -> None:
        super().__init__(name="disk", daemon=True)
        self._file = os.open(folder / "witness", os.O_WRONLY | os.O_CREAT)
        self._began: float | None = None
        self._longest = 0.0

    def run(self) -> None:
        while True:
            began = self._began = time.perf_counter()
            os.pwrite(self._file, bytes(4_096), 0)
            os.fsync(self._file)
            self._began = None
            self._longest = max(self._longest, time.perf_counter() - began)
            time.sleep(DISK_SECONDS)

    def look(self) -> float:
        """The seconds that it took at most since the last look, by now if it is not done."""
        began = self._began
        longest, self._longest = self._longest, 0.0
        return longest if began is None else max(longest, time.perf_counter() - began)


def _main(port: int, certificate: str, pid: int) -> None:
    one, two = (User(name, "stage", port, certificate) for name in USERS)
    queue, disk = Queue(pid), Disk(Path(certificate).parent)
    disk.start()
    samples: list[float] = []
    print("[[0], 0]", flush=True)  # ready
    number = 0
    while True:
        number += 1
        queue.look()
        began = time.perf_counter()
        for sender, receiver, to in ((one, two, USERS[1]), (two, one, USERS[0])):
            sender.say(
                f"<message type='chat' to='{to}@{DOMAIN}/stage' id='m{number}'><body>number {number}</body></message>"
            )
            receiver.wait_for(f"<body>number {number}</body>".encode())
        samples.append((time.perf_counter() - began - queue.look()) * 1000)
        if select.select([0], [], [], PAUSE_SECONDS)[0]:
            if not os.read(0, 100):
                return
            print(json.dumps([samples, disk.look() * 1000]), flush=True)
            samples.clear()


@dataclass(frozen=True, slots=True)
class Latency:
    """Milliseconds from a message to its answer, two messages in all, without those of waiting for a core."""

    count: int
    p50: float
    p99: float
    most: float
    disk: float  # the most that another program waited meanwhile for a page to be on the disk

    @staticmethod
    def of(samples: list[float], disk: float) -> Latency:
        ordered = sorted(samples)
        return Latency(
            len(ordered),
            ordered[len(ordered) // 2],
            ordered[min(len(ordered) - 1, len(ordered) * 99 // 100)],
            ordered[-1],
            disk,
        )

    def __str__(self) -> str:
        return (
            f"p50 {self.p50:.1f} ms, p99 {self.p99:.1f} ms, most {self.most:.1f} ms of {self.count}, "
            f"beside a disk that took {self.disk:.1f} ms"
        )


class Witness:
    """The program from outside, beside the server that is the process ``pid``. ``look`` gives what happened since the
    last look.
    """

    def __init__(self, port: int, certificate: Path, pid: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.witness", str(port), str(certificate), str(pid)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        self._read()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        process = self._process
        for stream in (process.stdin, process.stdout):
            assert stream is not None
            stream.close()
        try:
            process.wait(SILENCE_SECONDS)
        finally:
            process.kill()
            process.wait()

    def look(self) -> Latency:
        assert self._process.stdin is not None
        self._process.stdin.write("look\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> Latency:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "the witness is gone: it lost its connection, or waited too long for a message"
        return Latency.of(*json.loads(line))


if __name__ == "__main__":
    _main(int(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
