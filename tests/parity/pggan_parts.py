"""Schedule and single operations of Progressive GAN."""

import dataclasses

import numpy as np
import tensorflow as tf

from gan_tf.config.presets import PRESETS
from gan_tf.models.pggan_blocks import LATENT_GAIN
from gan_tf.ops import equalised, normalisation, resample
from gan_tf.ops.activations import leaky_relu
from gan_tf.ops.forms import PLAIN, use_forms
from gan_tf.training.schedule import growing_stages, growth_at, stage_at
from tests.parity.report import Quantity, forward

BOUND = 1e-4


def schedule(arrays, generator):
    """Every row of the recorded schedule: thousands of images, lod, resolution, batch, learning rate.

    Our phases are whole batches, so that each starts up to one batch per earlier phase later than officially: this lag
    is the bound of the lods, and the rest must be equal.
    """
    preset = PRESETS["pggan"]["celebahq-1024" if generator.resolution == 1024 else "celebahq-256"]
    config = dataclasses.replace(preset, resolution=generator.resolution)
    stages = growing_stages(config)
    rows = arrays["schedule/kimg_lod_res_minibatch_lrate"]
    got = np.array([_row(stages, generator.levels, kimg) for kimg in rows[:, 0]])
    for column, name in enumerate(("resolution", "batch", "learning rate"), start=2):
        yield Quantity(f"schedule/{name}", np.max(np.abs(got[:, column] - rows[:, column])), 0)
    lag = sum(stage.batch_size for stage in stages[:-1]) / (1000 * config.fade_kimg)
    yield Quantity("schedule/lod (phases of whole batches)", np.max(np.abs(got[:, 1] - rows[:, 1])), lag)


def _row(stages, levels, kimg):
    seen = round(kimg * 1000)
    stage = stage_at(stages, seen)
    lod = levels - growth_at(stages, stage, seen)
    return kimg, lod, stage.resolution, stage.batch_size, stage.lr


def operations(arrays):
    """Single layers, in both forms where there are two."""
    x, even = _channels_last(arrays["op/x"]), _channels_last(arrays["op/x_even"])

    def compare(name, got):
        return forward(f"op/{name}", np.moveaxis(np.asarray(got), -1, 1), arrays[f"op/{name.split()[0]}/out"], BOUND)

    up = arrays["op/upscale2d_conv2d/weight"][::-1, ::-1].swapaxes(2, 3)
    yield compare("upscale2d_conv2d", _applied(equalised.EqualisedUpConv(up.shape[3]), up, x))
    taps = resample.transposed_taps(up * np.float32(equalised.HE_GAIN / np.sqrt(9 * up.shape[2])))
    yield compare("upscale2d_conv2d (transposed)", resample.up_convolution(x, taps))
    kernel = arrays["op/conv2d/weight"]
    yield compare("conv2d", _applied(equalised.EqualisedConv(kernel.shape[3], 3), kernel, x))
    kernel = arrays["op/torgb_gain1/weight"]
    yield compare("torgb_gain1", _applied(equalised.EqualisedConv(kernel.shape[3], 1, gain=1.0), kernel, x))
    kernel = arrays["op/dense/weight"]
    yield compare(
        "dense",
        _applied(equalised.EqualisedDense(kernel.shape[1], LATENT_GAIN), kernel, arrays["op/x"].reshape(len(x), -1)),
    )
    kernel = arrays["op/conv2d_downscale2d/weight"]
    yield compare("conv2d_downscale2d", _applied(equalised.EqualisedDownConv(kernel.shape[3]), kernel, even))
    with use_forms(PLAIN):
        yield compare(
            "conv2d_downscale2d (plain)", _applied(equalised.EqualisedDownConv(kernel.shape[3]), kernel, even)
        )
    yield compare("downscale2d", resample.average_pool_to(even, even.shape[1] // 2))
    yield compare("upscale2d", resample.upsample_nearest(x))
    yield compare("pixel_norm", normalisation.pixel_norm(x))
    yield compare("minibatch_stddev_g4", normalisation.append_minibatch_stddev(_channels_last(arrays["op/mbstd_x"])))
    yield compare("apply_bias_lrelu", leaky_relu(x + arrays["op/apply_bias_lrelu/bias"]))


def _applied(layer, kernel, x):
    layer.build(x.shape)
    layer.kernel.assign(kernel)
    return layer(x)


def _channels_last(maps):
    return tf.constant(np.moveaxis(maps, 1, 3))
