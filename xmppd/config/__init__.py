"""Typed settings out of TOML. ``load`` reads a file, ``embedded`` is what holds without one; both give a ``Config``.

Everything behind this package works on parsed values: addresses, networks and absolute paths, never on text or dicts.
"""

from xmppd.config.fallback import embedded
from xmppd.config.limits import Limits
from xmppd.config.load import FILE_NAME, load, parse
from xmppd.config.model import (
    MECHANISMS,
    Auth,
    Cluster,
    Config,
    ExtensionSettings,
    Listen,
    Log,
    Mechanism,
    Storage,
    Tls,
)
from xmppd.config.problems import BadConfig, Problem
from xmppd.config.values import Address, Kind, Network, bound

__all__ = [
    "FILE_NAME",
    "MECHANISMS",
    "Address",
    "Auth",
    "BadConfig",
    "Cluster",
    "Config",
    "ExtensionSettings",
    "Kind",
    "Limits",
    "Listen",
    "Log",
    "Mechanism",
    "Network",
    "Problem",
    "Storage",
    "Tls",
    "bound",
    "embedded",
    "load",
    "parse",
]
