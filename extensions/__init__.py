"""The extensions that come with xmppd: one module or package per XEP. Import name: `xmppd.extensions`."""

if __name__ != "xmppd.extensions":  # a second copy under the bare name would have its own classes and state
    raise ImportError(f"this package is imported as xmppd.extensions, not as {__name__}")
