"""What all commands have in common: options anywhere, exit statuses, JSON, how they end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.tool import call, program
from xmppd import __version__
from xmppd.routing.pipeline import Inbound, Outbound

COMMANDS = ["serve", "init", "check", "pipeline", "version", "user"]
USER_COMMANDS = ["add", "passwd", "del", "list", "show", "import"]


def test_without_a_command_it_fails_and_names_them() -> None:
    result = call()
    assert result.status == 2
    assert result.out == ""
    assert call("--json").json["error"]["kind"] == "usage"
    assert all(command in result.err for command in COMMANDS)


@pytest.mark.parametrize(
    "command", [[], *([name] for name in COMMANDS), *(["user", name] for name in USER_COMMANDS)]
)
def test_help_names_the_two_options_of_every_command(command: list[str]) -> None:
    result = call(*command, "--help")
    assert result.status == 0
    assert "-c" in result.out
    assert "--json" in result.out


@pytest.mark.parametrize("arguments", [["version"], ["--version"]])
def test_version(arguments: list[str]) -> None:
    assert call(*arguments).out == f"xmppd {__version__}\n"
    assert call("--json", *arguments).json == {"version": __version__, "compiled": False}
    assert call(*arguments, "--json").json == {"version": __version__, "compiled": False}


@pytest.mark.parametrize(
    "arguments",
    [
        ["srve"],
        ["user"],
        ["user", "ad"],
        ["user", "add"],
        ["version", "--no-such-option"],
        ["version", "too", "many"],
        ["serve", "--workers", "0"],
        ["serve", "--workers", "many"],
        ["-c"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], site: Path) -> None:
    result = call(*arguments)
    assert result.status == 2
    assert result.out == ""
    assert result.err.startswith("error: ")
    assert result.err.endswith(" --help`.\n")
    assert ". See `xmppd" in result.err or "? See `xmppd" in result.err
    told = call(*arguments, "--json") if arguments != ["-c"] else call("--json", "-c")
    assert told.status == 2
    assert told.json["error"]["kind"] == "usage"
    assert told.json["error"]["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-c", "other.toml", "user", "list", "--json"],
        ["user", "-c", "other.toml", "list", "--json"],
        ["user", "list", "-c", "other.toml", "--json"],
        ["--json", "user", "list", "-c", "other.toml"],
        ["user", "--json", "list", "--config", "other.toml"],
        ["-c", "xmppd.toml", "user", "list", "-c", "other.toml", "--json"],
    ],
)
def test_the_options_may_stand_anywhere_and_the_last_one_counts(arguments: list[str], site: Path) -> None:
    (site / "other.toml").write_text('domains = ["a.example"]\ndata_dir = "elsewhere"')
    assert call("user", "add", "juliet@a.example", "--password", "x", "-c", "other.toml").status == 0
    assert [account["jid"] for account in call(*arguments).json] == ["juliet@a.example"]


def test_without_c_the_file_in_the_working_directory_holds(site: Path) -> None:
    (site / "xmppd.toml").write_text("domains = []")
    result = call("user", "list")
    assert result.status == 2
    assert "xmppd.toml: domains = []: the list is empty" in result.err


def test_without_a_file_the_embedded_configuration_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert call("user", "add", "juliet@localhost", "--password", "x").status == 0
    assert call("user", "list").out == "juliet@localhost\n"
    assert (tmp_path / "data" / "xmppd.db").exists()


@pytest.mark.parametrize("command", [["check"], ["pipeline"], ["version"]])
def test_what_only_looks_makes_nothing(
    command: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    call(*command)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [["serve"], ["check"], ["pipeline"], ["user", "list"], ["user", "show", "a@b"]]
)
def test_a_wrong_configuration_is_2_with_every_problem(command: list[str], site: Path) -> None:
    (site / "bad.toml").write_text('domain = ["a.example"]\n[limits]\nstanza_bytes = 1')
    result = call(*command, "-c", "bad.toml", "--json")
    assert result.status == 2
    error = result.json["error"]
    assert error["kind"] == "configuration"
    assert error["file"] == "bad.toml"
    assert [problem["key"] for problem in error["problems"]] == ["domain", "limits.stanza_bytes", "domains"]
    assert error["problems"][0]["suggestion"] == "domains"
    assert error["problems"][1]["value"] == "1"
    assert error["problems"][1]["allowed"].startswith("0 (off) or")
    assert result.err.count("error: bad.toml: ") == 3
    assert call(*command, "-c", "bad.toml").out == ""


def test_a_missing_file_is_2(site: Path) -> None:
    result = call("user", "list", "-c", "gone.toml")
    assert result.status == 2
    assert "gone.toml: there is no such file; `xmppd init DIR --domain DOMAIN`" in result.err


def test_data_dir_that_cannot_be_made_is_1(site: Path) -> None:
    (site / "file").write_text("")
    (site / "x.toml").write_text('domains = ["a.example"]\ndata_dir = "file/data"')
    result = call("user", "add", "juliet@a.example", "--password", "x", "-c", "x.toml")
    assert result.status == 1
    assert result.err.startswith("error: ")
    assert "data_dir has to be a folder" in result.err


def test_it_runs_as_a_module_and_reports_its_status(site: Path) -> None:
    done = subprocess.run(program("version"), capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"xmppd {__version__}\n")
    assert subprocess.run(program("user", "show", "no@chat.example"), capture_output=True).returncode == 1
    assert subprocess.run(program("nothing"), capture_output=True).returncode == 2


def test_interrupting_a_command_is_130(site: Path) -> None:
    os.mkfifo(site / "accounts.csv")
    process = subprocess.Popen(program("user", "import", "accounts.csv"), stderr=subprocess.PIPE, text=True)
    with (site / "accounts.csv").open("w"):  # opens when the command does
        process.send_signal(signal.SIGINT)
    # Only now, with the end of the file: a signal just in front of a read that blocks is not seen until it returns.
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_a_reader_that_has_seen_enough_leaves_no_traceback(site: Path) -> None:
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from xmppd.cli.app import main; sys.stdin.read(); main()",
            "user",
            "list",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    call("user", "add", "juliet@chat.example", "--password", "x")
    assert process.stdout is not None
    process.stdout.close()
    process.stdout = None
    _, err = process.communicate("", timeout=20)
    assert process.returncode == 1
    assert err == ""


def test_pipeline(site: Path) -> None:
    stages = call("pipeline", "--json").json
    order = [*(("sender", stage) for stage in Outbound), *(("recipient", stage) for stage in Inbound)]
    assert [(stage["side"], stage["stage"]) for stage in stages] == [
        (side, stage.name.lower()) for side, stage in order
    ]
    assert all(stage["why"] for stage in stages)
    blocking = {"owner": "blocking", "kind": "message"}
    assert [(stage["side"], stage["stage"]) for stage in stages if blocking in stage["handlers"]] == [
        ("sender", "block"),
        ("recipient", "block"),
    ]
    lines = call("pipeline").out.splitlines()
    assert len(lines) == len(stages)
    assert sum("blocking (message)" in line for line in lines) == 2
    (site / "off.toml").write_text('domains = ["a.example"]\n[extensions.blocking]\nenabled = false')
    assert "blocking" not in call("pipeline", "-c", "off.toml").out
