"""What is run by hand on the sources; no part of the package."""
