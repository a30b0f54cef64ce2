"""Counting stanzas without parsing XML: the number of end tags that went by."""

from __future__ import annotations

_GREATER_THAN = 0x3E


class MarkerCounter:
    """Counts one byte string in a stream that arrives in arbitrary pieces.

    The marker must end with `>` (an end tag): a piece that ends with `>` then cannot hold the beginning of a
    marker, which is nearly every piece, and the next piece is counted without copying it.
    """

    __slots__ = ("_keep", "_marker", "_tail")

    def __init__(self, marker: bytes) -> None:
        if marker[-1:] != b">" or b">" in marker[:-1]:
            raise ValueError(f"marker {marker!r}: it must end with its only '>'")
        self._marker = marker
        self._keep = len(marker) - 1
        self._tail = b""

    def feed(self, chunk: bytes) -> int:
        """The number of markers that `chunk` (not empty) completes."""
        data = self._tail + chunk if self._tail else chunk
        # At most len(marker) - 1 bytes are kept, so no marker is counted twice.
        self._tail = b"" if chunk[-1] == _GREATER_THAN else data[-self._keep :]
        return data.count(self._marker)
