"""Tests of gan_tf.convert."""
