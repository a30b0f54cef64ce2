"""Bound resources and the accounts they belong to."""
