"""RFC 6121 appendix A cell by cell, the rules around it, and two rosters that must stay a pair whatever is sent."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xmppd.im.subscriptions import Kind, farewell, inbound, outbound, removal
from xmppd.jid import Jid
from xmppd.storage.interfaces import RosterItem, Subscription

ROMEO = Jid.parse("romeo@montague.example")
JULIET = Jid.parse("juliet@capulet.example")
REQUEST = b"<presence from='juliet@capulet.example' type='subscribe'><status>It is me</status></presence>"
OTHER_REQUEST = b"<presence from='juliet@capulet.example' type='subscribe'/>"

# The states in the words of RFC 6121#A.1. All items are listed; what is not is tested on its own.
STATES = {
    "None": RosterItem(JULIET),
    "None + Pending Out": RosterItem(JULIET, ask=True),
    "None + Pending In": RosterItem(JULIET, request=REQUEST),
    "None + Pending Out+In": RosterItem(JULIET, ask=True, request=REQUEST),
    "To": RosterItem(JULIET, subscription=Subscription.TO),
    "To + Pending In": RosterItem(JULIET, subscription=Subscription.TO, request=REQUEST),
    "From": RosterItem(JULIET, subscription=Subscription.FROM),
    "From + Pending Out": RosterItem(JULIET, subscription=Subscription.FROM, ask=True),
    "Both": RosterItem(JULIET, subscription=Subscription.BOTH),
}

# RFC 6121#A.2 and #A.3: the existing state, whether the server routes or delivers the stanza, the new state.
OUTBOUND = {
    # A.2.1
    "subscribe": """
        None                  | MUST     | None + Pending Out
        None + Pending Out    | MUST     | no state change
        None + Pending In     | MUST     | None + Pending Out+In
        None + Pending Out+In | MUST     | no state change
        To                    | MUST     | no state change
        To + Pending In       | MUST     | no state change
        From                  | MUST     | From + Pending Out
        From + Pending Out    | MUST     | no state change
        Both                  | MUST     | no state change
    """,
    # A.2.2
    "unsubscribe": """
        None                  | MUST     | no state change
        None + Pending Out    | MUST     | None
        None + Pending In     | MUST     | no state change
        None + Pending Out+In | MUST     | None + Pending In
        To                    | MUST     | None
        To + Pending In       | MUST     | None + Pending In
        From                  | MUST     | no state change
        From + Pending Out    | MUST     | From
        Both                  | MUST     | From
    """,
    # A.2.3; "approved" stands for its note: pre-approval, RFC 6121#3.4
    "subscribed": """
        None                  | MUST NOT | approved
        None + Pending Out    | MUST NOT | approved
        None + Pending In     | MUST     | From
        None + Pending Out+In | MUST     | From + Pending Out
        To                    | MUST NOT | approved
        To + Pending In       | MUST     | Both
        From                  | MUST NOT | no state change
        From + Pending Out    | MUST NOT | no state change
        Both                  | MUST NOT | no state change
    """,
    # A.2.4
    "unsubscribed": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST NOT | no state change
        None + Pending In     | MUST     | None
        None + Pending Out+In | MUST     | None + Pending Out
        To                    | MUST NOT | no state change
        To + Pending In       | MUST     | To
        From                  | MUST     | None
        From + Pending Out    | MUST     | None + Pending Out
        Both                  | MUST     | To
    """,
}
INBOUND = {
    # A.3.1
    "subscribe": """
        None                  | MUST     | None + Pending In
        None + Pending Out    | MUST     | None + Pending Out+In
        None + Pending In     | MUST NOT | no state change
        None + Pending Out+In | MUST NOT | no state change
        To                    | MUST     | To + Pending In
        To + Pending In       | MUST NOT | no state change
        From                  | MUST NOT | no state change
        From + Pending Out    | MUST NOT | no state change
        Both                  | MUST NOT | no state change
    """,
    # A.3.2
    "unsubscribe": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST NOT | no state change
        None + Pending In     | MUST     | None
        None + Pending Out+In | MUST     | None + Pending Out
        To                    | MUST NOT | no state change
        To + Pending In       | MUST     | To
        From                  | MUST     | None
        From + Pending Out    | MUST     | None + Pending Out
        Both                  | MUST     | To
    """,
    # A.3.3
    "subscribed": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST     | To
        None + Pending In     | MUST NOT | no state change
        None + Pending Out+In | MUST     | To + Pending In
        To                    | MUST NOT | no state change
        To + Pending In       | MUST NOT | no state change
        From                  | MUST NOT | no state change
        From + Pending Out    | MUST     | Both
        Both                  | MUST NOT | no state change
    """,
    # A.3.4
    "unsubscribed": """
        None                  | MUST NOT | no state change
        None + Pending Out    | MUST     | None
        None + Pending In     | MUST NOT | no state change
        None + Pending Out+In | MUST     | None + Pending In
        To                    | MUST     | None
        To + Pending In       | MUST     | None + Pending In
        From                  | MUST NOT | no state change
        From + Pending Out    | MUST     | From
        Both                  | MUST     | From
    """,
}


