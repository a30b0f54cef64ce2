"""What `xmppd check` looks at, one module per kind of thing. A check returns findings and raises nothing."""
