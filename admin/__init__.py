"""REST API and web console, built on the public services of the core only. Import name: `xmppd.admin`."""

if __name__ != "xmppd.admin":  # a second copy under the bare name would have its own classes and state
    raise ImportError(f"this package is imported as xmppd.admin, not as {__name__}")