def cells(tables: dict[str, str]) -> list[tuple[str, str, bool, str]]:
    found = []
    for kind, table in tables.items():
        for line in table.strip().splitlines():
            before, passes, after = (cell.strip() for cell in line.split("|"))
            found.append((kind, before, passes == "MUST", after))
    assert len(found) == 4 * len(STATES)
    return found


@pytest.mark.parametrize(("kind", "before", "route", "after"), cells(OUTBOUND))
def test_outbound(kind: str, before: str, route: bool, after: str) -> None:
    item = STATES[before]
    done = outbound(Kind(kind), item, JULIET)
    assert done.route is route
    if after == "no state change":
        assert done.item is item
    elif after == "approved":
        assert done.item == replace(item, approved=True)
    else:
        assert done.item == STATES[after]


@pytest.mark.parametrize(("kind", "before", "deliver", "after"), cells(INBOUND))
def test_inbound(kind: str, before: str, deliver: bool, after: str) -> None:
    item = STATES[before]
    done = inbound(Kind(kind), item, JULIET, REQUEST if kind == "subscribe" else None)
    assert done.deliver is deliver
    if after == "no state change":
        assert done.item is item
    else:
        assert done.item == STATES[after]


@pytest.mark.parametrize(("kind", "before", "route", "after"), cells(OUTBOUND))
def test_presence_that_goes_with_an_outbound_stanza(kind: str, before: str, route: bool, after: str) -> None:
    done = outbound(Kind(kind), STATES[before], JULIET)
    # RFC 6121#3.1.5: an approval is followed by presence. #3.2.2: a cancellation follows on unavailable presence, but a
    # denial must not, since it would tell a stranger that somebody is there.
    assert done.send_presence is (kind == "subscribed" and route)
    assert done.send_unavailable is (
        kind == "unsubscribed" and before in ("From", "From + Pending Out", "Both")
    )


@pytest.mark.parametrize(("kind", "before", "deliver", "after"), cells(INBOUND))
def test_what_the_server_answers_by_itself(kind: str, before: str, deliver: bool, after: str) -> None:
    done = inbound(Kind(kind), STATES[before], JULIET, REQUEST)
    granted = before in ("From", "From + Pending Out", "Both")
    # RFC 6121#3.1.3: a contact that is subscribed already gets "subscribed" again
    assert done.reply is (Kind.SUBSCRIBED if kind == "subscribe" and granted else None)
    assert done.send_presence is (kind == "subscribe" and granted)
    # RFC 6121#3.3.3
    assert done.send_unavailable is (kind == "unsubscribe" and granted)


# Contacts that are not in the roster


def test_a_request_to_a_stranger_lists_the_contact_by_its_bare_address() -> None:
    done = outbound(Kind.SUBSCRIBE, None, Jid.parse("juliet@capulet.example/balcony"))
    assert done.item == RosterItem(JULIET, ask=True)
    assert done.item is not None
    assert done.item.jid.resource is None


@pytest.mark.parametrize("kind", [Kind.UNSUBSCRIBE, Kind.UNSUBSCRIBED])
def test_ending_what_never_was_makes_no_item(kind: Kind) -> None:
    done = outbound(kind, None, JULIET)
    assert done.item is None
    assert done.route is (kind is Kind.UNSUBSCRIBE)
    assert not done.send_unavailable


