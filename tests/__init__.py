"""Tests, laid out like gan_tf."""
