"""Plausible messages, as archives hold them: many languages, clients and extensions, made up from a seed.

What is random on the wire (ids, keys, ciphertext) is random here too, so that nobody takes it for compressible.
"""

from __future__ import annotations

import base64
import random
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

PHRASES: Final = Path(__file__).parent / "phrases.txt"

_DOMAINS: Final = (
    "example.org",
    "chat.example",
    "xmpp.example.net",
    "jabber.example.de",
    "im.example.co.uk",
    "messenger.example.com",
    "example.social",
    "talk.example.fr",
    "mail.example.cz",
    "example.im",
)
_NAMES: Final = (
    "anna",
    "ben",
    "chloe",
    "dmitri",
    "elif",
    "farid",
    "giulia",
    "hana",
    "ivan",
    "joao",
    "kenji",
    "lena",
    "mehmet",
    "nadia",
    "olga",
    "pedro",
    "qiang",
    "rosa",
    "sven",
    "tomasz",
    "ursula",
    "viktor",
    "wei",
    "xenia",
    "yusuf",
    "zoe",
    "sam.w",
    "m.keller",
    "the_real_kim",
    "lukas99",
    "nurse-joy",
)
_RESOURCES: Final = (
    "Conversations.{:.4}",
    "Dino.{:.8}",
    "gajim.{:.8}",
    "Monal-iOS.{:.8}",
    "siskin.{:.6}",
    "phone",
    "Kaidan.{:.4}",
    "profanity.{:.10}",
    "Cheogram.{:.4}",
    "converse.js-{:.9}",
    "Psi+",
    "Swift",
    "web-{:.12}",
    "mobile-{:.6}",
)
_EMOJI: Final = tuple("👍❤️😂😮😢🙏🎉🔥👏😍🤔😅✅👀💯🥳")
_FILES: Final = ("jpg", "jpg", "jpg", "png", "webp", "mp4", "m4a", "ogg", "pdf", "docx")


