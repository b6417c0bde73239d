"""Comparison with numbers that the official implementations produced: `python -m tests.parity FAMILY FILE.npz`."""
