"""Instant messaging and presence (RFC 6121): rosters, subscriptions, presence, how messages are delivered."""
