"""Exported generators: files that other programs run without gan_tf, each compared with Keras.

The inputs are `latents` float32 [N, Z], for conditional networks `labels` int32 [N] (unless the class is fixed), and
with `--noise input` a noise map for each of `noise_shapes`. The output is `images` float32 [N, H, W, C] in [-1, 1],
with C as in the run: RGB, grey values, or RGBA with premultiplied colours. The metadata, as JSON, describe inputs and
output and the origin of the weights. A web app (`web.py`) consists of TFLite files of other inputs and outputs
(`parts.py`).
"""

from gan_tf.export.formats import FORMATS

__all__ = ["FORMATS"]
