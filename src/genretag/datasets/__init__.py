"""One module per dataset; `registry` loads and verifies any of them by name."""
