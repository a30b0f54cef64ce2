"""A client's way from the first byte to a bound resource, without a socket (RFC 6120#4 to #7)."""

from __future__ import annotations

import pytest

from xmppd.errors import SaslError, StanzaError, StreamError
from xmppd.jid import Jid
from xmppd.stream.negotiation import Negotiation
from xmppd.stream.requests import (
    BeginSasl,
    Bind,
    ContinueSasl,
    EarlyIq,
    Ended,
    Opened,
    Request,
    Resume,
    StartTls,
)
from xmppd.xml.element import Element
from xmppd.xml.parser import ParserLimits
from xmppd.xml.pool import ParserPool

CAPULET = Jid.parse("capulet.lit")
MONTAGUE = Jid.parse("montague.lit")
JULIET = Jid.parse("juliet@capulet.lit")
LIMITS = ParserLimits(stanza_bytes=10_000, tag_bytes=4_096)
HEADER = (
    "<?xml version='1.0'?><stream:stream to='capulet.lit' version='1.0' xmlns='jabber:client' "
    "xmlns:stream='http://etherx.jabber.org/streams'>"
)
SASL = "urn:ietf:params:xml:ns:xmpp-sasl"
SM = "urn:xmpp:sm:3"


class SameId:
    def token(self) -> str:
        return "sid"


def negotiation(
    *domains: Jid,
    tls_offered: bool = True,
    required: bool = True,
    secure: bool = False,
    resumption: bool = True,
) -> Negotiation:
    return Negotiation(
        domains or (CAPULET,),
        SameId(),
        LIMITS,
        tls_offered=tls_offered,
        tls_required=required,
        login_attempts=3,
        secure=secure,
        resumption=resumption,
    )


def say(stream: Negotiation, xml: str) -> Request | None:
    stream.receive(xml.encode())
    return stream.next_request()


def heard(stream: Negotiation) -> str:
    return stream.take_output().decode()


def opened(*domains: Jid, secure: bool = True) -> Negotiation:
    """A stream that is open for logging in."""
    stream = negotiation(*domains, secure=secure)
    assert say(stream, HEADER) == Opened()
    stream.offer([])
    heard(stream)
    return stream


def logged_in() -> Negotiation:
    stream = opened()
    assert say(stream, f"<auth xmlns='{SASL}' mechanism='PLAIN'>AGp1bGlldAByMG0zMA==</auth>") == BeginSasl(
        "PLAIN", "AGp1bGlldAByMG0zMA=="
    )
    stream.succeeded(JULIET, None)
    assert heard(stream) == f"<success xmlns='{SASL}'/>"
    assert say(stream, HEADER) == Opened()
    stream.offer([])
    heard(stream)
    return stream


def ends_with(stream: Negotiation, xml: str, condition: str) -> str:
    request = say(stream, xml)
    assert isinstance(request, Ended)
    assert request.error is not None
    assert request.error.condition == condition
    out = heard(stream)
    assert f"<{condition} xmlns='urn:ietf:params:xml:ns:xmpp-streams'" in out
    assert out.endswith("</stream:error></stream:stream>")
    assert stream.next_request() is None
    return out


def test_header_is_answered_with_ours_and_the_features() -> None:
    stream = negotiation()
    assert say(stream, HEADER) == Opened()
    stream.offer([Element("x", "urn:x")])
    assert heard(stream) == (
        "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' "
        "id='sid' from='capulet.lit' version='1.0' xml:lang='en'>"
        "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
    )


def test_nothing_but_starttls_is_offered_where_tls_is_required() -> None:
    stream = negotiation(required=False)
    say(stream, HEADER)
    stream.offer([Element("x", "urn:x")])
    assert heard(stream).endswith(
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/><x xmlns='urn:x'/></stream:features>"
    )


def test_header_byte_by_byte() -> None:
    stream = negotiation()
    for byte in HEADER[:-1].encode():
        stream.receive(bytes([byte]))
        assert stream.next_request() is None
    stream.receive(b">")
    assert stream.next_request() == Opened()


def test_peer_address_is_answered() -> None:
    stream = negotiation(secure=True)
    say(stream, HEADER.replace("to=", "from='juliet@capulet.lit' to="))
    assert "to='juliet@capulet.lit'" in heard(stream)


