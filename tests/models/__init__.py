"""Tests of gan_tf.models."""
