from __future__ import annotations

import pytest

from tests.support.xml import parse
from xmppd.errors import StanzaError
from xmppd.routing.rsm import Paging, set_element
from xmppd.xml.element import Element
from xmppd.xml.writer import to_bytes


def request(inside: str) -> Element:
    (element,) = parse(f"<query xmlns='q'><set xmlns='http://jabber.org/protocol/rsm'>{inside}</set></query>")
    return element


@pytest.mark.parametrize(
    ("inside", "paging"),
    [
        ("", Paging()),
        ("<max>10</max>", Paging(max=10)),
        ("<max> 10\n</max>", Paging(max=10)),
        ("<max>0</max>", Paging(max=0)),
        ("<max>10</max><after>abc</after>", Paging(max=10, after="abc")),
        ("<after/>", Paging()),
        ("<max>10</max><before>abc</before>", Paging(max=10, before="abc")),
        ("<max>10</max><before/>", Paging(max=10, before="")),
        ("<before>a</before><after>b</after>", Paging(before="a", after="b")),
        ("<index>371</index><max>10</max>", Paging(max=10, index=371)),
        ("<unknown/><max xmlns='other'>5</max>", Paging()),
    ],
)
def test_what_a_client_asks_for(inside: str, paging: Paging) -> None:
    assert Paging.of(request(inside)) == paging


def test_without_a_set_nothing_is_asked() -> None:
    (query,) = parse("<query xmlns='q'><set/></query>")
    assert Paging.of(query) == Paging()


@pytest.mark.parametrize("number", ["", "-1", "+1", "1.5", "ten", "٣", "1_000", "9" * 5_000])
@pytest.mark.parametrize("name", ["max", "index"])
def test_a_number_that_is_none_is_refused(name: str, number: str) -> None:
    with pytest.raises(StanzaError, match=f"<{name}/>") as refused:
        Paging.of(request(f"<{name}>{number}</{name}>"))
    assert refused.value.condition == "bad-request"


def test_the_limit_is_bounded() -> None:
    assert Paging().limit(usual=50, most=100) == 50
    assert Paging(max=10).limit(usual=50, most=100) == 10
    assert Paging(max=0).limit(usual=50, most=100) == 0
    assert Paging(max=10**17).limit(usual=50, most=100) == 100


def test_what_a_client_is_told() -> None:
    page = set_element("a&b", "c", count=800, index=0)
    assert to_bytes(page) == (
        b"<set xmlns='http://jabber.org/protocol/rsm'><first index='0'>a&amp;b</first><last>c</last>"
        b"<count>800</count></set>"
    )
    assert to_bytes(set_element("a", "b")) == (
        b"<set xmlns='http://jabber.org/protocol/rsm'><first>a</first><last>b</last></set>"
    )
    # XEP-0059#forwards: an empty page has neither <first/> nor <last/>
    assert to_bytes(set_element(count=790)) == (
        b"<set xmlns='http://jabber.org/protocol/rsm'><count>790</count></set>"
    )