@pytest.mark.parametrize(
    ("header", "condition"),
    [
        (HEADER.replace("to='capulet.lit'", "to='verona.lit'"), "host-unknown"),
        (HEADER.replace("to='capulet.lit'", "to='@'"), "host-unknown"),
        (HEADER.replace("version='1.0' xmlns", "xmlns"), "unsupported-version"),
        (HEADER.replace("version='1.0' xmlns", "version='0.9' xmlns"), "unsupported-version"),
        (HEADER.replace("xmlns='jabber:client'", "xmlns='jabber:server'"), "invalid-namespace"),
        (HEADER.replace("http://etherx.jabber.org/streams", "urn:other"), "invalid-namespace"),
        (HEADER.replace("stream:stream", "stream:flow"), "bad-format"),
        ("<stream:stream to='capulet.lit'>", "not-well-formed"),
        ("GET / HTTP/1.1\r\n\r\n", "not-well-formed"),
        ("<!DOCTYPE x [<!ENTITY a 'b'>]>", "restricted-xml"),
        ("<?xml version='1.0' encoding='ISO-8859-1'?>" + HEADER[21:], "unsupported-encoding"),
        ("<" + "a" * 5000, "policy-violation"),
    ],
)
def test_wrong_header_is_told_after_a_header_of_ours(header: str, condition: str) -> None:
    # RFC 6120#4.9.1.2
    out = ends_with(negotiation(), header, condition)
    assert out.startswith("<?xml version='1.0'?><stream:stream ")


def test_missing_to_is_fine_where_there_is_only_one_domain() -> None:
    assert say(negotiation(), HEADER.replace("to='capulet.lit' ", "")) == Opened()
    ends_with(negotiation(CAPULET, MONTAGUE), HEADER.replace("to='capulet.lit' ", ""), "host-unknown")


def test_each_domain_is_served() -> None:
    stream = negotiation(CAPULET, MONTAGUE)
    assert say(stream, HEADER.replace("capulet.lit", "Montague.LIT")) == Opened()
    assert stream.domain == MONTAGUE