@pytest.mark.parametrize("kind", [Kind.SUBSCRIBED, Kind.UNSUBSCRIBE, Kind.UNSUBSCRIBED])
def test_a_stranger_who_answers_or_leaves_is_ignored(kind: Kind) -> None:
    done = inbound(kind, None, JULIET, None)
    assert (done.item, done.deliver, done.reply) == (None, False, None)


# Requests that wait


def test_the_first_request_of_a_stranger_is_kept_but_not_listed() -> None:
    done = inbound(Kind.SUBSCRIBE, None, JULIET, REQUEST)
    assert done.deliver
    assert done.item == RosterItem(JULIET, request=REQUEST, listed=False)
    again = inbound(Kind.SUBSCRIBE, done.item, JULIET, OTHER_REQUEST)
    assert not again.deliver
    assert again.item is done.item


def test_a_request_without_its_stanza_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="stanza"):
        inbound(Kind.SUBSCRIBE, None, JULIET, None)


def test_what_lists_a_contact_that_only_asked() -> None:
    asked = RosterItem(JULIET, request=REQUEST, listed=False)
    assert outbound(Kind.SUBSCRIBED, asked, JULIET).item == STATES["From"]
    assert outbound(Kind.SUBSCRIBE, asked, JULIET).item == STATES["None + Pending Out+In"]
    assert outbound(Kind.UNSUBSCRIBE, asked, JULIET).item is asked


def test_a_request_denied_or_withdrawn_leaves_nothing_of_a_stranger() -> None:
    asked = RosterItem(JULIET, request=REQUEST, listed=False)
    denied = outbound(Kind.UNSUBSCRIBED, asked, JULIET)
    assert (denied.item, denied.route) == (None, True)
    withdrawn = inbound(Kind.UNSUBSCRIBE, asked, JULIET, None)
    assert (withdrawn.item, withdrawn.deliver) == (None, True)


def test_name_and_groups_stay_through_every_change() -> None:
    item = RosterItem(JULIET, name="Juliet", groups=("Friends",))
    for kind in Kind:
        for done in (outbound(kind, item, JULIET).item, inbound(kind, item, JULIET, REQUEST).item):
            assert done is not None
            assert (done.name, done.groups) == ("Juliet", ("Friends",))


# Pre-approval, RFC 6121#3.4


def test_pre_approval_of_a_stranger_lists_it() -> None:
    done = outbound(Kind.SUBSCRIBED, None, JULIET)
    assert done.item == RosterItem(JULIET, approved=True)
    assert not done.route
    assert not done.send_presence


@pytest.mark.parametrize(
    ("before", "after"), [("None", "From"), ("None + Pending Out", "From + Pending Out"), ("To", "Both")]
)
def test_the_request_that_was_approved_before_is_answered_by_the_server(before: str, after: str) -> None:
    approved = replace(STATES[before], approved=True)
    done = inbound(Kind.SUBSCRIBE, approved, JULIET, REQUEST)
    assert not done.deliver
    assert done.reply is Kind.SUBSCRIBED
    assert done.send_presence
    assert done.item == STATES[after]  # the approval is used up


def test_approving_twice_changes_nothing() -> None:
    approved = replace(STATES["None"], approved=True)
    done = outbound(Kind.SUBSCRIBED, approved, JULIET)
    assert done.item is approved
    assert not done.route


def test_unsubscribed_takes_a_pre_approval_back_without_a_word_to_the_contact() -> None:
    done = outbound(Kind.UNSUBSCRIBED, replace(STATES["To"], approved=True), JULIET)
    assert done.item == STATES["To"]
    assert not done.route
    assert not done.send_unavailable


# Removal of an item and of the account


@pytest.mark.parametrize(
    ("state", "kinds"),
    [
        ("None", ""),
        ("None + Pending Out", "unsubscribe"),
        ("None + Pending In", "unsubscribed"),
        ("None + Pending Out+In", "unsubscribe unsubscribed"),
        ("To", "unsubscribe"),
        ("To + Pending In", "unsubscribe unsubscribed"),
        ("From", "unsubscribed"),
        ("From + Pending Out", "unsubscribe unsubscribed"),
        ("Both", "unsubscribe unsubscribed"),
    ],
)
def test_removal_ends_what_there_is(state: str, kinds: str) -> None:
    assert removal(STATES[state]) == tuple(Kind(kind) for kind in kinds.split())


