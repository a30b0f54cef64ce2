"""XEP-0077: In-Band Registration. ``account`` is for users, ``register`` makes users of strangers."""
