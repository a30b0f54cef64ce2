"""The workloads, in the order they run, with the budgets of docs/architecture.md section 11."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.workloads.base import Workload
from benchmarks.workloads.catch_up import CatchUp
from benchmarks.workloads.chat import Chat
from benchmarks.workloads.idle import Idle
from benchmarks.workloads.join_storm import JoinStorm
from benchmarks.workloads.login import Login
from benchmarks.workloads.many_rooms import ManyRooms
from benchmarks.workloads.muc import Muc
from benchmarks.workloads.page import MamPage
from benchmarks.workloads.presence import Presence

WORKLOADS: tuple[Workload, ...] = (
    Chat(name="chat-plain-1", tls=False, budget=22.0),
    Chat(name="chat-plain-4", tls=False, window=4, budget=15.0),
    Chat(name="chat-tls-1", tls=True, budget=30.0),
    Chat(name="chat-tls-4", tls=True, window=4, budget=18.0),
    Chat(name="archive-sqlite", tls=True, stored=True, ask_every=5, budget=60.0),
    Chat(
        name="archive-postgres",
        tls=True,
        stored=True,
        ask_every=5,
        postgres=True,
        budget=60.0,
        database_budget=60.0,
    ),
    MamPage(name="mam-page-sqlite"),
    MamPage(name="mam-page-postgres", postgres=True, database_budget=1_000.0),
    CatchUp(name="catch-up-sqlite"),
    CatchUp(name="catch-up-postgres", postgres=True),
    Presence(budget=11.0),
    Muc(name="muc-100-plain-1", tls=False, budget=7.0),
    Muc(name="muc-100-plain-5", tls=False, senders=5, budget=7.0),
    Muc(name="muc-100-tls-1", budget=10.0),
    Muc(name="muc-100-tls-5", senders=5, budget=10.0),
    Muc(name="muc-100-archive-1", stored=True, budget=10.0),
    Muc(name="muc-100-archive-5", senders=5, stored=True, budget=10.0),
    Muc(name="muc-100-sm-1", acknowledged=True),
    Muc(name="muc-100-sm-5", senders=5, acknowledged=True),
    JoinStorm(),
    ManyRooms(),
    Login(name="login-sha-1", mechanism="SCRAM-SHA-1", budget=1.2),
    Login(name="login-sha-256", mechanism="SCRAM-SHA-256", budget=1.2),
    Idle(budget=24.0),
)


def at_rate(rate: float) -> Sequence[Workload]:
    """Chat in an open loop at `rate` messages a second, for latency at less than full load."""
    return (
        *(Chat(name=f"chat-{kind}-open", tls=kind == "tls", rate=rate) for kind in ("plain", "tls")),
        *(
            Chat(
                name=f"archive-{engine}-open",
                tls=True,
                stored=True,
                ask_every=5,
                postgres=engine == "postgres",
                rate=rate,
            )
            for engine in ("sqlite", "postgres")
        ),
    )


def select(names: Sequence[str], workloads: Sequence[Workload]) -> list[Workload]:
    """Those called one of `names`, or called so before a hyphen (`login`: both). ValueError for an unknown name."""
    for name in names:
        if not any(_matches(name, workload) for workload in workloads):
            known = ", ".join(workload.name for workload in workloads)
            raise ValueError(f"no workload {name!r}; there are: {known}")
    return [workload for workload in workloads if any(_matches(name, workload) for name in names)]


def _matches(name: str, workload: Workload) -> bool:
    return workload.name == name or workload.name.startswith(f"{name}-")
