"""Odd bytes for everything that reads what strangers made: parsers, and whole music files."""
