"""The reference is what the program says of itself."""

from __future__ import annotations

from docs.generate import REFERENCE, render


def test_the_reference_is_up_to_date() -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in REFERENCE.iterdir()}
    assert pages == render(), "run `make docs` and commit what it changes"
