"""Every bound on size, rate and time; the unit is in the name, 0 switches a bound off."""

from __future__ import annotations

from typing import Annotated

from msgspec import Struct

from xmppd.config.values import bound

_MIB = 1_048_576
_HOUR = 3_600
_DAY = 86_400


class Limits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Bounds that protect the server and its users. 0 switches a bound off."""

    # sizes of what a client sends
    stanza_bytes: Annotated[
        int,
        # RFC 6120#13.12: at least 10,000
        bound(64 * _MIB, "Largest stanza of a logged-in client.", least=10_000),
    ] = 262_144
    unauthenticated_bytes: Annotated[
        int,
        bound(64 * _MIB, "Largest element of a client that is not logged in.", least=10_000),
    ] = 16_384
    tag_bytes: Annotated[int, bound(_MIB, "Largest single tag, attributes included.", least=4_096)] = 32_768
    presence_bytes: Annotated[
        int,
        bound(_MIB, "Largest presence of a client; it is copied once for each contact.", least=1_024),
    ] = 16_384
    stanza_depth: Annotated[int, bound(400, "Deepest nesting of elements in a stanza; 0: 400.", least=8)] = 64
    stanza_attributes: Annotated[int, bound(10_000, "Most attributes of one element.", least=16)] = 128
    send_buffer_bytes: Annotated[
        int,
        bound(
            1024 * _MIB,
            "Most that waits for a client that does not read; beyond it the client is closed.",
            least=65_536,
        ),
    ] = 4 * _MIB

    # rates; reading pauses, nobody is closed
    bytes_per_second: Annotated[
        int, bound(1024 * _MIB, "What one session may send in the long run.", least=1_024)
    ] = 2 * _MIB
    burst_bytes: Annotated[
        int,
        bound(
            1024 * _MIB,
            "What one session may send at once after a quiet time; 0: what it may send in a second.",
            least=1_024,
        ),
    ] = 8 * _MIB
    stanzas_per_second: Annotated[
        int, bound(1_000_000, "Stanzas that one session may send in the long run.")
    ] = 2_000
    burst_stanzas: Annotated[
        int,
        bound(
            10_000_000, "Stanzas that one session may send at once after a quiet time; 0: those of a second."
        ),
    ] = 10_000

    # connections
    connections_per_address: Annotated[
        int, bound(1_000_000, "Connections at the same time from one IPv4 address or one IPv6 /64 network.")
    ] = 5_000
    unauthenticated_per_address: Annotated[
        int, bound(1_000_000, "Of these, how many may not be logged in yet.")
    ] = 2_000
    handshake_seconds: Annotated[
        float, bound(_HOUR, "Time from connecting to being logged in with a resource bound.")
    ] = 30.0
    registration_seconds: Annotated[
        float,
        bound(
            _HOUR,
            "The same for a client that asked for the registration form, which a person has to fill in.",
        ),
    ] = 180.0
    ping_after_seconds: Annotated[
        float, bound(_DAY, "After so much silence a client is asked whether it is still there.")
    ] = 60.0
    ping_timeout_seconds: Annotated[
        float, bound(_DAY, "A client that does not answer for so long is gone.")
    ] = 30.0
    close_seconds: Annotated[
        float, bound(_HOUR, "How long a closed stream waits for the client to close its side.")
    ] = 5.0
    shutdown_seconds: Annotated[
        float,
        bound(
            _HOUR,
            "How long stopping may take; what still runs then is cut off. Messages are committed in any case.",
        ),
    ] = 4.0

    # logging in
    login_attempts: Annotated[int, bound(1_000, "Failed logins on one connection before it is closed.")] = (
        5  # RFC 6120#6.4.5: between 2 and 5
    )
    login_failures_per_account: Annotated[
        int,
        bound(1_000_000, "Failed logins to one account within the window before further ones are refused."),
    ] = 10
    login_failures_per_address: Annotated[
        int,
        bound(
            1_000_000,
            "The same for failed logins from one IPv4 address or one IPv6 /64 network.",
        ),
    ] = 200
    login_failure_window_seconds: Annotated[
        float, bound(_DAY, "The window over which failed logins are counted.")
    ] = 900.0
    password_hashes: Annotated[
        int, bound(1_024, "Password hashes computed at the same time (PLAIN, new passwords); more wait.")
    ] = 2
    password_hashes_waiting: Annotated[
        int,
        bound(
            1_000_000, "Password hashes that may wait; a login beyond them fails with temporary-auth-failure."
        ),
    ] = 200

    # accounts
    resources_per_account: Annotated[int, bound(10_000, "Sessions of one account at the same time.")] = 50
    roster_items: Annotated[int, bound(1_000_000, "Contacts in one roster.")] = 5_000
    roster_groups: Annotated[int, bound(10_000, "Groups of one contact.")] = 50
    roster_name_bytes: Annotated[
        int, bound(65_536, "Longest name of a contact or of a group.")  # RFC 6121#2.3.3
    ] = 1_023
    roster_item_bytes: Annotated[
        int,
        bound(
            16 * _MIB,
            "Most that the name and the groups of one contact have together: the whole roster is sent at once.",
        ),
    ] = 2_048
    subscription_requests: Annotated[
        int, bound(1_000_000, "Subscription requests of strangers that wait for an answer in one account.")
    ] = 1_000
    subscription_request_bytes: Annotated[
        int,
        bound(_MIB, "Largest subscription request that is kept with its text; a larger one is kept without."),
    ] = 4_096
    subscription_requests_per_hour: Annotated[
        int, bound(1_000_000, "Subscription requests that one account may send.")
    ] = 1_000
    directed_presences: Annotated[
        int, bound(1_000_000, "Addresses outside the roster that one session may show its presence to.")
    ] = 1_000
    offline_messages: Annotated[
        int,
        bound(
            10_000_000,
            "Messages that wait for one account while nobody takes them; a sender is told when no more may.",
        ),
    ] = 10_000
    offline_bytes: Annotated[
        int,
        bound(
            1024 * 1024 * _MIB,
            "Bytes that these take; about, since they are looked at once a minute and only where there are many.",
            least=_MIB,
        ),
    ] = 256 * _MIB
    offline_days: Annotated[int, bound(36_500, "How long they wait; 0: until they are taken.")] = 365
    archive_queue: Annotated[
        int,
        bound(
            10_000_000,
            "Messages of all clients that wait for the storage; when it is too slow or away, further ones are refused.",
            least=100,
        ),
    ] = 20_000
    archive_queue_bytes: Annotated[
        int,
        bound(1024 * _MIB, "Bytes of these messages; beyond, further ones are refused too.", least=_MIB),
    ] = 64 * _MIB
    resend_seconds: Annotated[
        float,
        bound(
            30 * _DAY,
            "A client that lost its connection may send a message again for so long, if its account has not got 2,000 "
            "others since: its origin-id gives it away.",
        ),
    ] = 86_400.0

    conversations: Annotated[
        int,
        bound(
            100_000,
            "Conversations in one account's chat list; beyond, the oldest without unread messages fall off it.",
            least=10,
        ),
    ] = 5_000

    # stream management (XEP-0198)
    sm_queue_stanzas: Annotated[
        int,
        bound(
            1_000_000,
            "Stanzas that one session may have unacknowledged with their content in memory; beyond it only those "
            "that are in no archive keep it, and at ten times as many the session ends.",
            least=10,
        ),
    ] = 1_000
    sm_queue_bytes: Annotated[
        int, bound(1024 * _MIB, "The same for the bytes of their content.", least=16_384)
    ] = _MIB
    sm_sleeping_bytes: Annotated[
        int,
        bound(
            65_536 * _MIB,
            "Bytes that all sessions without a connection hold together of what is in no archive, such as presence and "
            "answers; beyond, the one that holds most ends.",
            least=_MIB,
        ),
    ] = 256 * _MIB

    # memory
    cached_accounts: Annotated[
        int, bound(10_000_000, "Accounts whose roster and block list are held in memory.", least=16)
    ] = 10_000
