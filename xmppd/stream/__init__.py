"""RFC 6120 stream state machines, sans-IO: bytes and answers go in, requests and bytes come out."""
