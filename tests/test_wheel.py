"""The built wheel, installed into an empty environment away from the checkout, is a whole server.

A build in which one of the linked folders is missing succeeds and gives a wheel without it: only running it tells.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import xmppd

ROOT = Path(__file__).parent.parent
BUILT_FROM = (
    "xmppd",
    "extensions",
    "storage",
    "admin",
    "setup.cfg",
    "setup.py",
    "pyproject.toml",
    "LICENSE",
    "README.md",
)

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def clean() -> dict[str, str]:
    """The environment variables without those that lead back to this environment."""
    return {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "VIRTUAL_ENV"))}


def run(*command: str | Path, cwd: Path) -> str:
    """What `command` prints, run in `cwd` and seeing nothing of this environment; fails the test if it fails."""
    result = subprocess.run(command, cwd=cwd, env=clean(), capture_output=True, text=True, check=False)
    assert result.returncode == 0, f"{command} exited {result.returncode}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy: setuptools leaves build/ where it works, and would take stale files from it."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    source.mkdir()
    for name in BUILT_FROM:
        if (ROOT / name).is_dir():
            shutil.copytree(
                ROOT / name, source / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__")
            )
        else:
            shutil.copy(ROOT / name, source)
    run(sys.executable, "-m", "pip", "wheel", "--no-deps", "--wheel-dir", folder, source, cwd=folder)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def program(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command `xmppd` of an environment that holds the wheel and what it declares to need, nothing else."""
    folder = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
    python = folder / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-compile", wheel, cwd=folder)
    return folder / "bin" / "xmppd"


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    wanted = set(files_below(ROOT / "xmppd"))
    assert held == wanted, "a suffix missing in [options.package_data], or a folder without __init__.py?"


def files_below(folder: Path) -> Iterator[str]:
    """Every file of the package, through the links, as a wheel names it."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        folders[:] = [name for name in folders if name != "__pycache__"]
        yield from (str(Path(parent, name).relative_to(folder.parent)) for name in names)


def test_the_server_of_the_wheel_starts_and_ends(program: Path, tmp_path: Path) -> None:
    assert "serve" in run(program, "--help", cwd=tmp_path)
    site = tmp_path / "site"
    run(program, "init", site, "--domain", "localhost", cwd=tmp_path)
    tls = tomllib.loads((site / "xmppd.toml").read_text(encoding="utf-8"))["tls"]
    (site / "test.toml").write_text(
        f"""
        domains = ["localhost"]
        data_dir = "data"
        [listen]
        c2s = ["127.0.0.1:0"]
        c2s_tls = ["127.0.0.1:0"]
        http = ["127.0.0.1:0"]
        [tls]
        certificate = "{tls["certificate"]}"
        key = "{tls["key"]}"
        """,
        encoding="utf-8",
    )
    server = subprocess.Popen(
        [program, "serve", "-c", site / "test.toml"],
        cwd=tmp_path,
        env=clean(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    with server, server.stdout as said:
        try:
            ready = next((line for line in said if line.startswith("ready ")), "")
            assert ready, "the server ended before it was ready; stderr says why"
            ports = dict(part.split("=127.0.0.1:") for part in ready.split()[1:])
            assert ports.keys() == {"c2s", "c2s_tls", "http"}
            assert "0" not in ports.values()
            server.send_signal(signal.SIGTERM)
            assert server.wait(5) == 0
        finally:
            server.kill()


def test_the_wheel_says_its_version(program: Path, tmp_path: Path) -> None:
    python = program.with_name("python")
    told = run(python, "-c", "from importlib.metadata import version; print(version('xmppd'))", cwd=tmp_path)
    assert told.strip() == xmppd.__version__
