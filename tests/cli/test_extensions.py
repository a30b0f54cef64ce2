"""Extensions of other packages: found by their entry point, configured and switched like our own."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.cli.tool import ServerProcess, call
from xmppd.routing.pipeline import Inbound

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "xmppd-words" / "xmppd_words.py"


@pytest.fixture
def installed(site: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The module of the example as pip leaves it: importable, and with an entry point. It may be overwritten."""
    packages = site / "packages"
    metadata = packages / "xmppd_words-1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: xmppd-words\nVersion: 1.0\n")
    (metadata / "entry_points.txt").write_text("[xmppd.extensions]\nwords = xmppd_words:EXTENSION\n")
    module = packages / "xmppd_words.py"
    module.write_bytes(EXAMPLE.read_bytes())
    monkeypatch.syspath_prepend(packages)
    monkeypatch.delitem(sys.modules, "xmppd_words", raising=False)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # tests overwrite it within the second
    return module


WITHOUT_DEFAULT = """
from dataclasses import replace
from msgspec import defstruct
from xmppd.extensions.xep_0199_ping import EXTENSION as PING
EXTENSION = replace(PING, name="words", config=defstruct("Options", [("words", str)]))
"""


def words_at_filter(*options: object) -> list[dict[str, str]]:
    stages = {stage["stage"]: stage for stage in call("pipeline", "--json", *options).json}
    handlers: list[dict[str, str]] = stages[Inbound.FILTER.name.lower()]["handlers"]
    return handlers


def configure(site: Path, options: str) -> None:
    with (site / "xmppd.toml").open("a") as file:
        file.write(f"\n[extensions.words]\n{options}\n")


def test_the_example_acts_where_it_says(site: Path, installed: Path) -> None:
    assert words_at_filter() == [{"owner": "words", "kind": "message"}]
    configure(site, 'refused = ["spam"]\nenabled = false')
    assert words_at_filter() == []


def test_its_options_are_checked_and_explained(site: Path, installed: Path) -> None:
    configure(site, 'refusd = ["spam"]')
    result = call("pipeline")
    assert result.status == 2
    assert "extensions.words.refusd: unknown key; did you mean extensions.words.refused?" in result.err
    assert call("init", "other", "--domain", "a.example").status == 0
    assert "# Words that no message may hold." in (site / "other" / "xmppd.toml").read_text()


def test_two_that_do_the_same_are_told_apart_and_how_to_go_on(site: Path, installed: Path) -> None:
    source = installed.read_text()
    taken = "from xmppd.extensions import xep_0199_ping\nfrom xmppd.extension import NoOptions\n"
    claim = "    s.stage(Inbound.FILTER, Words(options).on_message, (Message,))"
    assert claim in source
    installed.write_text(
        source.replace(claim, f"{claim}\n    xep_0199_ping.setup(s, NoOptions())").replace(
            "import msgspec\n", f"import msgspec\n{taken}"
        )
    )
    result = call("pipeline")
    assert result.status == 2
    assert result.err == (
        "error: words and ping both handle iq get <ping xmlns='urn:xmpp:ping'/> to the server; "
        "switch one of them off, as with [extensions.words] enabled = false\n"
    )
    path = os.pathsep.join([str(installed.parent), *filter(None, [os.environ.get("PYTHONPATH")])])
    with ServerProcess("serve", cwd=site, env={"PYTHONPATH": path}) as server:
        ended = server.wait()
    assert (ended.status, ended.out) == (2, "")
    assert ended.err.endswith(result.err)
    assert "Traceback" not in ended.err
    configure(site, "enabled = false")
    assert call("pipeline").status == 0


def test_options_without_the_package_are_a_mistake(site: Path) -> None:
    configure(site, 'refused = ["spam"]')
    result = call("pipeline")
    assert result.status == 2
    assert "extensions.words: unknown extension" in result.err


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("import no_such_module", "cannot be loaded: ModuleNotFoundError: No module named 'no_such_module'"),
        ("NO_EXTENSION = 1", "cannot be loaded: AttributeError"),
        ("def", "cannot be loaded: SyntaxError"),
        ("EXTENSION = 1", "is no extension"),
        ("from xmppd.extensions.xep_0199_ping import EXTENSION", "the extension ping of"),
        (WITHOUT_DEFAULT, "has no default for its option words"),
    ],
)
def test_a_broken_package_is_named(installed: Path, source: str, told: str) -> None:
    installed.write_text(source)
    result = call("pipeline")
    assert result.status == 2
    assert "xmppd_words:EXTENSION" in result.err
    assert told in result.err
    assert "uninstall its package" in result.err
