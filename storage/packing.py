"""How stanzas are kept: compressed by zstd with a dictionary that knows what chat looks like.

The first byte of what is kept is the dictionary's number; 0: what follows is not compressed. The project's
dictionaries are the files ``dictionaries/N.zdict``, N from 1 to 127; numbers from 128 on are for those that were
trained on a server's own messages and stand in its database. None is ever changed: rows that it packed need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from importlib.resources import files
from typing import Final

import zstandard

from xmppd.storage.interfaces import StorageUnavailable

LEVEL: Final = 2  # 2 % larger than 3, for a fifth less time
SIZE: Final = 16_384  # bytes of a dictionary; one of 64 KiB saves 2 % more, in a cache that others need
FIRST_TRAINED: Final = 128  # the first number of dictionaries that the project does not bring along
LAST: Final = 255

_NAME: Final = re.compile(r"([1-9]\d*)\.zdict").fullmatch
_RAW: Final = b"\0"


class Damaged(Exception):
    """What was kept is not what ``Packing.pack`` made."""


class UnknownDictionary(StorageUnavailable):
    """A row was packed with a dictionary that is not there."""

    def __init__(self, number: int) -> None:
        super().__init__(
            f"a stored message needs the dictionary {number}, which this program does not have: run the version of "
            "xmppd that wrote it or a newer one, with the whole database"
        )
        self.number = number


def own_dictionaries() -> dict[int, bytes]:
    """The dictionaries that come with the program, by number."""
    found = {}
    for entry in (files("xmppd.storage") / "dictionaries").iterdir():
        if (name := _NAME(entry.name)) is not None:
            found[int(name[1])] = entry.read_bytes()
    return found


def train(stanzas: Sequence[bytes]) -> bytes:
    """A dictionary for texts like ``stanzas``, of which there should be thousands; ``ValueError`` if that cannot be."""
    try:
        return zstandard.train_dictionary(SIZE, list(stanzas), level=LEVEL).as_bytes()
    except zstandard.ZstdError as error:
        raise ValueError(f"no dictionary can be made of {len(stanzas)} texts: {error}") from error


class Packing:
    """Packs with the dictionary of the highest number and unpacks with each. One thread at a time."""

    def __init__(self, dictionaries: Mapping[int, bytes]) -> None:
        self._packer = _Packer(0, None)
        self._unpackers: dict[int, zstandard.ZstdDecompressor] = {}
        self.add(dictionaries)

    def add(self, dictionaries: Mapping[int, bytes]) -> None:
        """Know these too; ``ValueError`` where a number does not fit into a byte, or a content is no dictionary."""
        for number, content in sorted(dictionaries.items()):
            if not 0 < number <= LAST:
                raise ValueError(f"dictionary {number}: the number has to be one of 1..{LAST}")
            try:
                dictionary = zstandard.ZstdCompressionDict(content, dict_type=zstandard.DICT_TYPE_FULLDICT)
                unpacker = zstandard.ZstdDecompressor(dictionary, format=zstandard.FORMAT_ZSTD1_MAGICLESS)
                unpacker.decompress(_Packer(number, dictionary).pack(b"<message/>" * 10)[1:])
            except zstandard.ZstdError as error:
                raise ValueError(f"dictionary {number} is damaged: {error}") from error
            self._unpackers[number] = unpacker
            if number >= self._packer.number:
                self._packer = _Packer(number, dictionary)

    @property
    def number(self) -> int:
        """The number of the dictionary that is packed with; 0: there is none."""
        return self._packer.number

    def pack(self, stanza: bytes) -> bytes:
        """What is to be kept of ``stanza``: never longer than it by more than a byte."""
        packed = self._packer.pack(stanza)
        return packed if len(packed) <= len(stanza) else _RAW + stanza

    def unpack(self, packed: bytes) -> bytes:
        """What was packed; ``UnknownDictionary`` where that cannot be known yet, ``Damaged`` where it never can."""
        if not packed:
            raise Damaged("nothing was kept")
        number = packed[0]
        if not number:
            return packed[1:]
        unpacker = self._unpackers.get(number)
        if unpacker is None:
            raise UnknownDictionary(number)
        try:
            return unpacker.decompress(memoryview(packed)[1:])
        except (zstandard.ZstdError, MemoryError) as error:  # what says how long it is may be damaged too
            raise Damaged(str(error) or "it says that it is very long") from error

    def readable(self, packed: Iterable[bytes]) -> Iterator[bytes]:
        """What was ``packed``, without what is damaged."""
        for each in packed:
            with suppress(Damaged):
                yield self.unpack(each)


class _Packer:
    __slots__ = ("_compress", "_first", "number")

    def __init__(self, number: int, dictionary: zstandard.ZstdCompressionDict | None) -> None:
        self.number = number
        self._first = bytes([number])
        parameters = zstandard.ZstdCompressionParameters.from_level(
            LEVEL,
            format=zstandard.FORMAT_ZSTD1_MAGICLESS,  # 4 bytes less
            write_content_size=True,  # tells the reader how much memory it takes
            write_dict_id=False,  # the number says it
        )
        self._compress = zstandard.ZstdCompressor(
            dict_data=dictionary, compression_params=parameters
        ).compress

    def pack(self, stanza: bytes) -> bytes:
        return self._first + self._compress(stanza) if self.number else _RAW + stanza