def test_an_account_that_goes_says_farewell_to_those_it_has_something_with() -> None:
    stranger = RosterItem(Jid.parse("paris@verona.example"))
    asking = RosterItem(Jid.parse("nurse@capulet.example"), request=REQUEST, listed=False)
    assert list(farewell([stranger, STATES["Both"], asking])) == [
        (JULIET, (Kind.UNSUBSCRIBE, Kind.UNSUBSCRIBED)),
        (asking.jid, (Kind.UNSUBSCRIBED,)),
    ]


# Two local users, whatever they do


@dataclass
class User:
    """One side: its item for the other, what is on its way to it, and whether it ever said yes to the other."""

    jid: Jid
    item: RosterItem | None = None
    inbox: deque[Kind] = field(default_factory=deque)
    consents: bool = False

    def act(self, action: Kind | str, other: User) -> None:
        if action == "remove":
            if self.item is not None and self.item.listed:
                other.inbox.extend(removal(self.item))
                self.item = None
                self.consents = False
        elif isinstance(action, Kind):
            done = outbound(action, self.item, other.jid)
            self.item = done.item
            if action is Kind.SUBSCRIBED:
                self.consents = True
            elif action is Kind.UNSUBSCRIBED:
                self.consents = False
            if done.route:
                other.inbox.append(action)

    def receive(self, other: User) -> None:
        kind = self.inbox.popleft()
        done = inbound(kind, self.item, other.jid, REQUEST if kind is Kind.SUBSCRIBE else None)
        self.item = done.item
        if done.reply is not None:
            other.inbox.append(done.reply)

    @property
    def to(self) -> str:
        if self.item is not None and self.item.sees_them:
            return "granted"
        return "asked" if self.item is not None and self.item.ask else "nothing"

    @property
    def from_(self) -> str:
        if self.item is not None and self.item.sees_us:
            return "granted"
        return "asked" if self.item is not None and self.item.request is not None else "nothing"

    def check(self) -> None:
        """What holds for an item at any time."""
        item = self.item
        if item is None:
            return
        assert not (item.ask and item.sees_them)
        assert not (item.request is not None and item.sees_us)
        assert not (item.approved and self.from_ != "nothing")
        assert item.listed or (item.request is not None and not item.ask and not item.sees_them)


def pair() -> tuple[User, User]:
    return User(ROMEO), User(JULIET)


def settle(a: User, b: User) -> None:
    for _ in range(100):
        if a.inbox:
            a.receive(b)
        elif b.inbox:
            b.receive(a)
        else:
            return
    raise AssertionError("the two servers answer each other for ever")


ACTIONS = st.sampled_from([*Kind, "remove"])


@given(st.lists(st.tuples(st.booleans(), ACTIONS), max_size=30))
def test_two_rosters_stay_a_pair(steps: list[tuple[bool, Kind | str]]) -> None:
    """Each stanza and what it entails reach both sides in one transaction, as for two users of one server."""
    a, b = pair()
    for from_a, action in steps:
        (a if from_a else b).act(action, b if from_a else a)
        settle(a, b)
        a.check()
        b.check()
        assert a.to == b.from_
        assert b.to == a.from_


@given(st.lists(st.tuples(st.booleans(), ACTIONS | st.just("receive")), max_size=40))
def test_nobody_is_seen_without_consent_even_while_stanzas_cross(
    steps: list[tuple[bool, Kind | str]],
) -> None:
    """Stanzas are in order but late, as between two servers: who is seen agreed, and has not taken it back since."""
    a, b = pair()
    for from_a, action in steps:
        me, other = (a, b) if from_a else (b, a)
        if action != "receive":
            me.act(action, other)
        elif me.inbox:
            me.receive(other)
        for user in (a, b):
            user.check()
            assert user.from_ != "granted" or user.consents
    settle(a, b)
