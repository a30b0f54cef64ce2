"""The arrays that the function ``archive_append`` takes, and what its answer means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from xmppd.storage.archive import NewMessage, Place, Placed


class Batch:
    """Messages that are appended in one statement.

    ``arguments`` of the function, from ``owners`` on. Two messages of one batch may be the same, sent again: the later
    one is left out here, since the database does not know the first yet.
    """

    def __init__(self, messages: Sequence[NewMessage], pack: Callable[[bytes], bytes]) -> None:
        self._messages = messages
        self._again: dict[int, int] = {}  # messages that repeat an earlier one of the batch
        self.owners = sorted({row.owner for message in messages for row in message.rows})
        self._slots = {owner: slot for slot, owner in enumerate(self.owners, 1)}
        self._counts = [0] * (len(self.owners) + 1)
        self._rows: list[int] = []  # as the function takes them
        self._asked: list[int] = []
        self._asked_messages: list[int] = []
        self._stanzas: list[bytes] = []
        self._origins: dict[tuple[int, int], int] = {}
        for number, message in enumerate(messages):
            self._add(number, message, pack)
        self.arguments = (self.owners, self._rows, self._stanzas, self._asked or None)

    @property
    def asked(self) -> list[tuple[int, int, int]]:
        """(owner, origin, id from which on) of each message that may be a resend of one in the database."""
        asked = self._asked
        return [(self.owners[asked[i] - 1], asked[i + 1], asked[i + 2]) for i in range(0, len(asked), 4)]

    def placed(self, newest: Sequence[int], moment: int, found: Sequence[Place]) -> list[Placed]:
        """What became of the messages: from the owners' newest ids before it, the time of the batch, and the first rows
        of those that were ``asked`` for (id 0: it is not there); ``found`` may be empty, then none of them is.
        """
        before = [0, *newest]  # of each owner, its newest row so far
        first = [0, *(max(moment, id + 1) for id in newest)]

        def place(slot: int, rank: int) -> Place:
            prev, id = before[slot], first[slot] + rank
            before[slot] = id
            return Place(id, prev)

        return self.placed_as(place, found)

    def placed_as(self, place: Callable[[int, int], Place], found: Sequence[Place]) -> list[Placed]:
        """As ``placed``; ``place`` gives the place of a row that was stored, by the slot of its owner and its rank."""
        there = {
            number: known for number, known in zip(self._asked_messages, found, strict=False) if known.id
        }
        rows = iter(self._rows[::3])
        result: list[Placed] = []
        for number, message in enumerate(self._messages):
            if number in self._again:
                result.append(Placed(result[self._again[number]].places[:1], duplicate=True))
                continue
            mine = [next(rows) for _ in message.rows]
            if number in there:
                result.append(Placed((there[number],), duplicate=True))
            else:
                result.append(Placed(tuple([place(row >> 48, row >> 32 & 0xFFFF) for row in mine])))
        return result

    def _add(self, number: int, message: NewMessage, pack: Callable[[bytes], bytes]) -> None:
        origin = message.origin
        if origin:
            key = message.rows[0].owner, origin
            if message.check and key in self._origins:
                self._again[number] = self._origins[key]
                return
            self._origins[key] = number
        self._stanzas.append(pack(message.stanza))
        text = len(self._stanzas)
        if origin and message.check:
            self._asked += (self._slots[message.rows[0].owner], origin, message.check, text)
            self._asked_messages.append(number)
        for owner, peer, kind in message.rows:
            slot = self._slots[owner]
            self._rows += (slot << 48 | self._counts[slot] << 32 | text << 16 | int(kind), peer, origin)
            self._counts[slot] += 1
            origin = 0
