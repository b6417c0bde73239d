"""Presets of `train`: whole settings under a name, a table for each family. The first of a family is its default."""

import difflib
import itertools

from gan_tf.config.settings import TrainConfig
from gan_tf.errors import UsageError

# Official single-GPU settings for CelebA-HQ: `config.py` and `train.py` of Karras et al. 2018. The tables of batches
# and phases are TrainConfig's defaults.
_CELEBAHQ = {
    "model": "pggan",
    "latent_size": 512,
    "loss": "wgan_gp",
    "augment": "none",
    "lr": 0.001,
    "beta1": 0.0,
    "beta2": 0.99,
    "ema_kimg": None,  # 0.999 at each step, so a half-life that follows the batch: 89 kimg at 128, 3 at 4
    "total_kimg": 12_000.0,
}

# Official settings of StyleGAN2-ADA: Karras et al. 2020, appendix C, and the official program. None stands for what
# follows from the resolution and the batch: see gan_tf.config.stylegan2_defaults.
_AUTO = {
    "model": "stylegan2",
    "latent_size": 512,
    "w_size": 512,
    "mapping_layers": 2,
    "loss": "logistic",
    "augment": "ada",
    "batch_size": None,
    "lr": None,
    "r1_gamma": None,
    "beta1": 0.0,
    "beta2": 0.99,
    "ema_kimg": None,
    "ema_ramp": 0.05,
    "total_kimg": 25_000.0,
    "mirror": False,
}
_STYLEGAN2 = _AUTO | {"mapping_layers": 8, "ema_ramp": None}
_PAPER256 = _STYLEGAN2 | {
    "batch_size": 64,
    "mbstd_group": 8,
    "channel_base": 16384,
    "lr": 0.0025,
    "r1_gamma": 1.0,
    "ema_kimg": 20.0,
}

