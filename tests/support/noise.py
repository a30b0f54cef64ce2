"""Random things that a client might say: conversations taken apart, mixed and damaged. The same for the same seed."""

from __future__ import annotations

import random
from typing import Final

from tests.support.process import DOMAIN
from tests.support.wire import HEADER

USERS: Final = ("noise1", "noise2", "noise3")

# Each line is one thing. JID and TEXT are filled in.

_STRANGER: Final = [
    HEADER,
    *"""\
</stream:stream>
<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>
<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AGEAYg==</auth>
<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='SCRAM-SHA-256'>biwsbj1tZXJjdXRpbyxyPWFiYw==</auth>
<response xmlns='urn:ietf:params:xml:ns:xmpp-sasl'>Yz1iaXdzLHI9YWJjLHA9YWJj</response>
<abort xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/>
<iq type='set' id='1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'><resource>r</resource></bind></iq>
<iq type='get' id='r'><query xmlns='jabber:iq:register'/></iq>
""".splitlines(),
]

_PAYLOADS: Final = [
    "",
    *"""\
<query xmlns='jabber:iq:roster'/>
<query xmlns='jabber:iq:roster' ver='1'/>
<query xmlns='jabber:iq:roster'><item jid='JID' name='TEXT' subscription='remove'><group>TEXT</group></item></query>
<query xmlns='jabber:iq:roster'><item jid='JID' name='TEXT'><group>TEXT</group><group>g</group></item></query>
<query xmlns='jabber:iq:last'/>
<query xmlns='jabber:iq:version'/>
<time xmlns='urn:xmpp:time'/>
<ping xmlns='urn:xmpp:ping'/>
<vCard xmlns='vcard-temp'/>
<blocklist xmlns='urn:xmpp:blocking'/>
<vCard xmlns='vcard-temp'><FN>TEXT</FN><PHOTO><TYPE>image/png</TYPE><BINVAL>TEXT</BINVAL></PHOTO></vCard>
<block xmlns='urn:xmpp:blocking'><item jid='JID'/></block>
<block xmlns='urn:xmpp:blocking'/>
<unblock xmlns='urn:xmpp:blocking'><item jid='JID'/></unblock>
<unblock xmlns='urn:xmpp:blocking'/>
<enable xmlns='urn:xmpp:carbons:2'/>
<disable xmlns='urn:xmpp:carbons:2'/>
<query xmlns='http://jabber.org/protocol/disco#info'/>
<query xmlns='http://jabber.org/protocol/disco#items'/>
<query xmlns='http://jabber.org/protocol/disco#info' node='TEXT'/>
<query xmlns='jabber:iq:private'><a xmlns='TEXT'/></query>
<query xmlns='jabber:iq:private'><a xmlns='x'>TEXT</a></query>
<query xmlns='jabber:iq:register'/>
<session xmlns='urn:ietf:params:xml:ns:xmpp-session'/>
<query xmlns='jabber:iq:register'><username>nobody</username><password/></query>
<bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/>
<unknown xmlns='TEXT'/>
<a xmlns='x'/><b xmlns='y'/>
""".splitlines(),
]

_CHILDREN: Final = """\
<body>TEXT</body>
<subject xml:lang='de'>TEXT</subject>
<active xmlns='http://jabber.org/protocol/chatstates'/>
<no-store xmlns='urn:xmpp:hints'/>
<store xmlns='urn:xmpp:hints'/>
<private xmlns='urn:xmpp:carbons:2'/>
<delay xmlns='urn:xmpp:delay' from='JID' stamp='TEXT'/>
<show>TEXT</show>
<show>away</show>
<status>TEXT</status>
<priority>5</priority>
<priority>-1</priority>
<priority>TEXT</priority>
<thread>TEXT</thread>
<x xmlns='vcard-temp:x:update'><photo/></x>
<x xmlns='vcard-temp:x:update'/>
<received xmlns='urn:xmpp:carbons:2'/>
<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='n' ver='TEXT'/>
<idle xmlns='urn:xmpp:idle:1' since='TEXT'/>
<error type='cancel'><gone xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
TEXT
<a><b><c/></b></a>
<p:x xmlns:p='TEXT' p:a='TEXT'/>
<![CDATA[TEXT]]>
""".splitlines()

_TYPES: Final = {
    "message": ["chat", "normal", "groupchat", "headline", "error", "TEXT"],
    "presence": [
        "unavailable",
        "subscribe",
        "subscribed",
        "unsubscribe",
        "unsubscribed",
        "probe",
        "error",
        "TEXT",
    ],
    "iq": ["get", "set", "get", "set", "result", "error", "TEXT"],
}

