"""Presets of `train`: named TrainConfigs, by family. The first preset of a family is its default."""

from dataclasses import replace

from gan_tf.config.settings import TrainConfig
from gan_tf.config.validation import did_you_mean
from gan_tf.errors import UsageError

_DEMO = {"dataset": "demo", "resolution": 64, "epoch_images": 1000, "metric": "swd2k"}

# Official single-GPU settings for CelebA-HQ: `config.py` and `train.py` of Karras et al. 2018 (Progressive GAN). Batch
# sizes and lengths of stages are TrainConfig's defaults.
_CELEBAHQ = TrainConfig(
    model="pggan",
    latent_size=512,
    loss="wgan_gp",
    augment="none",
    lr=0.001,
    beta1=0.0,
    beta2=0.99,
    ema_kimg=None,  # decay 0.999 per step, so the half-life follows the batch size: 89 kimg at 128, 3 at 4
    total_kimg=12_000.0,
)

# Recognisable images within five minutes on two CPU cores: docs/performance.md compares these settings with others.
# Small batches give many steps on few images, and small networks are sufficient at this size.
_CPU_64 = replace(
    _CELEBAHQ,
    resolution=64,
    latent_size=96,
    fmap_base=1024,
    fmap_max=96,
    stabilise_kimg=2.0,
    fade_kimg=1.0,
    phase_batch="4:8,8:8,16:8,32:8,64:4",
    lr=0.003,
    ema_kimg=0.5,
    total_kimg=40.0,
    metric="swd2k",
)

# Official settings of Projected GAN on 8 GPUs with 8 images each: Sauer et al. 2021, and its official program.
_PROJECTED = TrainConfig(
    discriminator="projected",
    batch_size=64,
    micro_batch=8,
    augment_policy="color,translation,cutout",
    cutout=0.2,
    beta1=0.0,
    beta2=0.99,
    ema_kimg=20.0,
    ema_ramp=0.05,
    total_kimg=10_000.0,
)

# Official settings of StyleGAN2-ADA: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data),
# appendix C, and the official program. None: TrainConfig computes the value from the resolution and the batch size.
_AUTO = TrainConfig(
    model="stylegan2",
    latent_size=512,
    w_size=512,
    mapping_layers=2,
    loss="logistic",
    augment="ada",
    batch_size=None,
    lr=None,
    r1_gamma=None,
    beta1=0.0,
    beta2=0.99,
    ema_kimg=None,
    ema_ramp=0.05,
    total_kimg=25_000.0,
    mirror=False,
)
_OFFICIAL = replace(_AUTO, mapping_layers=8, ema_ramp=None)
_PAPER256 = replace(_OFFICIAL, batch_size=64, mbstd_group=8, channel_base=16384, lr=0.0025, r1_gamma=1.0, ema_kimg=20.0)

