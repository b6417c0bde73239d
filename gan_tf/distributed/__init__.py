"""Devices, and the worker processes of one training run."""
