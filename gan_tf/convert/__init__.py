"""Name and layout maps between the networks and the official weights files."""