PRESETS = {
    "fastgan": {
        "fastgan-256": TrainConfig(),
        # On a CPU, narrow networks are better after equal time: docs/performance.md.
        "fastgan-64": TrainConfig(
            resolution=64, ngf=16, ndf=16, lr=4e-4, energy_weight=2.0, total_kimg=20.0, metric="swd2k"
        ),
        "projected": replace(_PROJECTED, up_blocks="full", ngf=128, reconstruction="none"),
        "projected-lite": replace(_PROJECTED, up_blocks="lite", ngf=128, reconstruction="none"),
        # Needs DiffAugment, the default: without it, at this learning rate, the discriminator dominates within the
        # first thousand images with some seeds, and the generator needs half of the run to recover.
        "demo": TrainConfig(
            **_DEMO, ngf=32, ndf=32, lr=4e-4, total_kimg=9.0, max_minutes=5.0, eval_every=2, run="demo"
        ),
    },
    "pggan": {
        "celebahq-256": _CELEBAHQ,
        "celebahq-1024": replace(_CELEBAHQ, resolution=1024, phase_lr="1024:0.0015"),
        # A few thousand faces on a laptop or a small GPU: a quarter of the published channels at the sizes that take
        # most of the time, and a tenth of the published length of stages. 60 kimg show 3,000 images 20 times, 10 of
        # them mirrored. 64x64 is fully faded in at 480 kimg; the rest of the run trains it.
        "faces-64": replace(
            _CELEBAHQ,
            resolution=64,
            latent_size=256,
            fmap_base=2048,
            fmap_max=256,
            stabilise_kimg=60.0,
            fade_kimg=60.0,
            phase_batch="4:64,8:64,16:64,32:32,64:16",
            ema_kimg=5.0,  # the published decay of 0.999 would average over most of such a short stage
            total_kimg=800.0,
        ),
        "cpu-64": _CPU_64,
        "cpu-128": replace(_CPU_64, resolution=128, phase_batch=f"{_CPU_64.phase_batch},128:4"),
        # Scores are rare, since each takes the time of a few hundred images. The number of images ends the run, not the
        # time (except on very slow machines), so that all machines make the same images.
        "demo": replace(
            _CPU_64,
            dataset="demo",
            epoch_images=2000,
            eval_every=8,
            total_kimg=23.0,
            max_minutes=10.0,
            run="demo-pggan",
        ),
    },
    "stylegan2": {
        "auto": _AUTO,
        "paper256": _PAPER256,
        "ffhq-256": replace(_PAPER256, dataset="ffhq", mirror=True),
        "stylegan2": replace(
            _OFFICIAL, resolution=1024, batch_size=32, channel_base=32768, lr=0.002, r1_gamma=10.0, ema_kimg=10.0
        ),
        "cifar": replace(
            _AUTO,
            dataset="tfds:cifar10",
            resolution=32,
            batch_size=64,
            mbstd_group=32,
            channel_base=32768,
            lr=0.0025,
            r1_gamma=0.01,
            path_weight=0.0,
            style_mixing=0.0,
            architecture="orig",
            ema_kimg=500.0,
            total_kimg=100_000.0,
        ),
        "projected": replace(
            _PROJECTED,
            model="stylegan2",
            latent_size=64,
            w_size=128,
            mapping_layers=2,
            lr=0.002,
            r1_gamma=0.0,
            path_weight=0.0,
            style_mixing=0.0,
        ),
        # About 100 images, as in the comparison on few-shot sets of Zhao et al. 2020 (DiffAugment), appendix.
        "low-shot": replace(
            _AUTO, batch_size=8, lr=0.002, r1_gamma=10.0, ema_kimg=10.0, ema_ramp=None, total_kimg=300.0, mirror=True
        ),
        # Drawings at 64x64 within 20 minutes on two CPU cores: an eighth of the official channels at 64x64 and 32x32, a
        # quarter at smaller sizes, and a short EMA.
        "demo": replace(
            _AUTO,
            **_DEMO,
            latent_size=128,
            w_size=128,
            channel_base=2048,
            channel_max=128,
            batch_size=8,
            r1_gamma=1.0,  # with the automatic 0.1, the discriminator dominates early at such a small batch size
            ema_kimg=1.0,
            ada_kimg=50.0,
            total_kimg=40.0,
            max_minutes=18.0,
            eval_every=3,
            run="demo-stylegan2",
            mirror=True,
        ),
    },
}


def choose(preset: str | None, model: str | None) -> tuple[str, TrainConfig]:
    """Returns the name and the settings of the preset that `--preset` and `--model` select.

    Without a model, the first family that has the preset is chosen; without a preset, the first one of the family.

    Raises:
        UsageError: an unknown name, or a preset of another model.
    """
    presets = list(dict.fromkeys(name for table in PRESETS.values() for name in table))
    for setting, name, names in (("--model", model, PRESETS), ("--preset", preset, presets)):
        if name is not None and name not in names:
            problem = f"{name!r} is unknown" if name else "has no value"
            raise UsageError(f"{setting} {problem}; choose from {', '.join(names)}{did_you_mean(name, names)}")
    if preset is None:
        preset = next(iter(PRESETS[model or "fastgan"]))
    owners = [name for name, table in PRESETS.items() if preset in table]
    model = model or owners[0]
    if model not in owners:
        names = ", ".join(PRESETS[model])
        raise UsageError(f"--preset {preset} is for --model {', '.join(owners)}; with --model {model} use {names}")
    return preset, PRESETS[model][preset]
