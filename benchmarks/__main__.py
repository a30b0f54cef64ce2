"""The command: `python -m benchmarks`.

Exit status: 0 measured, whatever the figures; 1 a workload could not run; 2 usage.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path

from benchmarks.accounts import Account, make_accounts
from benchmarks.cores import Cores, choose_cores, raise_file_limit
from benchmarks.errors import BenchmarkError
from benchmarks.loop import Loop
from benchmarks.peers import PEER_NAMES, make_peer
from benchmarks.report import Result, disturbances, print_table, write_json
from benchmarks.scram import KeyCache
from benchmarks.server import Server, Xmppd
from benchmarks.workloads import WORKLOADS, at_rate, select
from benchmarks.workloads.base import Bench, Filled, Measurement, Options, Workload
from benchmarks.yardstick import Yardstick

_RESULTS = Path(__file__).parent / "results" / "last.json"


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse `arguments`, measure, report."""
    parser = _parser()
    chosen = parser.parse_args(arguments)
    options = _options(parser, chosen)
    workloads = [*WORKLOADS, *(at_rate(chosen.rate) if chosen.rate else ())]
    if chosen.only:
        try:
            workloads = select(chosen.only.split(","), workloads)
        except ValueError as error:
            parser.error(str(error))
    cores = choose_cores()
    # Both ends of the descriptors are raised alike: the server inherits the limit.
    complaint = raise_file_limit(2 * max(workload.accounts(options) for workload in workloads) + 500)
    remarks = [note for note in (cores.note, complaint) if note]
    if chosen.profile:
        remarks.append("profiled: the figures include the profiler and compare with nothing")
    folder = Path(tempfile.mkdtemp(prefix="xmppd-bench-"))
    servers: list[Server] = []
    try:
        servers = _servers(chosen, folder, cores)
        yardstick = Yardstick(folder, cores)
        results = Session(servers, options, cores, yardstick, chosen.profile).run(workloads)
        yardstick.close()
        remarks += disturbances(results)
        print_table(results, remarks)
        versions = {server.name: server.version() for server in servers}
        write_json(chosen.json, results, versions, options, remarks)
        print(f"written to {chosen.json}")
    except BenchmarkError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        for server in servers:
            server.close()
        if chosen.keep:
            print(f"configurations, data and logs are kept in {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return int(any(result.error for result in results))


class Session:
    """One run: every workload on every server, each on a freshly started one."""

    def __init__(
        self,
        servers: Sequence[Server],
        options: Options,
        cores: Cores,
        yardstick: Yardstick,
        profile: Path | None,
    ) -> None:
        self._servers = servers
        self._options = options
        self._cores = cores
        self._yardstick = yardstick
        self._profile = profile
        self._keys = KeyCache()

    def run(self, workloads: Sequence[Workload]) -> list[Result]:
        """Raises BenchmarkError where a server cannot be prepared; what fails later is in the results."""
        accounts = make_accounts(max(workload.accounts(self._options) for workload in workloads))
        for server in self._servers:
            _progress(f"{server.name}: creating {len(accounts)} accounts")
            server.prepare(accounts)
        return [
            result
            for workload in workloads
            for server in self._servers
            if server.ours or not (workload.postgres or isinstance(workload, Filled))
            for result in self._measure(workload, server, accounts, self._profile_for(workload, workloads))
        ]

    def _measure(
        self, workload: Workload, server: Server, accounts: Sequence[Account], profile: Path | None
    ) -> Iterator[Result]:
        """The results of all parts."""
        _progress(f"{server.name}: {workload.name}")
        history = workload.history(self._options) if isinstance(workload, Filled) else None
        try:
            with (
                server.start(
                    workload.mechanism, profile, postgres=workload.postgres, history=history
                ) as running,
                Loop() as loop,
            ):
                bench = Bench(
                    running=running,
                    options=self._options,
                    accounts=accounts,
                    mechanism=workload.mechanism,
                    keys=self._keys,
                    cores=self._cores,
                    loop=loop,
                )
                before = self._yardstick.measure()
                measured = workload.run(bench)
                machine = (before + self._yardstick.measure()) / 2
        except BenchmarkError as error:
            yield Result(server.name, workload, None, str(error))
            return
        parts = {"": measured} if isinstance(measured, Measurement) else measured
        for part, measurement in parts.items():
            yield Result(server.name, workload, measurement, part=part, machine=machine)

    def _profile_for(self, workload: Workload, workloads: Sequence[Workload]) -> Path | None:
        """Each workload starts a server of its own, so several workloads write several profiles."""
        if self._profile is None or len(workloads) == 1:
            return self._profile
        return self._profile.with_stem(f"{self._profile.stem}-{workload.name}")


def _servers(chosen: argparse.Namespace, folder: Path, cores: Cores) -> list[Server]:
    servers: list[Server] = []
    if not chosen.peer_only:
        servers.append(Xmppd(_subfolder(folder, "xmppd"), cores, chosen.python))
    servers.extend(make_peer(name, _subfolder(folder, name), cores) for name in chosen.peer)
    return servers


def _subfolder(folder: Path, name: str) -> Path:
    made = folder / name
    made.mkdir()
    return made


def _options(parser: argparse.ArgumentParser, chosen: argparse.Namespace) -> Options:
    sizes = {size.name: getattr(chosen, size.name) for size in fields(Options)}
    for name, size in sizes.items():
        if size <= 0:
            parser.error(f"--{name} {size}: it must be above 0")
    if chosen.peer_only and not chosen.peer:
        parser.error("--peer-only measures nothing without --peer")
    return Options(**sizes)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description="Measure what xmppd costs per message, delivery, login and session. See benchmarks/README.md.",
        epilog=f"Workloads: {', '.join(workload.name for workload in WORKLOADS)}.",
    )
    add = parser.add_argument
    add(
        "--python",
        metavar="PATH",
        default=sys.executable,
        help="the interpreter whose xmppd is measured (this one)",
    )
    add("--only", metavar="NAMES", help="some of the workloads, with commas; `login` means both, and so on")
    for size in fields(Options):
        add(
            f"--{size.name}",
            metavar="N",
            type=type(size.default),
            default=size.default,
            help=f"{size.metadata['help']} (%(default)s)",
        )
    add(
        "--rate",
        metavar="N",
        type=float,
        help="also chat at N messages/s, whatever the answers do (open loop)",
    )
    add("--peer", action="append", default=[], choices=PEER_NAMES, help="measure it as well (repeatable)")
    add("--peer-only", action="store_true", help="leave xmppd out")
    add("--profile", metavar="FILE", type=Path, help="run xmppd under cProfile and write the profile to FILE")
    add("--json", metavar="FILE", type=Path, default=_RESULTS, help="where the results go (%(default)s)")
    add("--keep", action="store_true", help="keep configurations, data and logs, and say where")
    return parser


def _progress(text: str) -> None:
    print(f"{text} ...", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
