"""Networks of the families: architecture only."""
