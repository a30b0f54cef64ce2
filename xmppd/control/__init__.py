"""The control socket of a running server, ``data_dir/control.sock``: how the command line speaks to it.

One JSON request per line, one JSON answer per line, in order. Only the server's user may connect (0600).
"""

from xmppd.control.client import ControlClient
from xmppd.control.protocol import Status
from xmppd.control.server import ControlServer

__all__ = ["ControlClient", "ControlServer", "Status"]