_TEXTS: Final = [
    "",
    "x",
    "1",
    "-1",
    "99999999999999999999",
    "true",
    "\N{PILE OF POO}",
    "e\N{COMBINING ACUTE ACCENT}" * 50,
    "\u202e",
    "\ufffd",
    "&amp;&lt;&#x1F600;",
    "&quot;",
    "a" * 1_100,
    "2026-02-30T25:00:00Z",
    "%s%n{0}",
    "'",
    "../../etc/passwd",
    "\x7f\x85",
    "]]&gt;",
]


class Noise:
    """Random things to send; the same for the same seed."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def jid(self) -> str:
        pick = self._random
        user = pick.choice([*USERS, "nobody", "", "N\N{LATIN SMALL LETTER SHARP S}", "a\\40b", "x" * 1_024])
        domain = pick.choice(
            [DOMAIN, DOMAIN, DOMAIN.upper(), "elsewhere.example", "[::1]", "", "a..b", DOMAIN + "."]
        )
        resource = pick.choice(
            ["", "", "/r", "/", "/\N{GREEK SMALL LETTER FINAL SIGMA} x", "/" + "y" * 1_024]
        )
        return (f"{user}@" if pick.random() < 0.9 else "") + domain + resource

    def _fill(self, text: str) -> str:
        while "JID" in text:
            text = text.replace("JID", self.jid().replace("'", ""), 1)
        while "TEXT" in text:
            text = text.replace("TEXT", self._random.choice(_TEXTS).replace("'", "&apos;"), 1)
        return text

    def stanza(self) -> str:
        pick = self._random
        name = pick.choice(list(_TYPES))
        attributes = f" type='{pick.choice(_TYPES[name])}'" if pick.random() < 0.8 else ""
        attributes += f" to='{self.jid()}'" if pick.random() < 0.6 else ""
        attributes += f" id='{pick.choice(['1', 'TEXT'])}'" if pick.random() < 0.8 else ""
        attributes += " xml:lang='TEXT'" if pick.random() < 0.1 else ""
        attributes += f" from='{self.jid()}'" if pick.random() < 0.02 else ""
        pool = _PAYLOADS if name == "iq" else _CHILDREN
        count = 1 if name == "iq" and pick.random() < 0.9 else pick.choice([0, 1, 1, 2, 3])
        children = "".join(pick.choice(pool if pick.random() < 0.95 else _PAYLOADS) for _ in range(count))
        return self._fill(f"<{name}{attributes}>{children}</{name}>")

    def said(self, *, logged_in: bool) -> bytes:
        """Some stanzas or steps of a login, mostly whole."""
        pick = self._random
        if logged_in and pick.random() < 0.03:
            text = pick.choice(["<active xmlns='urn:xmpp:csi:0'/>", "<inactive xmlns='urn:xmpp:csi:0'/>"])
        elif logged_in or pick.random() < 0.1:
            text = "".join(self.stanza() for _ in range(pick.randint(1, 20)))
        else:
            text = "".join(pick.choice(_STRANGER) for _ in range(pick.randint(1, 4)))
        data = text.encode()
        if pick.random() < (0.1 if logged_in else 0.5):
            data = self.damage(data)
        return data

    def damage(self, data: bytes) -> bytes:
        pick = self._random
        harmed = bytearray(data)
        for _ in range(pick.choice([1, 1, 2, 5, 20])):
            at = pick.randrange(len(harmed) + 1)
            match pick.randrange(6):
                case 0:
                    harmed[at:at] = pick.randbytes(pick.choice([1, 2, 8, 100]))
                case 1:
                    del harmed[at : at + pick.choice([1, 2, 10])]
                case 2:
                    harmed[at : at + 1] = bytes([pick.randrange(256)])
                case 3:
                    harmed[at:at] = harmed[at : at + pick.choice([5, 50])] * pick.choice([1, 3, 50])
                case 4:
                    harmed[at:at] = pick.choice(
                        [b"<", b">", b"/>", b"&", b"\0", b"<!--", b"]]>", b"<?", b"'", b" "]
                    )
                case _:
                    del harmed[at:]
        return bytes(harmed)

    def pieces(self, data: bytes) -> list[bytes]:
        """``data``, whole or cut."""
        if self._random.random() < 0.7:
            return [data]
        cuts = sorted(self._random.randrange(len(data) + 1) for _ in range(self._random.randint(1, 5)))
        return [data[a:b] for a, b in zip([0, *cuts], [*cuts, len(data)], strict=True)]

    def choose(self, *weights: float) -> int:
        """An index, with these chances."""
        return self._random.choices(range(len(weights)), weights)[0]

    def user(self) -> str:
        return f"{self._random.choice(USERS)}/m{self._random.randrange(6)}"
