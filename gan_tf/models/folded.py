"""Layers of generators for inference: kernels that are ready for use, without what training needs to make them."""

import functools

import keras
import numpy as np
import tensorflow as tf

from gan_tf.models.variables import load_weights
from gan_tf.ops.forms import forms
from gan_tf.ops.resample import transposed_taps, transposed_up_convolution, upsample_nearest, uses_transposed_form


class FoldedKernel(keras.layers.Layer):
    """Owns `kernel`: scaled, arranged and cast to the compute type once, when `refresh` brings it."""

    def __init__(self, filters, **kwargs):
        super().__init__(trainable=False, **kwargs)
        self.filters = filters

    def add_kernel(self, *shape):
        """Creates `kernel` [*shape], to be filled by `refresh`."""
        self.kernel = self.add_weight(
            name="kernel", shape=shape, dtype=self.compute_dtype, initializer="zeros", autocast=False
        )

    def refresh(self, kernel):
        """Takes the kernel that the trained layer applies, float32, in that layer's arrangement."""
        self.kernel.assign(tf.cast(self.arranged(kernel), self.compute_dtype))

    def arranged(self, kernel):
        """The kernel as `call` needs it."""
        return kernel

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


@keras.saving.register_keras_serializable("gan_tf")
class FoldedConv(FoldedKernel):
    """Convolution with a ready kernel; the counterpart of `SpectralConv` with stride 1 and of `EqualisedConv`."""

    def __init__(self, filters, kernel_size, padding="SAME", **kwargs):
        super().__init__(filters, **kwargs)
        self.kernel_size = kernel_size
        self.padding = padding

    def build(self, shape):
        self.add_kernel(self.kernel_size, self.kernel_size, shape[-1], self.filters)

    def call(self, x):
        return tf.nn.conv2d(x, self.kernel.value, 1, self.padding)

    def get_config(self):
        return {**super().get_config(), "kernel_size": self.kernel_size, "padding": self.padding}


@keras.saving.register_keras_serializable("gan_tf")
class FoldedUpConv(FoldedKernel):
    """Nearest upsampling by 2 and 3x3 convolution with a ready kernel.

    The counterpart of `SpectralUpConv` and `EqualisedUpConv`.
    """

    def build(self, shape):
        self.transposed = uses_transposed_form(shape[1])
        if self.transposed:
            self.add_kernel(4, 4, self.filters, shape[-1])
        else:
            self.add_kernel(3, 3, shape[-1], self.filters)

    def call(self, x):
        if self.transposed:
            return transposed_up_convolution(x, self.kernel.value)
        return tf.nn.conv2d(upsample_nearest(x), self.kernel.value, 1, "SAME")

    def arranged(self, kernel):
        return transposed_taps(kernel) if self.transposed else kernel


@keras.saving.register_keras_serializable("gan_tf")
class FoldedStem(FoldedKernel):
    """Turns latents [N, Z] into a map [N, 4, 4, filters]; the counterpart of `SpectralStem` and `EqualisedStem`."""

    def build(self, shape):
        self.add_kernel(shape[-1], 4 * 4 * self.filters)

    def call(self, z):
        return tf.reshape(z @ self.kernel.value, (-1, 4, 4, self.filters))

    def arranged(self, kernel):
        return tf.reshape(kernel, (kernel.shape[0], -1))


def fold_into(folded_class, generator, arguments, dtype=None):
    """Builds a folded generator and gives it the weights of a trained one.

    Args:
        folded_class: of the family, with `refresh(generator)`.
        generator: of any precision; its variables are float32 in each.
        arguments: names of the generator's attributes that the folded class takes, in its order.
        dtype: Keras policy of the folded network, default the generator's.
    """
    folded = folded_class(*(getattr(generator, name) for name in arguments), dtype=dtype or generator.dtype_policy)
    folded.build()
    folded.refresh(generator)
    return folded


def generator_of(source, make):
    """A built generator with the weights to fold.

    Args:
        source: such a generator, or its weights as {attribute path: array or variable}.
        make: builds a generator to hold them.
    """
    if isinstance(source, keras.Model):
        return source
    generator = make()
    generator.build()
    load_weights(generator, {name: np.asarray(value) for name, value in source.items()}, "the generator's weights")
    return generator


def uses_compiled_chains() -> bool:
    """True if what follows a convolution is to be compiled by XLA: on CPUs.

    On a GPU the separate operations are fast, and XLA wants a complete CUDA toolkit.
    """
    return forms().compiled_chains and not _has_gpu()


@functools.cache
def _has_gpu():
    return bool(tf.config.list_logical_devices("GPU"))
