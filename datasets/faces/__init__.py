"""Two large sets of faces, read from what the user has downloaded."""
