"""Tensor functions and layers that the families share."""
