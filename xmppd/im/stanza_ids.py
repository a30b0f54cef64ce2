"""How the rows of archives are called on the wire (XEP-0359, XEP-0313).

Nobody may infer from an id when other messages were sent or how many there are (XEP-0359#security, XEP-0313#security),
so a name is one AES block over owner and id. Storage keeps only the id; the name is derived whenever it is told.
"""

from __future__ import annotations

from binascii import a2b_base64, b2a_base64
from struct import Struct
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_PAIR: Final = Struct(">qq")  # owner, id
_LENGTH: Final = 22  # of a block in base64 without its padding
_TO_TEXT: Final = bytes.maketrans(b"+/", b"-_")
_FROM_TEXT: Final = bytes.maketrans(b"-_", b"+/")


class StanzaIds:
    """Names rows of archives. A name is 22 characters of ``A-Za-z0-9-_`` and tells nothing without the key."""

    def __init__(self, key: bytes) -> None:
        """``key`` is a secret of 16, 24 or 32 bytes that all nodes share and that never changes."""
        # Each block stands for itself and no two rows share one, so ECB hides all that there is to hide.
        cipher = Cipher(algorithms.AES(key), modes.ECB())
        self._encrypt = cipher.encryptor().update
        self._decrypt = cipher.decryptor().update

    def text(self, owner: int, id: int) -> str:
        """The name of the row ``id`` in the archive of ``owner``."""
        block = self._encrypt(_PAIR.pack(owner, id))
        return b2a_base64(block, newline=False).translate(_TO_TEXT, b"=").decode()

    def row(self, owner: int, text: str) -> int | None:
        """The id of the row in the archive of ``owner`` that ``text`` names; None where it names none there. Whether
        such a row exists is for the storage to say.
        """
        found = self.place(text)
        return found[1] if found is not None and found[0] == owner else None

    def place(self, text: str) -> tuple[int, int] | None:
        """The owner and the id of the row that ``text`` names; None where it names none."""
        if len(text) != _LENGTH:
            return None
        try:
            block = a2b_base64(text.encode("ascii").translate(_FROM_TEXT) + b"==")
        except ValueError:
            return None
        if len(block) != _PAIR.size:
            return None
        whose, id = _PAIR.unpack(self._decrypt(block))
        # The last character has bits to spare: only one way to write a name is right.
        return (whose, id) if self.text(whose, id) == text else None
