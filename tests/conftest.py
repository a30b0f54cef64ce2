"""The strict harness: what fails a test here besides its assertions.

- An exception that reached the event loop and no one else ("Task exception was never retrieved", a failing callback).
- A task that is still there when the test and its fixtures are done.
- A warning, a coroutine that was never awaited, an exception in a finalizer (`filterwarnings = error` in setup.cfg).
- Taking longer than `timeout` in setup.cfg; depending on the order of tests (pytest-randomly shuffles them).
- Being skipped, when the environment variable CI is set: there, a service that is not at hand is a failure.
- A worker process that ends before it should (`make test` runs one per core).

Each of these is proven in test_house.py, in one process and with workers. What a worker finds when its tests are over,
it hands to the process that started it, which fails the run. Async tests and fixtures run on a loop of their own (loop
scope `function`).
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from types import FrameType
from typing import Any, NoReturn

import pytest
import pytest_asyncio
from hypothesis import settings

# Passes through the loop that a task gets to end after the last fixture: enough to notice a cancellation or a closed
# connection, far too few to wait for anything.
GRACE = 20


def _switched_on(variable: str) -> bool:
    return os.environ.get(variable, "").lower() not in ("", "0", "false", "no")


SOAK = _switched_on("XMPPD_SOAK")

# A deadline per example measures the machine, not the code.
settings.register_profile("short", deadline=None, print_blob=True)
settings.register_profile("soak", deadline=None, print_blob=True, max_examples=10_000)
settings.load_profile("soak" if SOAK else "short")


class Harness:
    """One per process: collects what happens outside of any assertion."""

    def __init__(self) -> None:
        self.stray: list[str] = []  # loop exceptions that no test has been failed for yet
        self.skipped: list[str] = []

    def watch(self, loop: asyncio.AbstractEventLoop, test: str) -> None:
        """Keep each unhandled exception of `loop`, also those that come after `test` has ended."""

        def keep(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            self.stray.append(f"{test}: {context['message']}: {context.get('exception')!r}")

        loop.set_exception_handler(keep)

    def take_stray(self) -> list[str]:
        taken, self.stray = self.stray, []
        return taken

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            self.skipped.append(report.nodeid)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.skipped:
            self.skipped.append(report.nodeid)

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        """A worker has ended: its last words, or that it had none. xdist runs on where a worker died between tests."""
        worker = node.gateway.id
        if error:
            self.stray.append(f"the worker {worker} ended by itself: {error}")
        else:
            self.stray += node.workeroutput[STRAY]

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        previous, sys.unraisablehook = sys.unraisablehook, self._keep_unraisable
        gc.collect()  # what was lost in a cycle tells its loop now
        sys.unraisablehook = previous
        if _is_worker(session.config):
            session.config.workeroutput[STRAY] = self.stray  # type: ignore[attr-defined]  # made by xdist
        elif self.stray or (self.skipped and _switched_on("CI")):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def _keep_unraisable(self, lost: sys.UnraisableHookArgs) -> None:
        """pytest would raise it when it ends, which nobody hears of in a worker."""
        self.stray.append(f"{lost.err_msg or 'exception ignored in'}: {lost.object!r}: {lost.exc_value!r}")

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        for line in self.stray:
            terminalreporter.write_line(f"unhandled, found after the test: {line}", red=True)
        if _switched_on("CI"):
            for name in self.skipped:
                terminalreporter.write_line(f"skipped, which fails the run when CI is set: {name}", red=True)
        if (seed := terminalreporter.config.getoption("randomly_seed", None)) is not None:
            terminalreporter.write_line(f"the order of tests was that of --randomly-seed={seed}")


HARNESS = pytest.StashKey[Harness]()
STRAY = "stray"  # by which a worker hands over what it found


def _is_worker(config: pytest.Config) -> bool:
    """Whether this process runs tests for another one (pytest-xdist)."""
    return hasattr(config, "workerinput")


def pytest_configure(config: pytest.Config) -> None:
    harness = config.stash[HARNESS] = Harness()
    config.pluginmanager.register(harness, "xmppd-harness")
    # With Python's own handler asyncio would only cancel the test, which might take that for a failure; then the next
    # one would run. What a shell runs in the background ignores the signal, and so would the programs that tests
    # interrupt.
    signal.signal(signal.SIGINT, _interrupt)


def _interrupt(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if "soak" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.soak)
    if _is_worker(config):
        # The longest first, lest one core runs them while the others have nothing left to do. They stand side by side,
        # and so go to one worker, which is robbed of them only when the others have done all the rest.
        items.sort(key=_haste)


def _haste(item: pytest.Item) -> int:
    """The order of random order: what has a long version takes longest here too, then what is marked slow."""
    return 0 if item.get_closest_marker("soak") else 1 if item.get_closest_marker("slow") else 2


@pytest.fixture(autouse=True)
def _strict(request: pytest.FixtureRequest) -> None:
    """First set up and last torn down; only async tests pay for a look at their loop."""
    if pytest_asyncio.is_async_test(request.node):
        request.getfixturevalue("_strict_loop")


@pytest_asyncio.fixture
async def _strict_loop(request: pytest.FixtureRequest) -> AsyncIterator[None]:
    harness = request.config.stash[HARNESS]
    harness.watch(asyncio.get_running_loop(), request.node.nodeid)
    yield
    problems = [f"task left behind: {task}" for task in await _left_behind()]
    gc.collect(1)  # the young generations: cheap, and a task lost in this test is there
    problems += [f"unhandled in the event loop: {line}" for line in harness.take_stray()]
    if problems:
        pytest.fail("\n".join(problems), pytrace=False)


async def _left_behind() -> list[str]:
    """What the tasks that do not end by themselves at once wait for; they are cancelled, to trouble no later test."""
    tasks = set[asyncio.Task[Any]]()
    for _ in range(GRACE):
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if not tasks:
            return []
        await asyncio.sleep(0)
    found = [repr(task) for task in tasks]
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks, timeout=1)
    return found


@pytest.fixture(scope="session")
def soak() -> bool:
    """Whether to run the long version (`make soak`); a test that asks for it gets the marker `soak`."""
    return SOAK
