"""The written documentation: its links lead somewhere, and what it shows of files and settings is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import DOCS
from xmppd.cli.extensions import options
from xmppd.config import Limits, parse

ROOT = DOCS.parent
EXAMPLES = DOCS / "examples"
PAGES = sorted(
    [*ROOT.glob("*.md"), *DOCS.rglob("*.md"), ROOT / "benchmarks" / "README.md"],
    key=lambda page: page.relative_to(ROOT).as_posix(),
)
SHOWN = {
    "how-to/systemd.md": ("xmppd.service",),
    "how-to/haproxy.md": ("haproxy.cfg",),
    "how-to/extension.md": ("xmppd-words/xmppd_words.py", "xmppd-words/pyproject.toml"),
    "tutorial.md": ("certbot-deploy-hook",),
}
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)")
DEFAULT = re.compile(r"`(\w+)` \(([\d,]+)( MiB)?\)")
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)


def name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def anchors(page: Path) -> set[str]:
    """Of the headings, as GitHub makes them."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def blocks(page: Path, language: str) -> list[str]:
    found = FENCE.findall(page.read_text(encoding="utf-8"))
    return [text for _, kind, text in found if kind == language]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    lost = []
    for link in LINK.findall(text):
        if re.match(r"\w+:", link):
            continue  # elsewhere on the network
        file, _, anchor = link.partition("#")
        target = (page.parent / file).resolve() if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            lost.append(link)
    assert lost == []


def test_every_page_is_in_the_index() -> None:
    index = DOCS / "index.md"
    linked = {(DOCS / link.partition("#")[0]).resolve() for link in LINK.findall(index.read_text())}
    assert {name(page) for page in set(PAGES) - linked} <= {"docs/index.md"}


@pytest.mark.parametrize(("page", "examples"), SHOWN.items())
def test_pages_show_the_examples_as_they_are(page: str, examples: tuple[str, ...]) -> None:
    shown = [text for _, _, text in FENCE.findall((DOCS / page).read_text(encoding="utf-8"))]
    for example in examples:
        assert (EXAMPLES / example).read_text(encoding="utf-8") in shown


@pytest.mark.parametrize("page", sorted((DOCS / "how-to").glob("*.md")), ids=name)
def test_settings_are_settings(page: Path) -> None:
    for block in blocks(page, "toml"):
        if "[project]" in block or "[extensions.words]" in block:
            continue  # of the package that is written there
        parse(
            f'domains = ["chat.example"]\n[tls]\ncertificate = "cert.pem"\n{block}',
            ROOT,
            options(),
            name=name(page),
        )


def test_the_page_about_limits_names_the_defaults() -> None:
    limits = Limits()
    named = DEFAULT.findall((DOCS / "how-to" / "limits.md").read_text())
    said = {name: int(number.replace(",", "")) * (2**20 if unit else 1) for name, number, unit in named}
    del said["per_address_per_hour"]  # of an extension
    assert said == {name: getattr(limits, name) for name in said}
