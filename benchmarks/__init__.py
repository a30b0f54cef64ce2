"""The benchmark program of xmppd: `python -m benchmarks`. README.md says what each figure means."""
