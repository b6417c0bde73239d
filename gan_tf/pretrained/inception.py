"""FID's Inception: the Inception-v3 of 2015-12-05 that TensorFlow released, with the weights of every published FID.

The file is the one that pytorch-fid ships, the same weights in PyTorch's format. `inception_blocks` has the network's
parts, `inception_resize` what stands in front of it.

Features are the average of the last 8x8 map. The Inception Score of the papers is made of "logits_unbiased": the first
implementation left out the bias of the last layer, and everyone since has followed.

Source: Szegedy et al. 2016 (Inception-v3); Heusel et al. 2017 (FID); Salimans et al. 2016 (Inception Score).
"""

import keras
import numpy as np
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.pretrained.downloads import Download, obtain
from gan_tf.pretrained.inception_blocks import FoldedConv, build_chain, run_chain, stages
from gan_tf.pretrained.inception_resize import RESIZES, SIDE, network_input, resized
from gan_tf.pretrained.torch_files import read_torch_file

__all__ = ["INCEPTION", "RESIZES", "SIDE", "Inception", "load_inception", "network_input", "resized"]

INCEPTION = Download(
    name="pt_inception-2015-12-05-6726825d.pth",
    url="https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/pt_inception-2015-12-05-6726825d.pth",
    sha256="6726825d",
    megabytes=91,
    alternative="choose the metric swd2k, which needs no such file",
)
FEATURES = 2048
LOGITS = 1008
COUNTER = "bn.num_batches_tracked"  # how long the network was trained, beside every batch norm: not needed


def load_inception(file=None, *, offline=False, log=print, alternative=INCEPTION.alternative):
    """FID's Inception with its published weights, fetched at the first call.

    Args:
        file: path of a weights file of the same kind, for networks of one's own; `genuine` tells whether it is another.
        offline: forbid the fetch.
        say: told before a fetch.
        alternative: what the user can do without it, for the message.

    Raises:
        UsageError: the file cannot be had, read or understood, or is of another network.
    """
    found = obtain(INCEPTION._replace(alternative=alternative), file=file, offline=offline, log=log)
    return Inception.from_arrays(read_torch_file(found.path), sha256=found.sha256, genuine=found.genuine)


