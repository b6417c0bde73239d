"""Tests of gan_tf.ops."""
