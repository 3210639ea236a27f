"""Files in, scores out, and from scores to genres."""
