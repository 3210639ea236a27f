"""One file per family of networks and one registry of presets."""
