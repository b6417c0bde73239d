"""The built-in demo dataset with transparency: cartoon pandas drawn from a seed, without a scene."""