PRESETS = {
    "fastgan": {
        "fastgan-256": TrainConfig(),
        # Augmented like any small set: at this rate, a discriminator that sees the drawings as they are wins within
        # the first thousand images with some seeds, and the generator needs half of the run to recover.
        "demo": TrainConfig(
            dataset="demo",
            resolution=64,
            ngf=32,
            ndf=32,
            lr=4e-4,
            total_kimg=9.0,
            max_minutes=5.0,
            epoch_images=1000,
            eval_every=2,
            metric="swd2k",
            run="demo",
        ),
    },
    "pggan": {
        "celebahq-256": TrainConfig(**_CELEBAHQ),
        "celebahq-1024": TrainConfig(**_CELEBAHQ | {"resolution": 1024, "phase_lr": "1024:0.0015"}),
        # A few thousand faces on a laptop or a small GPU. Faces of 64 pixels need a quarter of the published channels
        # at the sizes where the time goes, and the tenth part of the published phases: 60 kimg show 3,000 images 20
        # times, mirrored 10 times. 64x64 is whole at 480 kimg; what is left is trained there.
        "faces-64": TrainConfig(
            **_CELEBAHQ
            | {
                "resolution": 64,
                "latent_size": 256,
                "fmap_base": 2048,
                "fmap_max": 256,
                "stabilise_kimg": 60.0,
                "fade_kimg": 60.0,
                "phase_batch": "4:64,8:64,16:64,32:32,64:16",
                "ema_kimg": 5.0,  # the published 0.999 would average over most of so short a phase
                "total_kimg": 800.0,
            }
        ),
        # Grows from 4x4 to 64x64 within 12 minutes on two CPU cores. Small batches give many steps to each of the few
        # images, and small networks learn drawings as well as large ones; 64x64 takes more than half of the time.
        "demo": TrainConfig(
            **_CELEBAHQ
            | {
                "dataset": "demo",
                "resolution": 64,
                "latent_size": 96,
                "fmap_base": 1024,
                "fmap_max": 96,
                "stabilise_kimg": 3.0,
                "fade_kimg": 1.5,
                "phase_batch": "8",
                "lr": 0.0015,
                "ema_kimg": 1.0,
                "total_kimg": 40.0,
                "max_minutes": 11.0,
                "epoch_images": 1000,
                "eval_every": 3,
                "metric": "swd2k",
                "run": "demo-pggan",
            }
        ),
    },
    "stylegan2": {
        "auto": TrainConfig(**_AUTO),
        "paper256": TrainConfig(**_PAPER256),
        "ffhq-256": TrainConfig(**_PAPER256 | {"dataset": "ffhq", "mirror": True}),
        "stylegan2": TrainConfig(
            **_STYLEGAN2
            | {
                "resolution": 1024,
                "batch_size": 32,
                "channel_base": 32768,
                "lr": 0.002,
                "r1_gamma": 10.0,
                "ema_kimg": 10.0,
            }
        ),
        "cifar": TrainConfig(
            **_AUTO
            | {
                "dataset": "tfds:cifar10",
                "resolution": 32,
                "batch_size": 64,
                "mbstd_group": 32,
                "channel_base": 32768,
                "lr": 0.0025,
                "r1_gamma": 0.01,
                "path_weight": 0.0,
                "style_mixing": 0.0,
                "architecture": "orig",
                "ema_kimg": 500.0,
                "total_kimg": 100_000.0,
            }
        ),
        # A hundred images, as the comparison on the few-shot sets in Zhao et al. 2020 (DiffAugment), appendix.
        "low-shot": TrainConfig(
            **_AUTO
            | {
                "batch_size": 8,
                "lr": 0.002,
                "r1_gamma": 10.0,
                "ema_kimg": 10.0,
                "ema_ramp": None,
                "total_kimg": 300.0,
                "mirror": True,
            }
        ),
        # Drawings at 64x64 within 20 minutes on two CPU cores: a quarter of the official channels, and a fast average.
        "demo": TrainConfig(
            **_AUTO
            | {
                "dataset": "demo",
                "resolution": 64,
                "latent_size": 128,
                "w_size": 128,
                "channel_base": 2048,
                "channel_max": 128,
                "batch_size": 8,
                "r1_gamma": 1.0,  # with the automatic 0.1 the discriminator of so small a batch wins early
                "ema_kimg": 1.0,
                "ada_kimg": 50.0,
                "total_kimg": 40.0,
                "max_minutes": 18.0,
                "epoch_images": 1000,
                "eval_every": 3,
                "metric": "swd2k",
                "run": "demo-stylegan2",
                "mirror": True,
            }
        ),
    },
}


def choose(preset: str | None, model: str | None) -> tuple[str, TrainConfig]:
    """What `--preset` and `--model` ask for: (name of the preset, its settings).

    Without a model it is the one that has the preset, fastgan first; without a preset it is the model's first.

    Raises:
        UsageError: an unknown name, or a preset of another model.
    """
    if model is not None and model not in PRESETS:
        raise UsageError(f"--model {model!r} is unknown; choose from {', '.join(PRESETS)}{_near(model, PRESETS)}")
    owners = [name for name, table in PRESETS.items() if preset in table]
    if preset is None:
        model = model or next(iter(PRESETS))
        preset = next(iter(PRESETS[model]))
    elif not owners:
        names = dict.fromkeys(itertools.chain.from_iterable(PRESETS.values()))
        raise UsageError(f"--preset {preset!r} is unknown; choose from {', '.join(names)}{_near(preset, names)}")
    elif model is not None and model not in owners:
        raise UsageError(
            f"--preset {preset} is for --model {', '.join(owners)}; with --model {model} "
            f"choose from {', '.join(PRESETS[model])}"
        )
    return preset, PRESETS[model or owners[0]][preset]


def _near(word, names):
    """A hint at the nearest of `names`, empty if none is near."""
    near = difflib.get_close_matches(word, names, 1)
    return f"; did you mean {near[0]}?" if near else ""
