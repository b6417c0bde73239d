"""Pretrained networks for metrics and losses, their downloads, and readers for untrusted weight files."""
