"""The embedded storage: SQLite from the standard library, one writer thread, one reader thread, group commit."""