def test_starttls() -> None:
    stream = negotiation()
    say(stream, HEADER)
    stream.offer([])
    heard(stream)
    assert say(stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") == StartTls()
    stream.proceed()
    assert heard(stream) == "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
    stream.secured()
    assert say(stream, HEADER) == Opened()
    stream.offer([Element("x", "urn:x")])
    assert heard(stream).endswith("<stream:features><x xmlns='urn:x'/></stream:features>")


@pytest.mark.parametrize("more", ["<", "<auth/>", " ", HEADER])
def test_nothing_may_follow_starttls_in_the_clear(more: str) -> None:
    # RFC 6120#5.3.1; the attack is known as STARTTLS command injection
    stream = negotiation()
    say(stream, HEADER)
    stream.offer([])
    heard(stream)
    request = say(stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>" + more)
    assert (request == StartTls()) is (more == " ")
    if more != " ":
        assert isinstance(request, Ended)


def test_injection_that_comes_before_the_handshake_is_not_read() -> None:
    stream = negotiation()
    say(stream, HEADER)
    stream.offer([])
    assert say(stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") == StartTls()
    stream.receive(b"<auth/>")
    stream.proceed()
    stream.secured()
    request = stream.next_request()
    assert isinstance(request, Ended)


def test_starttls_inside_tls_fails() -> None:
    # RFC 6120#5.4.2.2
    stream = opened()
    assert say(stream, "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>") == Ended(None)
    assert heard(stream) == "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/></stream:stream>"


def test_sasl_with_challenge() -> None:
    stream = opened()
    assert say(stream, f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'/>") == BeginSasl(
        "SCRAM-SHA-256", None
    )
    stream.challenge("Y2hhbGxlbmdl")
    assert heard(stream) == f"<challenge xmlns='{SASL}'>Y2hhbGxlbmdl</challenge>"
    assert say(stream, f"<response xmlns='{SASL}'>cmVzcG9uc2U=</response>") == ContinueSasl("cmVzcG9uc2U=")
    stream.succeeded(JULIET, "dj0=")
    assert heard(stream) == f"<success xmlns='{SASL}'>dj0=</success>"
    assert stream.user == JULIET


def test_sasl_can_be_aborted_and_begun_again() -> None:
    # RFC 6120#6.4.4
    stream = opened()
    say(stream, f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'/>")
    assert say(stream, f"<abort xmlns='{SASL}'/>") is None
    assert heard(stream) == f"<failure xmlns='{SASL}'><aborted/></failure>"
    assert isinstance(say(stream, f"<auth xmlns='{SASL}' mechanism='PLAIN'>AA==</auth>"), BeginSasl)


def test_an_attempt_begun_inside_another_one_counts_as_failed() -> None:
    stream = opened()
    auth = f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'/>"
    for _ in range(2):
        assert isinstance(say(stream, auth), BeginSasl)
        assert say(stream, auth) is None
        assert heard(stream).startswith(f"<failure xmlns='{SASL}'><malformed-request/>")
    say(stream, auth)
    ends_with(stream, auth, "policy-violation")


@pytest.mark.parametrize("version", ["1.1", "2.0", "01.00", "10.0"])
def test_a_client_that_speaks_more_than_version_1_is_answered_with_that(version: str) -> None:
    # RFC 6120#4.7.5
    stream = negotiation()
    assert say(stream, HEADER.replace("version='1.0' xmlns", f"version='{version}' xmlns")) == Opened()
    assert "version='1.0'" in heard(stream)


@pytest.mark.parametrize("version", ["", "1", "a.b", "1.x", "-1.0", "0.99"])
def test_a_version_that_is_none_or_too_old_is_refused(version: str) -> None:
    ends_with(
        negotiation(),
        HEADER.replace("version='1.0' xmlns", f"version='{version}' xmlns"),
        "unsupported-version",
    )


@pytest.mark.parametrize("markup", ["<a/>", "<a b='' c='' d='' e=''/>"])
def test_nobody_needs_so_much_markup_to_log_in(markup: str) -> None:
    ends_with(opened(), "<iq>" + markup * 500, "policy-violation")


def test_response_out_of_place() -> None:
    stream = opened()
    assert say(stream, f"<response xmlns='{SASL}'/>") is None
    assert "<malformed-request/>" in heard(stream)


def test_login_may_fail_a_few_times_only() -> None:
    # RFC 6120#6.4.5
    stream = opened()
    for attempt in (1, 2, 3):
        say(stream, f"<auth xmlns='{SASL}' mechanism='PLAIN'>AA==</auth>")
        ended = stream.failed(SaslError("not-authorized"))
        out = heard(stream)
        assert f"<failure xmlns='{SASL}'><not-authorized/></failure>" in out
        if attempt < 3:
            assert ended is None
        else:
            assert ended is not None
            assert "policy-violation" in out


def test_login_twice() -> None:
    ends_with(logged_in(), f"<auth xmlns='{SASL}' mechanism='PLAIN'>AA==</auth>", "policy-violation")


def test_data_before_success_does_not_leak_into_the_new_stream() -> None:
    stream = opened()
    say(stream, f"<auth xmlns='{SASL}' mechanism='PLAIN'>AA==</auth><message/>")
    stream.succeeded(JULIET, None)
    request = stream.next_request()
    assert isinstance(request, Ended)
    assert request.error is not None
    assert request.error.condition == "policy-violation"


@pytest.mark.parametrize(
    "stanza", ["<message/>", "<presence/>", "<iq type='get' id='1'><x xmlns='urn:x'/></iq>"]
)
def test_stanzas_before_login(stanza: str) -> None:
    # RFC 6120#4.9.3.12
    ends_with(opened(), stanza, "not-authorized")


@pytest.mark.parametrize(
    "stanza", ["<message/>", "<presence/>", "<iq type='get' id='1'><x xmlns='urn:x'/></iq>"]
)
def test_stanzas_before_binding(stanza: str) -> None:
    # RFC 6120#7.1
    ends_with(logged_in(), stanza, "not-authorized")


def test_early_iq_where_it_is_allowed() -> None:
    stream = negotiation(secure=True)
    say(stream, HEADER)
    stream.offer([], early_iq=True)
    assert isinstance(say(stream, "<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>"), EarlyIq)


def test_unknown_element() -> None:
    # RFC 6120#4.9.3.24
    ends_with(opened(), "<x xmlns='urn:x'/>", "unsupported-stanza-type")


def test_bind_a_resource() -> None:
    stream = logged_in()
    bind = (
        "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<resource>balcony</resource></bind></iq>"
    )
    request = say(stream, bind + "<message id='1'/><message id='2")
    assert request == Bind("b1", "balcony")
    assert isinstance(request, Bind)
    bound, events = stream.bound(
        request, JULIET.with_resource("balcony"), ParserLimits(), ParserPool(ParserLimits())
    )
    assert heard(stream) == (
        "<iq type='result' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'>"
        "<jid>juliet@capulet.lit/balcony</jid></bind></iq>"
    )
    assert [event.get("id") for event in events if isinstance(event, Element)] == ["1"]
    assert [event.get("id") for event in bound.feed(b"'/>") if isinstance(event, Element)] == ["2"]


def test_bind_any_resource() -> None:
    request = say(logged_in(), "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>")
    assert request == Bind("b1", None)


def test_resume_a_stream() -> None:
    # XEP-0198#resumption
    stream = logged_in()
    request = say(stream, f"<resume xmlns='{SM}' previd='it&apos;s' h='7'/><message id='1'/><message id='2")
    assert request == Resume("it's", 7)
    assert isinstance(request, Resume)
    bound, events = stream.resumed(request, 2**32 + 3, ParserLimits(), ParserPool(ParserLimits()))
    assert heard(stream) == f"<resumed xmlns='{SM}' h='3' previd='it&apos;s'/>"
    assert [event.get("id") for event in events if isinstance(event, Element)] == ["1"]
    assert [event.get("id") for event in bound.feed(b"'/>") if isinstance(event, Element)] == ["2"]


def test_a_resource_is_bound_where_nothing_can_be_resumed() -> None:
    stream = logged_in()
    for handled, attribute in ((None, ""), (2**32 + 3, " h='3'")):
        assert say(stream, f"<resume xmlns='{SM}' previd='x' h='0'/>") == Resume("x", 0)
        stream.not_resumed(handled)
        condition = "<item-not-found xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>"
        assert heard(stream) == f"<failed xmlns='{SM}'{attribute}>{condition}</failed>"
    bind = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    assert say(stream, bind) == Bind("b1", None)


@pytest.mark.parametrize("name", ["enable", "r", "a", "resume"])
@pytest.mark.parametrize("attributes", ["", " previd='x' h='0' resume='true'"])
def test_stream_management_before_its_time_is_refused_and_acted_upon_by_nobody(
    name: str, attributes: str
) -> None:
    # XEP-0198#enable, #security
    answer = (
        f"<failed xmlns='{SM}'><unexpected-request xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></failed>"
    )
    for stream in (opened(), opened(secure=False)):
        assert say(stream, f"<{name} xmlns='{SM}'{attributes}/>") is None
        assert heard(stream) == answer
    stream = opened()
    say(stream, f"<auth xmlns='{SASL}' mechanism='SCRAM-SHA-256'/>")
    assert say(stream, f"<{name} xmlns='{SM}'{attributes}/>") is None
    assert heard(stream) == answer


def test_where_stream_management_is_off_nobody_understands_it() -> None:
    stream = negotiation(secure=True, resumption=False)
    assert say(stream, HEADER) == Opened()
    stream.offer([])
    ends_with(stream, f"<resume xmlns='{SM}' previd='x' h='0'/>", "unsupported-stanza-type")


def test_refused_resource_can_be_tried_again() -> None:
    stream = logged_in()
    bind = "<iq type='set' id='b1'><bind xmlns='urn:ietf:params:xml:ns:xmpp-bind'/></iq>"
    request = say(stream, bind)
    assert isinstance(request, Bind)
    stream.refuse(request, StanzaError("resource-constraint"))
    assert heard(stream) == (
        "<iq type='error' id='b1'><error type='wait'>"
        "<resource-constraint xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error></iq>"
    )
    assert isinstance(say(stream, bind), Bind)


def test_client_closes_its_stream() -> None:
    stream = opened()
    assert say(stream, "</stream:stream>") == Ended(None)
    assert heard(stream) == "</stream:stream>"


def test_see_other_host_carries_the_host() -> None:
    # RFC 6120#4.9.3.19
    stream = opened()
    stream.fail(StreamError("see-other-host", host="node2.capulet.lit:5222"))
    assert (
        "<see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>node2.capulet.lit:5222</see-other-host>"
        in heard(stream)
    )


def test_failing_twice_says_it_once() -> None:
    stream = opened()
    stream.fail(StreamError("system-shutdown"))
    heard(stream)
    stream.fail(StreamError("internal-server-error"))
    assert heard(stream) == ""
    assert say(stream, "<message/>") is None
