"""Exported generators: files that other programs run without gan_tf, each compared with Keras.

A file takes `latents` float32 [N, Z], for conditional networks `labels` int32 [N] (unless the class is fixed), and with
`--noise input` a noise map for each of `noise_shapes`. It returns `images` float32 [N, R, R, 3], RGB in [-1, 1]. Its
metadata, as JSON, describe these inputs and outputs and the origin of the weights.
"""

from gan_tf.export.formats import FORMATS

__all__ = ["FORMATS"]
