"""What can go wrong, as types: stanza errors, stream errors, SASL failures, and errors that a person has to mend.

Anything else that is raised is a bug: it is logged, counted and answered with ``internal-server-error``.
"""

from __future__ import annotations

from typing import Final, Literal, get_args

StanzaErrorType = Literal["auth", "cancel", "continue", "modify", "wait"]

StanzaCondition = Literal[
    "bad-request",
    "conflict",
    "feature-not-implemented",
    "forbidden",
    "gone",
    "internal-server-error",
    "item-not-found",
    "jid-malformed",
    "not-acceptable",
    "not-allowed",
    "not-authorized",
    "policy-violation",
    "recipient-unavailable",
    "redirect",
    "registration-required",
    "remote-server-not-found",
    "remote-server-timeout",
    "resource-constraint",
    "service-unavailable",
    "subscription-required",
    "undefined-condition",
    "unexpected-request",
]

# RFC 6120#8.3.3: the type that each condition is usually sent with.
DEFAULT_TYPES: Final[dict[StanzaCondition, StanzaErrorType]] = {
    "bad-request": "modify",
    "conflict": "cancel",
    "feature-not-implemented": "cancel",
    "forbidden": "auth",
    "gone": "cancel",
    "internal-server-error": "cancel",
    "item-not-found": "cancel",
    "jid-malformed": "modify",
    "not-acceptable": "modify",
    "not-allowed": "cancel",
    "not-authorized": "auth",
    "policy-violation": "modify",
    "recipient-unavailable": "wait",
    "redirect": "modify",
    "registration-required": "auth",
    "remote-server-not-found": "cancel",
    "remote-server-timeout": "wait",
    "resource-constraint": "wait",
    "service-unavailable": "cancel",
    "subscription-required": "auth",
    "undefined-condition": "cancel",
    "unexpected-request": "wait",
}

StreamCondition = Literal[
    "bad-format",
    "bad-namespace-prefix",
    "conflict",
    "connection-timeout",
    "host-gone",
    "host-unknown",
    "improper-addressing",
    "internal-server-error",
    "invalid-from",
    "invalid-namespace",
    "invalid-xml",
    "not-authorized",
    "not-well-formed",
    "policy-violation",
    "remote-connection-failed",
    "reset",
    "resource-constraint",
    "restricted-xml",
    "see-other-host",
    "system-shutdown",
    "undefined-condition",
    "unsupported-encoding",
    "unsupported-feature",
    "unsupported-stanza-type",
    "unsupported-version",
]

SaslCondition = Literal[
    "aborted",
    "account-disabled",
    "credentials-expired",
    "encryption-required",
    "incorrect-encoding",
    "invalid-authzid",
    "invalid-mechanism",
    "malformed-request",
    "mechanism-too-weak",
    "not-authorized",
    "temporary-auth-failure",
]

STANZA_CONDITIONS: Final = frozenset(get_args(StanzaCondition))
STREAM_CONDITIONS: Final = frozenset(get_args(StreamCondition))


class StanzaError(Exception):
    """The one exception that a stanza handler raises on purpose; the core answers the stanza with it.

    ``type`` defaults to what RFC 6120#8.3.3 associates with the condition. ``text`` is shown to people. ``extra`` is
    an application-specific condition as ``(name, namespace)`` (RFC 6120#8.3.4).
    """

    def __init__(
        self,
        condition: StanzaCondition,
        text: str = "",
        *,
        type: StanzaErrorType | None = None,
        extra: tuple[str, str] | None = None,
    ) -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition: StanzaCondition = condition
        self.type: StanzaErrorType = type or DEFAULT_TYPES[condition]
        self.text = text
        self.extra = extra


class StreamError(Exception):
    """Ends a stream (RFC 6120#4.9). ``host`` is the address that goes with ``see-other-host``, ``extra`` an
    application-specific condition as ``(name, namespace, attributes)`` (RFC 6120#4.9.4).
    """

    def __init__(
        self,
        condition: StreamCondition,
        text: str = "",
        *,
        host: str = "",
        extra: tuple[str, str, dict[str, str]] | None = None,
    ) -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition: StreamCondition = condition
        self.text = text
        self.host = host
        self.extra = extra


class SaslError(Exception):
    """A login attempt fails (RFC 6120#6.5); the stream goes on, and the client may try again."""

    def __init__(self, condition: SaslCondition, text: str = "") -> None:
        super().__init__(f"{condition}: {text}" if text else condition)
        self.condition: SaslCondition = condition
        self.text = text


class UserError(Exception):
    """Something that the person who runs the program can mend; its text says what, where and how.

    The command line prints the text without a traceback and exits with ``exit_status``.
    """

    exit_status = 1


class ConfigError(UserError):
    """The configuration is wrong: the text names the file, the key, the value and what is allowed."""

    exit_status = 2


class TakenTwice(ConfigError):
    """Two parts of the server do the same: ``owner``, an extension, came to ``what`` when ``other`` had it already."""

    def __init__(self, owner: str, other: str, what: str) -> None:
        super().__init__(
            f"{owner} and {other} both handle {what}; "
            f"switch one of them off, as with [extensions.{owner}] enabled = false"
        )
