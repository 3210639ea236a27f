"""Audio in, windows and features out."""
