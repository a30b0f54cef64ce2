from __future__ import annotations

from xmppd.cli.app import main

if __name__ == "__main__":
    main()
