"""What the tutorial tells people to run: two of them chat with docs/examples/chat.py."""

from __future__ import annotations

import asyncio
import re
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest

from tests.support.process import DOMAIN, PASSWORD, ROOT, ServerProcess

ROMEO, JULIET = f"romeo@{DOMAIN}", f"juliet@{DOMAIN}"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    process = ServerProcess(tmp_path_factory.mktemp("tutorial"), accounts=["romeo", "juliet"])
    with process.running():
        yield process


class Terminal:
    """One run of the program: what is typed, and what it prints."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._seen: list[str] = []

    def type(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{line}\n".encode())

    async def reads(self, pattern: str) -> None:
        """Wait until a line that begins with ``pattern`` is printed."""
        assert self.process.stdout is not None
        async with asyncio.timeout(15):
            async for line in self.process.stdout:
                self._seen.append(line.decode().rstrip())
                if re.match(pattern, self._seen[-1]):
                    return
        raise AssertionError("the program ended; it had printed:\n" + "\n".join(self._seen))


@asynccontextmanager
async def terminal(
    server: ServerProcess, me: str, peer: str, password: str = PASSWORD
) -> AsyncIterator[Terminal]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "ignore", "docs/examples/chat.py", me, peer),
        *("--trust", str(server.certificate), "--server", ":".join(map(str, server.c2s))),
        cwd=ROOT, stdin=PIPE, stdout=PIPE, stderr=STDOUT,
    )  # fmt: skip
    try:
        one = Terminal(process)
        one.type(password)
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def test_two_people_chat(server: ServerProcess) -> None:
    async with terminal(server, ROMEO, JULIET) as romeo:
        await romeo.reads(f"logged in as {ROMEO} over TLSv1.3")
        async with terminal(server, JULIET, ROMEO) as juliet:
            await juliet.reads("logged in as")
            romeo.type("/add")
            await romeo.reads(rf"\* {JULIET} lets you see when they are there")
            await romeo.reads(rf"\* {JULIET} wants to see when you are there")
            await juliet.reads(rf"\* {ROMEO} is online")
            romeo.type("Good morrow, Juliet.")
            await juliet.reads(f"{ROMEO}: Good morrow, Juliet.$")
            juliet.type("/away in the garden")
            await romeo.reads(rf"\* {JULIET} is away \(in the garden\)")
            juliet.type("/quit")
            await romeo.reads(rf"\* {JULIET} is offline")
            assert await juliet.process.wait() == 0
        romeo.type("Shall I come back later?")
        romeo.type("/seen")
        await romeo.reads(rf"\* {JULIET} was last there at \d\d:\d\d:\d\d UTC")
        async with terminal(server, JULIET, f"nobody@{DOMAIN}") as juliet:
            await juliet.reads(rf"{ROMEO}: Shall I come back later\? \(sent at \d\d:\d\d:\d\d UTC\)")
            juliet.type("Is anybody there?")
            await juliet.reads(f"not delivered to nobody@{DOMAIN}: service-unavailable")
        async with terminal(server, JULIET, ROMEO) as juliet:
            await juliet.reads("logged in as")
            juliet.type("/history")
            await juliet.reads(rf"\d\d:\d\d:\d\d {ROMEO}: Good morrow, Juliet\.$")
            await juliet.reads(rf"\d\d:\d\d:\d\d {ROMEO}: Shall I come back later\?$")


async def test_a_failed_login_is_logged_as_the_filter_for_fail2ban_expects(server: ServerProcess) -> None:
    page = (ROOT / "docs" / "how-to" / "limits.md").read_text()
    (regex,) = re.findall(r"^failregex = (.+)$", page, re.MULTILINE)
    async with terminal(server, ROMEO, JULIET, "wrong") as romeo:
        await romeo.reads("not logged in: the login was refused")
        assert await romeo.process.wait() == 1
    line = await server.logged("login failed")
    for prefix in ("", "vm xmppd[93]: "):  # of a file, and of the journal
        found = re.match(regex.replace("<HOST>", r"(\S+)"), prefix + line)
        assert found is not None
        assert found[1] == "127.0.0.1"
