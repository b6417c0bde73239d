"""Converts weight files of the official programs into networks of gan_tf."""
