"""Where a stanza goes, and through which stages."""
