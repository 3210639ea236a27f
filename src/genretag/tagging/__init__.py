"""A library in, tags out: scan, plan, write."""
