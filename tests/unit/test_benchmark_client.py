"""The parts of the benchmark's generator that would falsify figures silently if they were wrong."""

from __future__ import annotations

import base64
import itertools
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as program
from benchmarks.accounts import make_accounts
from benchmarks.errors import BenchmarkError
from benchmarks.history import CONTACTS, History
from benchmarks.markers import MarkerCounter
from benchmarks.report import Result, write_json
from benchmarks.scram import KeyCache, ScramClient
from benchmarks.workloads import WORKLOADS, select
from benchmarks.workloads.base import Measurement, Options, percentiles
from xmppd.im.envelope import Envelope
from xmppd.jid import Jid
from xmppd.storage.archive import Kind, Mark, peer_key

STREAM = b"<message><body>a</body></message><message id='</message'/><r/></message></mess</message>"


@given(st.lists(st.integers(1, len(STREAM) - 1)))
def test_every_marker_counts_once_wherever_the_reads_split(cuts: list[int]) -> None:
    counter = MarkerCounter(b"</message>")
    edges = [0, *sorted(set(cuts)), len(STREAM)]
    assert sum(counter.feed(STREAM[a:b]) for a, b in itertools.pairwise(edges)) == 3


def test_byte_by_byte() -> None:
    counter = MarkerCounter(b"</message>")
    assert [at for at in range(len(STREAM)) if counter.feed(STREAM[at : at + 1])] == [
        32,
        STREAM.index(b"<r/>") + len(b"<r/></message>") - 1,
        len(STREAM) - 1,
    ]


@pytest.mark.parametrize("marker", [b"</message", b"<a></message>", b""])
def test_a_marker_that_could_not_be_counted_over_splits_is_refused(marker: bytes) -> None:
    with pytest.raises(ValueError, match="must end with its only '>'"):
        MarkerCounter(marker)


# RFC 5802#5 and RFC 7677#3: user "user", password "pencil", and the messages on the wire.
VECTORS = [
    (
        "SCRAM-SHA-1",
        "fyko+d2lbbFgONRv9qkxdawL",
        b"r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
        b"c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
        b"v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
    ),
    (
        "SCRAM-SHA-256",
        "rOprNGfwEbeRWgbNEkqO",
        b"r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
        b"c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,"
        b"p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
        b"v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
    ),
]


@pytest.mark.parametrize(("mechanism", "nonce", "challenge", "final", "outcome"), VECTORS)
def test_scram_as_in_the_examples_of_its_specifications(
    mechanism: str, nonce: str, challenge: bytes, final: bytes, outcome: bytes
) -> None:
    client = ScramClient(mechanism, "user", "pencil", KeyCache(), nonce)
    assert client.first() == f"n,,n=user,r={nonce}".encode()
    assert client.final(challenge) == final
    client.verify(outcome)
    with pytest.raises(BenchmarkError, match="signature is wrong"):
        client.verify(b"v=" + base64.b64encode(b"somebody else"))


def test_percentiles_are_measured_values_in_milliseconds() -> None:
    latency = percentiles([number / 1000 for number in range(100, 0, -1)])
    assert (latency.p50, latency.p95, latency.p99) == pytest.approx((51, 96, 100))


def test_login_means_both_logins_and_an_unknown_name_is_told_what_there_is() -> None:
    assert [workload.name for workload in select(["login"], WORKLOADS)] == ["login-sha-1", "login-sha-256"]
    with pytest.raises(ValueError, match="no workload 'chatt'; there are: chat-plain-1, "):
        select(["chatt"], WORKLOADS)


@pytest.mark.parametrize("arguments", [["--only", "chatt"], ["--pairs", "0"], ["--peer-only"]])
def test_wrong_arguments_end_with_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        program.main(arguments)
    assert ended.value.code == 2
    assert "usage: python -m benchmarks" in capsys.readouterr().err


def test_accounts_are_the_same_each_time() -> None:
    assert make_accounts(3) == make_accounts(5)[:3]


def test_the_json_holds_figure_budget_and_ratio_for_xmppd_and_no_budget_for_a_peer(tmp_path: Path) -> None:
    workload = WORKLOADS[0]
    measured = Measurement(figure=33.0, rounds=(32.0, 33.0, 40.0))
    results = [Result("xmppd", workload, measured), Result("prosody", workload, measured)]
    write_json(tmp_path / "new" / "last.json", results, {"xmppd": "1"}, Options(), ["a remark"])
    ours, theirs = json.loads((tmp_path / "new" / "last.json").read_text())["results"]
    assert (ours["figure"], ours["budget"], ours["ratio"]) == (33.0, 22.0, 1.5)
    assert (theirs["figure"], theirs["budget"], theirs["ratio"]) == (33.0, None, None)


@pytest.mark.parametrize(("most", "owned"), [(100, 100), (5_000, 1_200)])
def test_a_history_has_the_rows_that_its_messages_would_leave(most: int, owned: int) -> None:
    history = History(2_400, accounts=30, most=most)
    owners = {Jid.parse(account.jid): 1_000 + at for at, account in enumerate(make_accounts(30))}
    of_owner: list[int] = []
    contacts: set[int] = set()
    messages = list(history.messages(list(owners.values())))
    for at, message in enumerate(messages):
        envelope = Envelope.of(message.stanza)
        sender, to = Jid.parse(envelope.sender).bare, Jid.parse(envelope.to)
        mine, theirs = message.rows
        assert (mine.owner, theirs.owner) == (owners[sender], owners[to])
        assert mine.peer == peer_key(to) | Mark.SENT | Mark.UNREAD
        assert theirs.peer == peer_key(sender) | Mark.UNREAD
        assert (mine.kind, theirs.kind) == (Kind.NONE, Kind.OWED)
        if 1_000 in (mine.owner, theirs.owner):
            of_owner.append(at)
            contacts.add(mine.owner + theirs.owner - 1_000)
    assert sum(len(message.rows) for message in messages) == 2_400
    assert len({message.origin for message in messages}) == 1_200
    assert len(of_owner) == history.owned == owned
    assert contacts == set(range(1_001, 1_001 + CONTACTS))
    gaps = [after - before for before, after in itertools.pairwise(of_owner)]
    assert max(gaps) - min(gaps) <= 1, "spread evenly"
