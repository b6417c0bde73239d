"""`TrainConfig`: every setting of a training run in one frozen dataclass.

Each field is in one of three groups. *Identity* fields define the run and may not change when it is continued. *Run*
fields may change, such as its length, the devices, or the micro-batch after an out-of-memory error. *Session* fields
apply to one start of the program and are not stored.

Some fields exist for some families of networks only. With another family they keep their default and are not stored.
"""

import dataclasses
import functools
import math
import re
import typing
from pathlib import Path
from typing import Literal

from gan_tf.config import validation
from gan_tf.config.validation import AUTO, FAMILIES, did_you_mean, flag, require_type
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path
from gan_tf.io.shell import quote

FASTGAN, PGGAN, STYLEGAN2 = ("fastgan",), ("pggan",), ("stylegan2",)
PHASE_BATCH = "4:128,8:128,16:128,32:64,64:32,128:16,256:8,512:4,1024:4"  # Progressive GAN's official table for one GPU
DISCRIMINATOR_FIELDS = ("discriminator", "ndf", "decoders", "minibatch_stddev", "mbstd_group", "architecture")
ARCHITECTURE_FIELDS = (
    *("model", "resolution", "size", "channels", "latent_size", "ngf", "tanh", "up_blocks"),
    *("fmap_base", "fmap_max", "pixel_norm", "batch_norm"),
    *("w_size", "mapping_layers", "channel_base", "channel_max", "conv_clamp", "classes"),
    *DISCRIMINATOR_FIELDS,
)

# The settings of another family that replace a setting: {setting: {family: flags}}.
WIDTH_FLAGS = {"fastgan": "--ngf and --ndf", "pggan": "--fmap-base", "stylegan2": "--channel-base"}
REPLACEMENTS = {
    **dict.fromkeys(("ngf", "ndf", "fmap_base", "fmap_max", "channel_base", "channel_max"), WIDTH_FLAGS),
    "batch_size": {"pggan": "--phase-batch"},
    "phase_batch": dict.fromkeys(FASTGAN + STYLEGAN2, "--batch-size"),
    "phase_lr": dict.fromkeys(FASTGAN + STYLEGAN2, "--lr"),
}


def identity(default, help, *, models=FAMILIES, group="identity"):
    """Returns a field that may not change when a run is continued. `models`: the families that have it."""
    return dataclasses.field(default=default, metadata={"group": group, "help": help, "models": models})


