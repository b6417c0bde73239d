"""The built-in demo set: cartoon pandas drawn from a seed."""
