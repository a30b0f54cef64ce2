"""The one HTTP application and its listener."""