changeable = functools.partial(identity, group="run")  # may change when a run is continued; the change is logged
session = functools.partial(identity, group="session")  # applies to one start of the program and is never stored


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`. Each field is a command-line flag; its text is shown by `gan-tf train --help`."""

    # Model and data. A run recognises its images by a fingerprint, so their path may change.
    dataset: str = changeable("", "known name (panda, demo, ...), tfds:NAME, folder, .zip or .npz")
    model: Literal["fastgan", "pggan", "stylegan2"] = identity("fastgan", "family of networks")
    # The resolution of images that are not square is that of square images with maps of the same sizes; see `base`.
    resolution: int = identity(256, "height and width of square images in pixels")
    size: str | None = identity(
        None,
        "WIDTHxHEIGHT of images that are not square, such as 384x256, in place of --resolution; auto: the shape "
        "nearest to the median of the dataset, with about the pixels of --resolution",
    )
    channels: Literal["rgb", "grey", "rgba", "auto"] = identity(
        "rgb", "colours, grey values, or colours and transparency; auto: those of the dataset"
    )
    latent_size: int = identity(256, "length of the latent vector z")
    conditional: bool = identity(False, "train on class labels, so that images of one class can be generated")
    classes: int = identity(0, None)  # number of classes; without a flag, since it is read from the dataset
    fit: Literal["crop", "pad", "stretch"] = identity("crop", "how images get the shape of --resolution or --size")
    background: str = identity("white", "colour of transparent and padded areas: a name or #rrggbb")
    bits: int = identity(16, "bits that hold data in 16-bit images, such as 12; see `gan-tf inspect`")
    mirror: bool = identity(True, "also train on horizontally mirrored images")
    limit: int | None = identity(None, "use only this many images, spread evenly over the dataset")

    # Optimisation.
    loss: Literal["hinge", "dual_contrastive", "logistic", "lsgan", "bce", "wgan_gp"] = identity("hinge", "GAN loss")
    lr: float | None = identity(2e-4, "learning rate; None (stylegan2): 0.0025, at 1024 pixels 0.002")
    beta1: float = identity(0.5, "Adam's beta_1")
    beta2: float = identity(0.999, "Adam's beta_2")
    # None: decay 0.999 per step; with stylegan2 a half-life of 10/32 of the batch, in kimg.
    ema_kimg: float | None = identity(5.5, "half-life of the EMA generator in kimg; None: as published")
    ema_ramp: float | None = identity(0.1, "limits that half-life to this fraction of the images seen so far")
    seed: int = identity(0, "seed of all random numbers")
    init_from: str | None = identity(
        None, "start from a run folder, or from ffhq256, ffhq512, ffhq1024, celebahq256 or lsundog256 (stylegan2)"
    )
    freeze_d: int = identity(0, "freeze this many layers of the discriminator, from the image on; needs --init-from")

    # Augmentation.
    augment: Literal["diffaugment", "ada", "none"] = identity("diffaugment", "augmentation of real and fake images")
    augment_policy: str | None = identity(
        None,
        "diffaugment: list of color, translation, cutout (default color,translation); ada: one of blit, geom, color, "
        "filter, noise, cutout, bg, bgc (default), bgcf, bgcfn, bgcfnc",
    )
    augment_probability: float = identity(1.0, "diffaugment: fraction of the images that are augmented")
    cutout: float = identity(0.5, "diffaugment: side of the box that cutout removes, relative to the image")
    ada_target: float = identity(0.6, "ada: target for the mean sign of D's logits on reals")
    ada_kimg: float | None = identity(None, "ada: kimg for p to rise by 1; default 500, with --init-from 100")
    ada_max: float = identity(0.8, "ada: largest p; near 1, augmentations leak into the generated images")

    # Length, scores and checkpoints.
    total_kimg: float = changeable(400.0, "length of the run in thousands of real images")
    max_minutes: float | None = changeable(None, "finish after this many minutes of this start, if that is earlier")
    patience: int | None = changeable(None, "stop after this many scores in a row without a better one")
    epoch_images: int | None = changeable(None, "minimum images per epoch; default 10,000 or a tenth of the run")
    eval_every: int = changeable(1, "score every this many epochs")
    metric: Literal[
        "auto",
        "fid5k",
        "fid10k",
        "fid50k",
        "kid5k",
        "kid50k",
        "fd5k-lite2",
        "kid5k-lite2",
        "swd2k",
        "swd10k",
    ] = changeable(
        "auto",
        "score that selects the best weights; auto: fid5k below 1,000 images, else fid10k; without Inception's weights "
        "fd5k-lite2 or swd2k",
    )
    resize: Literal["pytorch", "clean", "tf1"] = changeable("pytorch", "how images are resized for Inception")
    weights: str | None = changeable(None, "file of Inception weights to use in place of the official one")
    feature_precision: Literal["float32", "bfloat16"] = changeable("float32", "precision of the Inception features")
    final_score: bool = changeable(True, "at the end, score the best weights again on a second set of latents")
    keep_best: int = changeable(3, "number of best snapshots to keep")
    checkpoint_minutes: float = changeable(5.0, "maximum minutes between checkpoints")
    keep: int = changeable(2, "number of newest checkpoints to keep")

    # Computation.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = changeable(
        "auto", "precision of the networks; auto: bfloat16 where the device has it, float16 on GPUs such as T4 and V100"
    )
    strategy: Literal["auto", "default", "mirrored", "multi_worker"] = changeable(
        "auto", "tf.distribute strategy that splits a step over devices"
    )
    micro_batch: int | Literal["auto"] | None = changeable(None, "images per forward pass; default: the whole batch")
    steps_per_call: int | None = changeable(None, "steps per graph call; default GPU 16, CPU 1, at 16 pixels 8")
    jit: bool = changeable(False, "compile the whole step with XLA: for GPUs, on one device; slower on a CPU")
    memory_gb: float = changeable(4.0, "datasets above this size are read from a file on disk")
    deterministic: bool = changeable(False, "bit-for-bit repeatable on the CPU, slightly slower")

    # Session: this start of the program.
    run: str | None = session(None, "name of the run; default from dataset, model and resolution")
    checkpoints: str = session("checkpoints", "folder that contains the runs")
    wait_seconds: float = session(300.0, "how long the workers of a cluster wait for each other to start")
    dry_run: bool = session(False, "print settings, memory and time, without training")
    offline: bool = session(False, "download nothing")
    verbose: bool = session(False, "show TensorFlow's messages")

    # Networks, by family.
    ngf: int = identity(64, "base width of the generator", models=FASTGAN)
    ndf: int = identity(64, "base width of the discriminator", models=FASTGAN)
    decoders: int = identity(3, "reconstruction decoders of the discriminator, 3 or more", models=FASTGAN)
    discriminator: Literal["own", "projected"] = identity(
        "own", "projected: heads on features of a network trained on ImageNet", models=FASTGAN + STYLEGAN2
    )
    feature_resolution: int = identity(
        224,
        "projected: enlarge smaller images to this size for the feature network, 128 or more",
        models=FASTGAN + STYLEGAN2,
    )
    feature_weights: str | None = changeable(
        None, "projected: file of EfficientNet-Lite0's weights; default: the package", models=FASTGAN + STYLEGAN2
    )
    up_blocks: Literal["alternating", "full", "lite"] = identity(
        "alternating", "generator's blocks; full, lite: the networks of Projected GAN", models=FASTGAN
    )
    tanh: bool = identity(False, "end the generator with tanh at every size; published: at 1024 only", models=FASTGAN)
    fmap_base: int = identity(8192, "width: 2 * fmap_base / R channels at R pixels", models=PGGAN)
    fmap_max: int = identity(512, "maximum channels of a layer", models=PGGAN)
    pixel_norm: bool = identity(True, "pixel norm in the generator", models=PGGAN)
    batch_norm: bool = identity(False, "batch norm in the generator", models=PGGAN)
    minibatch_stddev: bool = identity(True, "minibatch standard deviation in the discriminator", models=PGGAN)
    w_size: int = identity(512, "length of the intermediate latent vector w", models=STYLEGAN2)
    mapping_layers: int = identity(8, "layers of the mapping network", models=STYLEGAN2)
    # None: 32768 from 512 pixels on, else 16384.
    channel_base: int | None = identity(None, "width: channel_base / R channels at R pixels", models=STYLEGAN2)
    channel_max: int = identity(512, "maximum channels of a layer", models=STYLEGAN2)
    mbstd_group: int = identity(4, "group size of the minibatch standard deviation", models=STYLEGAN2)
    architecture: Literal["resnet", "orig"] = identity("resnet", "discriminator architecture", models=STYLEGAN2)
    conv_clamp: float | None = identity(256.0, "clamp the output of convolutions to this value", models=STYLEGAN2)

    # Batches and losses, by family.
    batch_size: int | None = identity(
        8, "images per step on all devices; None (stylegan2): 4096 / resolution, at most 32", models=FASTGAN + STYLEGAN2
    )
    reconstruction: Literal["l1", "l2", "lpips", "none"] = identity(
        "l1", "loss of the discriminator's decoders; published: lpips", models=FASTGAN
    )
    energy_weight: float = identity(
        0.0, "weight of the energy distance of small fakes and reals, a loss of the generator", models=FASTGAN
    )
    phase_batch: str = identity(PHASE_BATCH, "images per step at each resolution, or one number", models=PGGAN)
    phase_lr: str = identity("", "learning rate at some resolutions, such as 1024:0.0015; else --lr", models=PGGAN)
    stabilise_kimg: float = identity(600.0, "kimg at each resolution after fading in", models=PGGAN)
    fade_kimg: float = identity(600.0, "kimg in which a new resolution fades in; 0: no fading", models=PGGAN)
    r1_gamma: float | None = identity(
        10.0, "R1 penalty with weight r1_gamma / 2; None: 0.0002 * width * height / batch", models=PGGAN + STYLEGAN2
    )
    path_weight: float = identity(2.0, "weight of path length regularisation; 0: none", models=STYLEGAN2)
    style_mixing: float = identity(0.9, "probability of style mixing", models=STYLEGAN2)

    def __post_init__(self):
        validation.require(self.model in FAMILIES, self, "model", f"one of {', '.join(FAMILIES)}")
        if self.size not in (None, AUTO):
            width, height = validation.parse_size(self.size)
            resolution, base = validation.resolution_and_base(width, height, validation.RESOLUTIONS[self.model])
            object.__setattr__(self, "resolution", resolution)
            object.__setattr__(self, "size", None if base == validation.SQUARE_BASE else f"{width}x{height}")
        if self.augment_policy == validation.DEFAULT_POLICY.get(self.augment, validation.DEFAULT_POLICY["diffaugment"]):
            # The default may be given by name; runs of earlier versions store it by name, also with --augment none.
            object.__setattr__(self, "augment_policy", None)
        given = [field.name for field in dataclasses.fields(self) if getattr(self, field.name) != field.default]
        reject_other_families(given, self.model)
        validation.check(self)

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the augmentations, in the order in which they are applied."""
        return validation.policies_of(self.augment, self.augment_policy)

    @property
    def base(self) -> tuple[int, int]:
        """(height, width) of the networks' smallest maps, which double up to the images: 4x4 unless `size` is set."""
        if self.size is None:
            return validation.SQUARE_BASE
        width, height = validation.parse_size(self.size)
        return height * 4 // self.resolution, width * 4 // self.resolution

    @property
    def image_size(self) -> tuple[int, int]:
        """(height, width) of the images in pixels."""
        return self.image_size_at(self.resolution)

    def image_size_at(self, resolution: int) -> tuple[int, int]:
        """(height, width) of the images at one of `resolutions`."""
        return tuple(resolution * side // 4 for side in self.base)

    @property
    def size_text(self) -> str:
        """Width and height of the images, such as "256x256"."""
        return self.size_text_at(self.resolution)

    @property
    def size_flag(self) -> str:
        """The flag that sets the size of the images, such as "--resolution 256"."""
        return as_argument(*(("resolution", self.resolution) if self.size is None else ("size", self.size)))

    def size_text_at(self, resolution: int) -> str:
        """Width and height of the images at one of `resolutions`."""
        return validation.size_text(self.image_size_at(resolution))

    @property
    def image_channels(self) -> int:
        """Number of channels of the images."""
        return validation.CHANNELS[self.channels]

    @property
    def is_projected(self) -> bool:
        """True if the discriminator is that of Projected GAN."""
        return self.discriminator == "projected"

    @property
    def grows(self) -> bool:
        """True if the networks start at their smallest map and grow."""
        return self.model in PGGAN

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Resolutions in training order: from 4 on if the family grows and begins with new networks, else one."""
        if not self.grows or self.init_from:
            return (self.resolution,)
        return tuple(size for size in validation.SIZES if size <= self.resolution)

    # The defaults for stylegan2 below are those of the configuration `auto` of StyleGAN2-ADA's official program for
    # one GPU: Karras et al. 2020 (Training Generative Adversarial Networks with Limited Data), appendix C.

    @property
    def batch(self) -> int:
        """Images per step, all devices together, for a family that trains at one resolution."""
        return self.batch_size or max(1, min(4096 // self.resolution, 32))

    @property
    def batch_sizes(self) -> dict[int, int]:
        """Images per step at each of `resolutions`, all devices together."""
        if not self.grows:
            return {self.resolution: self.batch}
        table = validation.table_by_size(self, "phase_batch", int)
        return {resolution: table.get(resolution, table.get(None)) for resolution in self.resolutions}

    @property
    def learning_rates(self) -> dict[int, float]:
        """Learning rate of both optimisers at each of `resolutions`, before lazy regularisation scales it."""
        table = validation.table_by_size(self, "phase_lr", float) if self.grows else {}
        automatic = 0.002 if self.resolution >= 1024 else 0.0025
        default = automatic if self.lr is None else self.lr
        return {resolution: table.get(resolution, default) for resolution in self.resolutions}

    def r1_weight(self, batch_size: int) -> float:
        """`r1_gamma`, or its default: larger images have smaller gradients per pixel, small batches noisier ones."""
        return 0.0002 * math.prod(self.image_size) / batch_size if self.r1_gamma is None else self.r1_gamma

    def average_kimg(self, batch_size: int) -> float:
        """Half-life of the EMA generator at this batch size, in thousands of images."""
        if self.ema_kimg is not None:
            return self.ema_kimg
        if self.model in STYLEGAN2:
            return batch_size * 10 / 32
        return math.log(0.5) / math.log(0.999) * batch_size / 1000  # the official decay of 0.999 per step

    @property
    def total_images(self) -> int:
        """Length of the run in images; whole batches if the batch size is constant."""
        if self.grows:
            return max(1, round(self.total_kimg * 1000))
        return round_up(int(self.total_kimg * 1000), self.batch)

    def epoch_length(self, image_count: int) -> int:
        """Images in an epoch: one pass over the data or the minimum length; whole batches if their size is constant."""
        minimum = self.epoch_images or min(10_000, self.total_images // 10)
        return round_up(max(image_count, minimum, 1), 1 if self.grows else self.batch)

    @property
    def run_name(self) -> str:
        """`run`, or `<dataset>` with `-<model>` and `-<resolution or size>` unless they are the defaults."""
        if self.run:
            return self.run
        path = user_path(self.dataset.removeprefix("tfds:"))
        name = path.stem if path.suffix.lower() in (".zip", ".npz") else path.name
        name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        model = f"-{self.model}" if self.model != TrainConfig.model else ""
        size = self.resolution if self.size in (None, AUTO) else self.size
        size = f"-{size}" if size != TrainConfig.resolution else ""
        return f"{name or 'run'}{model}{size}"

    @property
    def run_folder(self) -> Path:
        """Folder of the run."""
        return user_path(self.checkpoints) / self.run_name


def round_up(value: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `value`, and at least `multiple`."""
    return max(1, -(-value // multiple)) * multiple


def field_names(group: str, model: str | None = None) -> list[str]:
    """Returns the names of the fields in a group (identity, run or session); with `model`, those of that family."""
    fields = [field for field in dataclasses.fields(TrainConfig) if field.metadata["group"] == group]
    return [field.name for field in fields if model is None or model in field.metadata["models"]]


def architecture_fields(model: str) -> list[str]:
    """Returns the names of a family's fields that must agree for the weights of one run to fit another."""
    return [name for name in ARCHITECTURE_FIELDS if name in field_names("identity", model)]


def changed(before: TrainConfig, after: TrainConfig, group: str) -> dict[str, tuple]:
    """Returns the fields of `group` that differ, {name: (old, new)}, among the fields of the family of `before`."""
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in field_names(group, before.model)}
    return with_one_size({name: (old, new) for name, (old, new) in pairs.items() if old != new}, before, after)


def with_one_size(pairs: dict, before: TrainConfig, after: TrainConfig) -> dict:
    """Returns different fields {name: (old, new)} with the size of the images as one pair of texts "WxH"."""
    if "size" not in pairs:
        return pairs
    others = {name: pair for name, pair in pairs.items() if name not in ("size", "resolution")}
    return {"size": (before.size_text, after.size_text), **others}


def stored_settings(config: TrainConfig) -> dict:
    """Returns the identity and run fields of the run's family for config.json."""
    names = field_names("identity", config.model) + field_names("run", config.model)
    return {name: getattr(config, name) for name in names}


def from_stored_settings(settings: dict, where: str) -> TrainConfig:
    """Returns the TrainConfig of stored settings. Those that an earlier version did not have get their default.

    Raises:
        UsageError: an unknown setting, a value of a wrong type, or values that TrainConfig rejects.
    """
    known, annotations = field_names("identity") + field_names("run"), typing.get_type_hints(TrainConfig)
    for name, value in settings.items():
        if name not in known:
            hint = did_you_mean(name, known)
            raise UsageError(f"{where}: the setting {name[:80]!r} is of another version of gan_tf{hint}")
        require_type(value, annotations[name], name, where)
    try:
        return TrainConfig(**settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def as_argument(name: str, value) -> str:
    """Returns a setting as a command-line argument, such as "--ngf 64" or "--no-pixel-norm"."""
    if isinstance(value, bool):
        return flag(name if value else f"no_{name}")
    return f"{flag(name)} {quote(value)}"


def reject_other_families(names, model: str):
    """Raises UsageError if a field among `names` belongs only to other families than `model`."""
    for field in dataclasses.fields(TrainConfig):
        if field.name in names and model not in field.metadata["models"]:
            replacement = REPLACEMENTS.get(field.name, {}).get(model)
            fix = f"use {replacement}" if replacement else "leave it out"
            owners = ", ".join(field.metadata["models"])
            raise UsageError(f"{flag(field.name)} is for --model {owners}; {fix} with --model {model}")
