"""genretag stopped, cut off from power and refused by the system at every point, over small real files."""
