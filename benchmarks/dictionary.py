"""Train a dictionary for rows of the archive, and say what it saves: `python -m benchmarks.dictionary [N]`.

With N it writes storage/dictionaries/N.zdict, for a number that no release has; without, it measures those that
are there. Texts that are measured hold no phrase that was trained on.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.corpus import Corpus
from xmppd.storage.packing import Packing, own_dictionaries, train

FOLDER: Final = Path(__file__).parent.parent / "storage" / "dictionaries"
TRAINED: Final = 60_000  # messages
MEASURED: Final = 5_000


def microseconds(work: Callable[[bytes], object], values: Sequence[bytes]) -> float:
    """CPU time of `work` per value, the best of five rounds."""
    best = float("inf")
    for _ in range(5):
        before = time.process_time()
        for value in values:
            work(value)
        best = min(best, time.process_time() - before)
    return best / len(values) * 1e6


def report(name: str, packing: Packing, messages: Sequence[bytes]) -> None:
    packed = [packing.pack(message) for message in messages]
    assert [packing.unpack(row) for row in packed] == messages
    size, kept = (sum(map(len, rows)) / len(rows) for rows in (messages, packed))
    print(
        f"{name:24} {size:5.0f} → {kept:4.0f} bytes a row ({size / kept:.2f}:1)"
        f"   in {microseconds(packing.pack, messages):4.1f} µs   out {microseconds(packing.unpack, packed):4.1f} µs"
    )


def main() -> None:
    dictionaries = own_dictionaries()
    if len(sys.argv) > 1:
        number = int(sys.argv[1])
        dictionaries[number] = train(list(Corpus(1).messages(TRAINED)))
        (FOLDER / f"{number}.zdict").write_bytes(dictionaries[number])
    everything = list(Corpus(2, held_out=True).messages(MEASURED))
    clear = [message for message in everything if b"<encrypted" not in message]
    for number, content in sorted(dictionaries.items()):
        packing = Packing({number: content})
        report(f"{number}, {len(content):,} bytes", packing, everything)
        report("   without OMEMO", packing, clear)


if __name__ == "__main__":
    main()