@keras.saving.register_keras_serializable("gan_tf")
class Inception(keras.Model):
    """FID's Inception-v3, batch norm folded into its convolutions.

    Call: x [N, 299, 299, 3] from `network_input` -> {"64", "192", "768", "2048": [N, C], the averages over space of
    four maps; "logits", "logits_unbiased": [N, 1008]}, all float32. A traced function computes only what it returns.

    Args:
        sha256: hex digest of the file that the weights are from.
        genuine: True if that is the published file.
        dtype: "float32", or "bfloat16" for kernels and maps in bfloat16; averages and logits are float32 in both.
    """

    def __init__(self, sha256="", genuine=False, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.sha256 = sha256
        self.genuine = genuine
        self.convolutions = {}  # by their official name
        self.stages = stages(self._conv)
        self.classifier = keras.layers.Dense(LOGITS, trainable=False, dtype="float32")

    @classmethod
    def from_arrays(cls, arrays, sha256="", genuine=False, dtype="float32"):
        """A network with these weights.

        Args:
            arrays: {name in the official file: array}; convolutions [O, I, H, W], the last layer [O, I].
            sha256, genuine, dtype: as above.

        Raises:
            UsageError: a name is missing, unknown, or of another shape, or a number is not finite.
        """
        network = cls(sha256, genuine, dtype=dtype)
        network.build()
        network.fold(arrays)
        return network

    def build(self, shape=None):
        shape = (None, SIDE, SIDE, 3)
        for stage in self.stages:
            shape = build_chain(stage, shape)
        self.classifier.build((None, shape[-1]))

    def call(self, x):
        return self.outputs(self.maps(x))

    def outputs(self, maps):
        """What `call` returns, from what `maps` returns."""
        outputs = {str(x.shape[-1]): tf.reduce_mean(tf.cast(x, tf.float32), axis=[1, 2]) for x in maps}
        unbiased = outputs[str(FEATURES)] @ self.classifier.kernel.value
        return {**outputs, "logits": unbiased + self.classifier.bias.value, "logits_unbiased": unbiased}

    def maps(self, x):
        """[N, 299, 299, 3] -> the maps [N, 73, 73, 64], [N, 35, 35, 192], [N, 17, 17, 768], [N, 8, 8, 2048]."""
        x = tf.cast(x, self.compute_dtype)
        maps = []
        for stage in self.stages:
            x = run_chain(stage, x)
            maps.append(x)
        return maps

    def fold(self, arrays):
        """Takes the weights of the official file, each tensor once. Arguments and errors as for `from_arrays`."""
        arrays = {name: arrays[name] for name in arrays if name not in self._counters}
        check_arrays(arrays, self.official_shapes)
        for name, layer in self.convolutions.items():
            layer.fold({part: arrays.pop(f"{name}.{part}") for part in layer.official_shapes})
        self.classifier.kernel.assign(np.asarray(arrays.pop("fc.weight")).T)
        self.classifier.bias.assign(arrays.pop("fc.bias"))
        assert not arrays

    @property
    def official_shapes(self):
        """{name in the official file: shape} of all that the network consists of."""
        shapes = {
            f"{name}.{part}": shape
            for name, layer in self.convolutions.items()
            for part, shape in layer.official_shapes.items()
        }
        return {**shapes, "fc.weight": (LOGITS, FEATURES), "fc.bias": (LOGITS,)}

    @property
    def _counters(self):
        return {f"{name}.{COUNTER}" for name in self.convolutions}

    def with_precision(self, dtype):
        """This network, or a copy of it with kernels and maps in another type."""
        if dtype == self.compute_dtype:
            return self
        copy = Inception(self.sha256, self.genuine, dtype=dtype)
        copy.build()
        for name, layer in self.convolutions.items():
            copy.convolutions[name].kernel.assign(tf.cast(layer.kernel.value, dtype))
            copy.convolutions[name].bias.assign(tf.cast(layer.bias.value, dtype))
        copy.classifier.set_weights(self.classifier.get_weights())
        return copy

    def get_config(self):
        return {**super().get_config(), "sha256": self.sha256, "genuine": self.genuine}

    def _conv(self, name, filters, kernel_size=(1, 1), stride=1, padding=None, of=FoldedConv):
        """A convolution that is filled from the official tensors `name`.*; where it shrinks the map it does not pad."""
        padding = padding or ("VALID" if stride > 1 else "SAME")
        layer = of(filters, kernel_size, stride, padding, dtype=self.dtype_policy)
        self.convolutions[name] = layer
        return layer


def check_arrays(arrays, shapes):
    """Raises UsageError unless `arrays` {name: array} has the names and shapes of `shapes`, and finite numbers."""
    lacking, foreign = sorted(shapes.keys() - arrays.keys()), sorted(arrays.keys() - shapes.keys())
    other = [name for name in shapes if name in arrays and tuple(arrays[name].shape) != shapes[name]]
    if lacking:
        complaint = f"lack {_some(lacking)}"
    elif foreign:
        complaint = f"have {_some(foreign)}, which the network does not"
    elif other:
        wanted, got = shapes[other[0]], tuple(arrays[other[0]].shape)
        complaint = f"have {other[0]} of shape {got} where the network has {wanted}"
    elif broken := [name for name, array in arrays.items() if not np.all(np.isfinite(array))]:
        complaint = f"have numbers in {_some(broken)} that are not finite"
    else:
        return
    raise UsageError(f"these weights are not of FID's Inception, they {complaint}: give {INCEPTION.name}")


def _some(names):
    return f"{names[0]} and {len(names) - 1} more" if len(names) > 1 else names[0]
