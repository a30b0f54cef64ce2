"""The guards of the house: each is shown a mistake and has to find it.

What they keep: one import name per module, one place where tasks start, one direction of imports, one list of what the
program needs, and a test harness that lets nothing pass in silence.
"""

from __future__ import annotations

import ast
import configparser
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parent.parent
LINKED = ("extensions", "storage", "admin")
SOURCES = ("xmppd", *LINKED)


def python_files(*folders: str) -> Iterator[Path]:
    """Each Python file once: Path.rglob does not follow the links in xmppd/."""
    for folder in folders:
        yield from sorted((ROOT / folder).rglob("*.py"))


def setup_cfg() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    return config


# ---- one import name per module


@pytest.mark.parametrize("name", LINKED)
def test_the_packages_are_links_to_the_folders_on_top(name: str) -> None:
    link = ROOT / "xmppd" / name
    assert link.is_symlink(), (
        f"{link} must be a committed link to ../{name} (a checkout with core.symlinks=false?)"
    )
    assert os.readlink(link) == f"../{name}"


@pytest.mark.parametrize("name", LINKED)
def test_a_linked_package_refuses_its_bare_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(ROOT)
    monkeypatch.delitem(sys.modules, name, raising=False)
    assert importlib.import_module(f"xmppd.{name}").__name__ == f"xmppd.{name}"
    with pytest.raises(ImportError, match=rf"imported as xmppd\.{name}, not as {name}"):
        importlib.import_module(name)


