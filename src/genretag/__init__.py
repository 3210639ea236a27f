"""Tag music libraries with genres from the audio itself, and study the models that do it."""

__version__ = "0.1.0"
