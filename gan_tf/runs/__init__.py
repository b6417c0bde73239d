"""Run folders and the weights that are stored in them."""