def ruff_codes(path: str, source: str) -> set[str]:
    """The rules that `source` breaks if it stands in the file `path`."""
    command = [sys.executable, "-m", "ruff", "check", "--output-format=json", "--no-cache"]
    result = subprocess.run(
        [*command, f"--stdin-filename={path}", "-"],
        input=f"from __future__ import annotations\n\n{source}\n",
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode in (0, 1), result.stderr
    return {finding["code"] for finding in json.loads(result.stdout)}


@pytest.mark.parametrize(
    "source",
    [
        "import extensions",
        "import storage.sqlite",
        "from admin import api",
        "import asyncio\n\nasyncio.create_task(main())",
        "from asyncio import ensure_future",
    ],
)
def test_ruff_finds_banned_imports(source: str) -> None:
    for path in ("xmppd/im/roster.py", "extensions/xep_0199_ping.py", "storage/sqlite/archive.py"):
        assert "TID251" in ruff_codes(path, source)


def test_ruff_finds_relative_imports_and_knows_the_one_place_where_tasks_start() -> None:
    assert "TID252" in ruff_codes("xmppd/im/roster.py", "from . import presence")
    create = "import asyncio\n\nasyncio.create_task(main())"
    assert "TID251" not in ruff_codes("xmppd/tasks.py", create)


# ---- one place where tasks start


def bare_tasks(source: str) -> list[int]:
    """Lines that start a task by themselves, on whatever loop or group; ruff sees only `asyncio.create_task`."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute)
        and node.attr in ("create_task", "ensure_future", "run_coroutine_threadsafe")
    ]


def test_tasks_start_only_in_tasks_py() -> None:
    assert bare_tasks("loop = get()\nloop.create_task(main())") == [2]
    found = [
        f"{path.relative_to(ROOT)}:{line}"
        for path in python_files(*SOURCES)
        if path != ROOT / "xmppd" / "tasks.py"
        for line in bare_tasks(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "start background work with xmppd.tasks"


# ---- one direction of imports


def lint_imports(root: Path, files: dict[str, str]) -> str:
    """What import-linter says of a small house in `root` with `files`, under our contracts; "" if all are kept."""
    (root / "setup.cfg").write_text((ROOT / "setup.cfg").read_text(encoding="utf-8"), encoding="utf-8")
    packages = ("xmppd", *LINKED, "storage/sqlite", "storage/postgres")
    house = {**{f"{name}/__init__.py": "" for name in packages}, "storage/open.py": "", **files}
    for name, source in house.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(source, encoding="utf-8")
    for name in LINKED:
        (root / "xmppd" / name).symlink_to(f"../{name}")
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command; lint_imports_command()",
            "--no-cache",
        ],
        cwd=root,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(root), "COLUMNS": "200"},
    )
    return result.stdout + result.stderr if result.returncode else ""


def test_import_linter_keeps_the_floors(tmp_path: Path) -> None:
    upwards = {
        "xmppd/jid.py": "import xmppd.config",
        "xmppd/config.py": "",
        "xmppd/im/__init__.py": "import xmppd.extensions.xep_0001",
        "extensions/xep_0001.py": "",
        "storage/sqlite/__init__.py": "import xmppd.extensions.xep_0001",
        "admin/api.py": "import xmppd.server",
        "xmppd/server.py": "",
    }
    said = lint_imports(tmp_path, upwards)
    for importer in ("xmppd.jid", "xmppd.im", "xmppd.storage.sqlite", "xmppd.admin"):
        assert f"{importer} is not allowed to import" in said


def test_import_linter_keeps_extensions_apart(tmp_path: Path) -> None:
    said = lint_imports(
        tmp_path,
        {"extensions/xep_0001.py": "", "extensions/xep_0002/__init__.py": "import xmppd.extensions.xep_0001"},
    )
    assert "xmppd.extensions.xep_0002 is not allowed to import xmppd.extensions.xep_0001" in said


def test_import_linter_keeps_the_engines_behind_the_interfaces(tmp_path: Path) -> None:
    said = lint_imports(tmp_path, {"xmppd/im/__init__.py": "import xmppd.storage.sqlite"})
    assert "Illegal imports of protected package xmppd.storage.sqlite" in said
    assert "xmppd.im" in said


def test_import_linter_accepts_imports_downwards(tmp_path: Path) -> None:
    downwards = {
        "xmppd/server.py": "import xmppd.admin.api, xmppd.extensions.xep_0001, xmppd.storage.open",
        "storage/open.py": "import xmppd.storage.sqlite.rosters",
        "storage/sqlite/rosters.py": "import xmppd.storage.interfaces",
        "admin/api.py": "import xmppd.jid",
        "extensions/xep_0001.py": "import xmppd.storage.interfaces, xmppd.im",
        "storage/interfaces.py": "import xmppd.jid",
        "xmppd/im/__init__.py": "import xmppd.routing",
        "xmppd/routing/__init__.py": "import xmppd.storage.interfaces",
        "xmppd/jid.py": "",
    }
    assert lint_imports(tmp_path, downwards) == ""


def test_every_module_of_the_core_has_a_floor() -> None:
    layers = setup_cfg()["importlinter:contract:floors"]["layers"]
    on_floors = {
        name.strip(" ()").split(".")[1] for line in layers.split() if (name := line) not in (":", "|")
    }
    modules = {
        path.stem
        for path in (ROOT / "xmppd").iterdir()
        if (path.suffix == ".py" and path.stem != "__init__") or (path / "__init__.py").exists()
    }
    assert modules - on_floors == set(), "give it a line in setup.cfg, [importlinter:contract:floors]"


# ---- one list of what the program needs


def imported(path: Path) -> Iterator[str]:
    """The top-level names that a file imports."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def normal(distribution: str) -> str:
    return distribution.lower().replace("_", "-")


def test_what_is_imported_is_declared() -> None:
    lines = setup_cfg()["options"]["install_requires"].split("\n")
    declared = {normal(Requirement(line).name) for line in lines if line}
    distributions = packages_distributions()
    missing = {
        f"{path.relative_to(ROOT)} imports {name}"
        for path in python_files(*SOURCES)
        for name in imported(path)
        if name not in sys.stdlib_module_names
        and name != "xmppd"
        and not declared & {normal(distribution) for distribution in distributions.get(name, ())}
    }
    assert missing == set(), "not in install_requires of setup.cfg"


# ---- a harness that lets nothing pass in silence


WORKERS = ["-n", "1", "--dist", "worksteal"]  # as `make test` has it, and one shows what many do


@pytest.fixture
def harness(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder with our conftest.py and pytest settings, outside of CI, and outside of the workers of this run."""
    shutil.copy(ROOT / "tests" / "conftest.py", pytester.path)
    shutil.copy(ROOT / "setup.cfg", pytester.path)
    for variable in ("CI", "XMPPD_SOAK", *(name for name in os.environ if name.startswith("PYTEST_XDIST"))):
        monkeypatch.delenv(variable, raising=False)
    return pytester


@pytest.fixture(params=[[], WORKERS], ids=["one process", "workers"])
def processes(request: pytest.FixtureRequest) -> list[str]:
    """The arguments for pytest that say how many processes run the tests."""
    arguments: list[str] = request.param
    return arguments


MISTAKES = {
    "task": (
        "async def test_it():\n    asyncio.create_task(asyncio.sleep(9), name='lost')",
        "*task left behind: *lost*",
    ),
    "callback": (
        "async def test_it():\n    asyncio.get_running_loop().call_soon(lambda: 1 / 0)",
        "*ZeroDivisionError*",
    ),
    "exception": (
        "async def fails():\n    raise KeyError\n"
        "async def test_it():\n    asyncio.create_task(fails())\n    await asyncio.sleep(0)",
        "*Task exception was never retrieved: KeyError*",
    ),
    "coroutine": (
        "async def f(): pass\ndef test_it():\n    f()",
        "*coroutine 'f' was never awaited*",
    ),
    "finalizer": (
        "class A:\n    def __del__(self): raise KeyError\ndef test_it():\n    A()",
        "*PytestUnraisableException*",
    ),
    "warning": (
        "def test_it():\n    warnings.warn('old', DeprecationWarning)",
        "*DeprecationWarning: old*",
    ),
    "timeout": (
        "@pytest.mark.timeout(0.2)\nasync def test_it():\n    await asyncio.Event().wait()",
        "*Timeout*0.2*",
    ),
    "marker": (
        "@pytest.mark.typo\ndef test_it(): pass",
        "*'typo' not found in `markers`*",
    ),
    "pass": (
        "@pytest.mark.xfail\ndef test_it(): pass",
        "*XPASS(strict)*",
    ),
}  # fmt: skip


def test_the_harness_fails_a_test_for_each_mistake(harness: pytest.Pytester, processes: list[str]) -> None:
    for name, (source, _) in MISTAKES.items():
        harness.makepyfile(**{f"test_{name}": f"import asyncio, pytest, warnings\n{source}"})
    harness.makepyfile(test_none="async def test_it(): pass")
    result = harness.runpytest_subprocess(".", "--continue-on-collection-errors", *processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    summary = [line.split()[1] for line in result.outlines if line.startswith(("FAILED ", "ERROR "))]
    assert {line.partition(".py")[0] for line in summary} == {f"test_{name}" for name in MISTAKES}
    for _, said in MISTAKES.values():
        result.stdout.fnmatch_lines([said])


def test_the_harness_finds_what_comes_to_light_after_the_test(
    harness: pytest.Pytester, processes: list[str]
) -> None:
    harness.makepyfile(
        """
        import asyncio, pytest
        @pytest.fixture(scope="session")
        def kept():
            tasks = []
            yield tasks
            tasks.clear()
        async def fails():
            raise KeyError
        async def test_it(kept):
            kept.append(asyncio.create_task(fails()))
            await asyncio.sleep(0)
        """
    )
    result = harness.runpytest_subprocess(".", *processes)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*found after the test: *test_it: Task exception was never retrieved*"])


@pytest.mark.parametrize(
    "finalizer",
    ["raise KeyError('last')", "warnings.warn('last', ResourceWarning)"],
    ids=["error", "warning"],
)
def test_the_harness_finds_what_is_lost_with_the_last_test(
    harness: pytest.Pytester, processes: list[str], finalizer: str
) -> None:
    harness.makepyfile(
        f"""
        import sys, warnings
        class Lost:
            def __del__(self):
                {finalizer}
        def pytest_sessionfinish():
            lost = Lost()
            lost.itself = lost  # only the garbage collector finds it
        def test_it(request):
            request.config.pluginmanager.register(sys.modules[__name__], "later than the last test")
        """
    )
    result = harness.runpytest_subprocess(".", *processes)
    result.assert_outcomes(passed=1)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["*found after the test: *Lost*last*"])


@pytest.mark.parametrize("moment", ["pytest_runtest_logfinish", "pytest_sessionfinish"])
def test_a_worker_that_ends_by_itself_fails_the_run(harness: pytest.Pytester, moment: str) -> None:
    """With no test left to run there is none that fails for it."""
    harness.makepyfile(
        f"""
        import os, sys
        def {moment}():
            os._exit(0)
        def test_it(request):
            request.config.pluginmanager.register(sys.modules[__name__], "the end")
        """
    )
    result = harness.runpytest_subprocess(".", *WORKERS, "--max-worker-restart=0")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["*found after the test: the worker gw* ended by itself: Not properly terminated"]
    )


def test_the_watchdog_ends_a_worker_that_hangs_and_fails_the_run(harness: pytest.Pytester) -> None:
    harness.makepyfile(
        """
        import pytest, threading
        @pytest.fixture(scope="session")
        def hangs():
            yield
            threading.Event().wait()
        def test_it(hangs): pass
        """
    )
    result = harness.runpytest_subprocess(
        ".", *WORKERS, "-o", "faulthandler_timeout=0.5", "-o", "timeout=0", "--max-worker-restart=0"
    )
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stderr.fnmatch_lines(["Timeout (0:00:00.500000)!", "*in hangs"])


def test_the_harness_passes_what_cleans_up(harness: pytest.Pytester, processes: list[str]) -> None:
    harness.makepyfile(
        """
        import asyncio, pytest
        from hypothesis import given, strategies
        @given(strategies.integers())
        async def test_property(number):
            await asyncio.sleep(0)
        @pytest.fixture
        async def worker():
            task = asyncio.create_task(asyncio.sleep(9))
            yield task
            task.cancel()
        async def test_it(worker):
            assert not worker.done()
        """
    )
    assert harness.runpytest_subprocess(".", *processes).ret == 0


def test_a_skip_fails_the_run_when_ci_is_set(
    harness: pytest.Pytester, processes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.makepyfile(
        test_mark="import pytest\n@pytest.mark.skip\ndef test_it(): pass",
        test_call="import pytest\ndef test_it():\n    pytest.skip('no service')",
        test_file="import pytest\npytest.importorskip('there_is_no_such_module')\ndef test_it(): pass",
        test_good="def test_it(): pass",
    )
    assert harness.runpytest_subprocess(".", *processes).ret == 0
    monkeypatch.setenv("CI", "true")
    result = harness.runpytest_subprocess(".", *processes)
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    for name in ("mark", "call", "file"):
        result.stdout.fnmatch_lines([f"skipped, which fails the run when CI is set: test_{name}.py*"])


def test_the_soak_fixture_tells_the_length_and_marks_its_tests(
    harness: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.makepyfile(
        "import os\ndef test_long(soak): assert soak is ('XMPPD_SOAK' in os.environ)\ndef test_other(): pass"
    )
    harness.runpytest_subprocess(".", "-m", "soak").assert_outcomes(passed=1, deselected=1)
    monkeypatch.setenv("XMPPD_SOAK", "1")
    harness.runpytest_subprocess(".", "-m", "soak").assert_outcomes(passed=1, deselected=1)


def test_an_interrupt_ends_the_run_whatever_the_test_makes_of_it(
    harness: pytest.Pytester, processes: list[str]
) -> None:
    harness.makepyfile(
        """
        import asyncio, os, pytest, signal
        async def test_first():
            os.kill(os.getpid(), signal.SIGINT)
            try:
                await asyncio.sleep(9)
            except asyncio.CancelledError:
                pytest.fail("somebody cancelled it")
        def test_second(): pass
        def test_third(): pass
        def test_fourth(): pass
        """
    )
    result = harness.runpytest_subprocess(".", "-p", "no:randomly", *processes)
    assert result.ret in (pytest.ExitCode.INTERRUPTED, pytest.ExitCode.TESTS_FAILED)
    assert "passed" not in result.parseoutcomes()
    result.stdout.fnmatch_lines(
        ["* received keyboard-interrupt !" if processes else "*! KeyboardInterrupt !*"]
    )


def test_the_order_is_random_and_can_be_had_again(harness: pytest.Pytester, processes: list[str]) -> None:
    """Whoever runs on several cores, too, is told a seed that gives one order and the same dice in one process."""
    harness.makepyfile(
        "import random\n"
        + "\n".join(
            f"def test_{number}(): print('rolled', {number}, random.random())" for number in range(20)
        )
    )

    def rolled(result: pytest.RunResult) -> list[tuple[int, str]]:
        lines = [line.split() for line in result.outlines if line.startswith("rolled ")]
        return [(int(number), dice) for _, number, dice in lines]

    result = harness.runpytest_subprocess(".", "-rP", *processes)
    (told,) = (line for line in result.outlines if line.startswith("the order of tests"))
    seed = told.rpartition("=")[2]
    again = rolled(harness.runpytest_subprocess(".", "-rP", f"--randomly-seed={seed}"))
    assert again != sorted(again)
    assert sorted(rolled(result)) == sorted(again)
    if not processes:
        assert rolled(result) == again


def test_workers_begin_with_the_longest(harness: pytest.Pytester) -> None:
    harness.makepyfile(
        """
        import pytest
        def test_short(): pass
        @pytest.mark.slow
        def test_slow(): pass
        def test_soak(soak): pass
        def test_other(): pass
        """
    )
    result = harness.runpytest_subprocess(".", "-vv", *WORKERS)
    order = [line.rpartition("::test_")[2].strip() for line in result.outlines if " PASSED " in line]
    assert order[:2] == ["soak", "slow"]
    assert sorted(order[2:]) == ["other", "short"]
