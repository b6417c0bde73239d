"""The built-in demo dataset: cartoon pandas drawn from a seed."""
