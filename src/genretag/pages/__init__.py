"""Self-contained HTML pages: one file each, that works offline and asks nothing of the network."""
