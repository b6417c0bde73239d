"""Run folders and the trained networks in them."""
