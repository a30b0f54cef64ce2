"""Logging in: SASL mechanisms, passwords, channel bindings, and what slows a guesser down."""
