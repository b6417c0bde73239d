"""FID's Inception: TensorFlow's Inception-v3 of 2015-12-05, whose features every published FID uses.

The weights are those of pytorch-fid's file, the same network in PyTorch's format.

Features are the average of the last 8x8 map. The Inception Score uses "logits_unbiased": the first implementation left
out the bias of the last layer, and published scores do the same.

Images are resized to 299 pixels by one of three methods. FID differs by whole points between them, so scores of
different methods are never compared:

    pytorch  bilinear between pixel centres, no antialiasing; range [-1, 1]. pytorch-fid and most papers since.
    clean    bicubic with antialiasing, each channel as float, clipped but not rounded; [-1, 1]. "clean" FID.
    tf1      bilinear between corners as in TensorFlow 1, shifted by up to half a pixel; [-1, 127/128]. The original.

Source: Szegedy et al. 2016 (Inception-v3); Heusel et al. 2017 (FID); Salimans et al. 2016 (Inception Score); Parmar et
al. 2022, "On Aliased Resizing and Surprising Subtleties in GAN Evaluation" (clean).
"""

import numpy as np
import tensorflow as tf
from PIL import Image

from gan_tf.pretrained.downloads import Download, check_arrays, obtain
from gan_tf.pretrained.inception_blocks import InceptionConv, run, stages
from gan_tf.pretrained.torch_files import read_state_dict

INCEPTION_FILE = Download(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    megabytes=91,
    alternative="choose the metric swd2k, which needs no such file",
)
FEATURES, LOGITS = 2048, 1008
SIDE = 299  # pixels
RESIZES = ("pytorch", "clean", "tf1")


def network_input(images, resize, map_images=map):
    """Resizes images as `resized` does, and scales them to [-1, 1], the network's range."""
    values = resized(images, resize, map_images)
    return (values - 128.0) / 128.0 if resize == "tf1" else values / 255.0 * 2.0 - 1.0


def resized(images, resize, map_images=map):
    """Resizes images to 299x299.

    Args:
        images: uint8 [N, H, W, 3].
        resize: one of RESIZES.
        map_images: map(function, images) for "clean", which resizes image by image. Pillow releases Python's lock, so
            the `map` of a thread pool uses several cores.

    Returns:
        float32 tensor [N, 299, 299, 3] in [0, 255].
    """
    if resize not in RESIZES:
        raise ValueError(f"resize must be one of {', '.join(RESIZES)}, got {resize}")
    if resize == "clean":
        return tf.constant(np.stack(list(map_images(clean_resized, images))))
    return tf.raw_ops.ResizeBilinear(
        images=tf.cast(images, tf.float32), size=(SIDE, SIDE), half_pixel_centers=resize == "pytorch"
    )


def clean_resized(image, side=SIDE):
    """Resizes uint8 [H, W, 3] by Pillow's bicubic filter (a = -0.5) to float32 [side, side, 3] in [0, 255]."""
    planes = [Image.fromarray(plane) for plane in np.moveaxis(image, 2, 0).astype(np.float32)]  # of mode "F"
    bands = [np.asarray(plane.resize((side, side), Image.Resampling.BICUBIC)) for plane in planes]
    return np.clip(np.stack(bands, axis=2), 0, 255)


def load_inception(file=None, *, offline=False, log=print, alternative=INCEPTION_FILE.alternative):
    """Loads FID's Inception with its published weights, downloaded at the first call.

    Args:
        file, offline, log: as for `downloads.obtain`.
        alternative: a way to work without the weights, for the error.

    Raises:
        UsageError: the file cannot be downloaded or read, or has weights of another network.
    """
    obtained = obtain(INCEPTION_FILE._replace(alternative=alternative), file=file, offline=offline, log=log)
    return Inception(read_state_dict(obtained.path), obtained.sha256, obtained.genuine)


class Inception:
    """FID's Inception-v3, with batch norm folded into the convolutions.

    Call: x [N, 299, 299, 3] from `network_input` -> {"64", "192", "768", "2048": [N, C], the spatial averages of four
    maps; "logits", "logits_unbiased": [N, 1008]}, all float32. A traced function computes only the outputs it uses.

    Args:
        arrays: weights, see `fold`; None: zeros.
        sha256: hex digest of the weight file.
        genuine: True if that is the published file.
        dtype: type of kernels and maps, "float32" or "bfloat16"; averages and logits are float32 in both.
    """

    def __init__(self, arrays=None, sha256="", genuine=False, dtype="float32"):
        self.sha256, self.genuine, self.dtype = sha256, genuine, dtype
        self.convolutions = {}  # by official name

        def conv(name, inputs, filters, kernel_size=(1, 1), stride=1, padding=None, average=False):
            padding = padding or ("VALID" if stride > 1 else "SAME")  # a strided convolution has no padding
            self.convolutions[name] = InceptionConv(inputs, filters, kernel_size, stride, padding, dtype, average)
            return self.convolutions[name]

        self.stages = stages(conv)
        self.kernel = tf.Variable(tf.zeros((FEATURES, LOGITS)), trainable=False)
        self.bias = tf.Variable(tf.zeros(LOGITS), trainable=False)
        if arrays is not None:
            self.fold(arrays)

    def __call__(self, x):
        return self.outputs(self.maps(x))

    def outputs(self, maps):
        """Returns the outputs of `__call__` from the maps of `maps`."""
        outputs = {str(x.shape[-1]): tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2]) for x in maps}
        unbiased = outputs[str(FEATURES)] @ self.kernel
        return {**outputs, "logits": unbiased + self.bias, "logits_unbiased": unbiased}

    def maps(self, x):
        """[N, 299, 299, 3] -> the maps [N, 73, 73, 64], [N, 35, 35, 192], [N, 17, 17, 768], [N, 8, 8, 2048]."""
        maps = [tf.cast(x, self.dtype)]
        for stage in self.stages:
            maps.append(run(stage, maps[-1]))
        return maps[1:]

    def fold(self, arrays):
        """Sets the weights; each array is used once.

        Args:
            arrays: {official name: array}; convolutions [O, I, H, W], the last layer [O, I].

        Raises:
            UsageError: a name is missing, unknown or has another shape, or a number is not finite.
        """
        arrays = {name: value for name, value in arrays.items() if not name.endswith("num_batches_tracked")}
        check_arrays(arrays, self.official_shapes, INCEPTION_FILE)
        for name, layer in self.convolutions.items():
            layer.fold({part: arrays[f"{name}.{part}"] for part in layer.official_shapes})
        self.kernel.assign(np.asarray(arrays["fc.weight"]).T)
        self.bias.assign(arrays["fc.bias"])

    @property
    def official_shapes(self):
        """{name in the official file: shape} of all weights."""
        shapes = {"fc.weight": (LOGITS, FEATURES), "fc.bias": (LOGITS,)}
        for name, layer in self.convolutions.items():
            shapes |= {f"{name}.{part}": shape for part, shape in layer.official_shapes.items()}
        return shapes

    @property
    def variables(self):
        """All variables, in a fixed order."""
        layers = [*self.convolutions.values(), self]
        return [variable for layer in layers for variable in (layer.kernel, layer.bias)]

    def with_precision(self, dtype):
        """Returns this network, or a copy with kernels and maps of another type."""
        if dtype == self.dtype:
            return self
        copy = Inception(None, self.sha256, self.genuine, dtype)
        for new, old in zip(copy.variables, self.variables, strict=True):
            new.assign(tf.cast(old, new.dtype))
        return copy
