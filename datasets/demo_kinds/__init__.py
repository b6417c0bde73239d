"""The built-in demo dataset with classes: cartoon pandas and cats drawn from a seed."""
