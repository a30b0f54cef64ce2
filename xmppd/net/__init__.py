"""Sockets: listeners and transports. Bytes in, bytes out; nothing here knows XMPP."""
