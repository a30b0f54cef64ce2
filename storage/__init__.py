"""`interfaces` (one Protocol per aggregate) and the engines that implement it. Import name: `xmppd.storage`."""

if __name__ != "xmppd.storage":  # a second copy under the bare name would have its own classes and state
    raise ImportError(f"this package is imported as xmppd.storage, not as {__name__}")
