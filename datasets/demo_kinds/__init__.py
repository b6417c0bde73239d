"""The built-in demo set with classes: cartoon pandas and cats drawn from a seed."""
