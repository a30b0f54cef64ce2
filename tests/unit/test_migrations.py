"""The files of migrations: their names, their numbers and their first lines."""

from __future__ import annotations

import pytest

from xmppd.storage.migrations import Migration, check, migrations, parse


def test_the_files_of_sqlite() -> None:
    found = migrations("sqlite")
    assert found
    assert [migration.number for migration in found] == list(range(1, len(found) + 1))
    assert found[0].name == "core"
    assert "CREATE TABLE accounts" in found[0].sql


def test_a_file_says_what_it_is() -> None:
    sql = "-- compatible: 3\nSELECT 1;\n"
    assert parse("0012_add_this_and_that.sql", sql) == Migration(12, "add_this_and_that", 3, sql)


@pytest.mark.parametrize("name", ["12_x.sql", "0012.sql", "0012_X.sql", "0012_x.sql.bak", "x.sql"])
def test_a_file_needs_a_number_and_a_name(name: str) -> None:
    with pytest.raises(ValueError, match="must be called"):
        parse(name, "-- compatible: 1\n")


@pytest.mark.parametrize(
    "text", ["", "SELECT 1;", "-- compatible: x", "\n-- compatible: 1\n", "-- compatible:1\n"]
)
def test_a_file_needs_its_first_line(text: str) -> None:
    with pytest.raises(ValueError, match="first line '-- compatible: N'"):
        parse("0001_x.sql", text)


def numbered(*pairs: tuple[int, int]) -> list[Migration]:
    return [Migration(number, "x", compatible, "") for number, compatible in pairs]


def test_numbers_have_no_gap_and_compatibility_never_goes_back() -> None:
    check(numbered((1, 1), (2, 1), (3, 3), (4, 3)))
    for wrong in (
        numbered((2, 1)),
        numbered((1, 1), (3, 1)),
        numbered((1, 1), (1, 1)),
        numbered((1, 2)),
        numbered((1, 0)),
        numbered((1, 1), (2, 2), (3, 1)),
    ):
        with pytest.raises(ValueError, match="migration"):
            check(wrong)