class Corpus:
    """Messages without end. ``held_out``: texts of a fifth of the phrases, which others never use."""

    def __init__(self, seed: int, *, held_out: bool = False) -> None:
        self._random = random.Random(seed)
        self._lang = self._own_id = ""  # of the message that is being made
        self._phrases: dict[str, list[str]] = {}
        for line in PHRASES.read_text(encoding="utf-8").splitlines():
            lang, _, text = line.partition("\t")
            self._phrases.setdefault(lang, []).append(text)
        for lang, phrases in self._phrases.items():
            self._phrases[lang] = [
                text for number, text in enumerate(phrases) if (number % 5 == 0) is held_out
            ]
        self._kinds: list[tuple[int, Callable[[], str]]] = [
            (40, self._text),
            (6, self._reply),
            (6, self._reaction),
            (12, self._receipt),
            (14, self._marker),
            (4, self._file),
            (2, self._correction),
            (1, self._retraction),
            (12, self._encrypted),
            (2, self._invitation),
            (1, self._subject),
        ]

    def messages(self, number: int) -> Iterator[bytes]:
        """So many messages as UTF-8, each as the server writes it for a stream of ``jabber:client``."""
        weights, kinds = zip(*self._kinds, strict=True)
        for _ in range(number):
            (kind,) = self._random.choices(kinds, weights)
            yield self._message(kind).encode()

    def _message(self, kind: Callable[[], str]) -> str:
        group = self._random.random() < 0.3 and kind != self._receipt
        self._lang = self._random.choice(list(self._phrases))
        sender, to = self._bare(), self._bare()
        if group:
            sender = f"{self._hex(10)}@rooms.{self._one(_DOMAINS)}"
            to = f"{self._bare()}/{self._resource()}" if self._random.random() < 0.5 else self._bare()
        attributes = f" from='{sender}/{self._one(_NAMES) if group else self._resource()}'"
        self._own_id = self._id()
        if self._random.random() < 0.95:
            attributes += f" id='{self._own_id}'"
        attributes += f" type='{'groupchat' if group else 'chat'}'"
        if self._random.random() < 0.4:
            attributes += f" xml:lang='{self._lang}'"
        return f"<message to='{to}'{attributes}>{kind()}</message>"

    # Parts

    def _one(self, of: Sequence[str]) -> str:
        return self._random.choice(of)

    def _hex(self, digits: int) -> str:
        return f"{self._random.getrandbits(4 * digits):0{digits}x}"

    def _base64(self, size: int) -> str:
        return base64.b64encode(self._random.randbytes(size)).decode()

    def _uuid(self) -> str:
        return str(uuid.UUID(int=self._random.getrandbits(128), version=4))

    def _id(self) -> str:
        """As one client or another makes them."""
        return self._random.choice(
            (
                self._uuid,
                self._uuid,
                lambda: self._base64(15).replace("/", "_").replace("+", "-"),
                lambda: self._hex(24),
                lambda: f"{self._hex(8)}-{self._random.randrange(1000)}",
                lambda: self._base64(9),
            )
        )()

    def _bare(self) -> str:
        number = str(self._random.randrange(10_000)) if self._random.random() < 0.3 else ""
        return f"{self._one(_NAMES)}{number}@{self._one(_DOMAINS)}"

    def _resource(self) -> str:
        return self._one(_RESOURCES).format(self._base64(12).replace("/", "-"))

    def _words(self) -> str:
        texts = [
            self._one(self._phrases[self._lang]) for _ in range(self._random.choice((1, 1, 1, 2, 2, 3, 5)))
        ]
        if self._random.random() < 0.15:
            texts.append(self._one(_EMOJI))
        if self._random.random() < 0.1:
            texts.append(f"{self._random.randrange(24)}:{self._random.randrange(60):02}")
        if self._random.random() < 0.05:
            texts.append(f"https://www.{self._hex(7)}.com/{self._hex(11)}?v={self._hex(6)}")
        return " ".join(texts)

    def _extras(self) -> str:
        """What clients add to a message with a text."""
        extras = ["<active xmlns='http://jabber.org/protocol/chatstates'/>"]
        if self._random.random() < 0.7:
            # As XEP-0359 has it, in nearly all clients the two are the same.
            id = self._own_id if self._random.random() < 0.9 else self._id()
            extras.append(f"<origin-id xmlns='urn:xmpp:sid:0' id='{id}'/>")
        if self._random.random() < 0.7:
            extras.append("<markable xmlns='urn:xmpp:chat-markers:0'/>")
        if self._random.random() < 0.7:
            extras.append("<request xmlns='urn:xmpp:receipts'/>")
        if self._random.random() < 0.1:
            extras.append(f"<thread>{self._uuid()}</thread>")
        if self._random.random() < 0.1:
            extras.append(f"<occupant-id xmlns='urn:xmpp:occupant-id:0' id='{self._base64(32)}'/>")
        if self._random.random() < 0.5:
            self._random.shuffle(extras)
        return "".join(extras)

    def _body(self, text: str) -> str:
        text = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f"<body>{text}</body>"

    # Kinds

    def _text(self) -> str:
        body, extras = self._body(self._words()), self._extras()
        return body + extras if self._random.random() < 0.6 else extras + body

    def _reply(self) -> str:
        quoted = self._words()
        return (
            self._body(f"> {quoted}\n{self._words()}")
            + f"<reply xmlns='urn:xmpp:reply:0' to='{self._bare()}' id='{self._id()}'/>"
            + f"<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:reply:0'><body start='0' end='{len(quoted) + 3}'/>"
            "</fallback>" + self._extras()
        )

    def _reaction(self) -> str:
        return (
            f"<reactions xmlns='urn:xmpp:reactions:0' id='{self._id()}'><reaction>{self._one(_EMOJI)}</reaction>"
            "</reactions><store xmlns='urn:xmpp:hints'/>"
        )

    def _receipt(self) -> str:
        return f"<received xmlns='urn:xmpp:receipts' id='{self._id()}'/>" + self._one(
            ("", "<store xmlns='urn:xmpp:hints'/>", f"<origin-id xmlns='urn:xmpp:sid:0' id='{self._id()}'/>")
        )

    def _marker(self) -> str:
        name = self._one(("displayed", "displayed", "received"))
        return f"<{name} xmlns='urn:xmpp:chat-markers:0' id='{self._id()}'/>" + self._one(
            ("", "<store xmlns='urn:xmpp:hints'/>")
        )

    def _file(self) -> str:
        name = f"{self._uuid()}.{self._one(_FILES)}"
        url = f"https://upload.{self._one(_DOMAINS)}/{self._base64(18).replace('/', '_')}/{name}"
        if self._random.random() < 0.4:
            size = self._random.randrange(10_000, 5_000_000)
            return (
                self._body(url)
                + "<file-sharing xmlns='urn:xmpp:sfs:0' disposition='inline'><file xmlns='urn:xmpp:file:metadata:0'>"
                f"<media-type>image/jpeg</media-type><name>{name}</name><size>{size}</size><width>1280</width>"
                f"<height>960</height><hash xmlns='urn:xmpp:hashes:2' algo='sha-256'>{self._base64(32)}</hash></file>"
                f"<sources><url-data xmlns='http://jabber.org/protocol/url-data' target='{url}'/></sources>"
                "</file-sharing>" + self._extras()
            )
        return f"{self._body(url)}<x xmlns='jabber:x:oob'><url>{url}</url></x>{self._extras()}"

    def _correction(self) -> str:
        return (
            self._body(self._words())
            + f"<replace xmlns='urn:xmpp:message-correct:0' id='{self._id()}'/>{self._extras()}"
        )

    def _retraction(self) -> str:
        return (
            f"<retract xmlns='urn:xmpp:message-retract:1' id='{self._id()}'/>"
            "<fallback xmlns='urn:xmpp:fallback:0' for='urn:xmpp:message-retract:1'/>"
            "<body>/me retracted a previous message, but it's unsupported by your client.</body>"
            "<store xmlns='urn:xmpp:hints'/>"
        )

    def _encrypted(self) -> str:
        keys = "".join(
            f"<key rid='{self._random.randrange(2**31)}'{self._one(('', ' prekey=' + repr('true')))}>"
            f"{self._base64(self._random.choice((47, 52, 180)))}</key>"
            for _ in range(self._random.randrange(1, 7))
        )
        payload = self._base64(len(self._words()))
        return (
            "<encrypted xmlns='eu.siacs.conversations.axolotl'>"
            f"<header sid='{self._random.randrange(2**31)}'>{keys}<iv>{self._base64(12)}</iv></header>"
            f"<payload>{payload}</payload></encrypted><store xmlns='urn:xmpp:hints'/>"
            "<encryption xmlns='urn:xmpp:eme:0' name='OMEMO' namespace='eu.siacs.conversations.axolotl'/>"
            "<body>I sent you an OMEMO encrypted message but your client doesn’t seem to support that. Find more "
            "information on https://conversations.im/omemo</body>" + self._extras()
        )

    def _invitation(self) -> str:
        room = f"{self._hex(10)}@rooms.{self._one(_DOMAINS)}"
        if self._random.random() < 0.5:
            return f"<x xmlns='jabber:x:conference' jid='{room}' reason='{self._one(_NAMES)}'/>"
        return (
            f"<x xmlns='http://jabber.org/protocol/muc#user'><invite from='{self._bare()}'><reason>{self._words()}"
            f"</reason></invite></x><x xmlns='jabber:x:conference' jid='{room}'/>"
        )

    def _subject(self) -> str:
        return f"<subject>{self._words()}</subject>"
