"""Every setting of a training run: one frozen dataclass.

A field belongs to one of three groups. *Identity* fields make the run what it is and may not change when it is
continued. *Run* fields may change: a longer training, another machine, the advice after an out-of-memory error.
*Session* fields concern one start of the program and are not stored.

A field may belong to some families of networks only; with another it stands at its default and is not stored.
"""

import dataclasses
import difflib
import math
import re
import shlex
import typing
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Suppress

from gan_tf.config import stylegan2_defaults, validation
from gan_tf.config.validation import DEFAULT_POLICY, FAMILIES, SIZES, flag, phase_table
from gan_tf.errors import UsageError
from gan_tf.io.files import user_path

FASTGAN, PGGAN, STYLEGAN2 = ("fastgan",), ("pggan",), ("stylegan2",)
WIDTHS = {"fastgan": "--ngf and --ndf", "pggan": "--fmap-base", "stylegan2": "--channel-base"}
BATCHES = {"fastgan": "--batch-size", "pggan": "--phase-batch", "stylegan2": "--batch-size"}
INSTEAD = {  # what stands for a field of one family in another: {field: {family: flags}}
    **dict.fromkeys(("ngf", "ndf", "fmap_base", "fmap_max", "channel_base", "channel_max"), WIDTHS),
    **dict.fromkeys(("batch_size", "phase_batch"), BATCHES),
    "phase_lr": dict.fromkeys(validation.FAMILIES, "--lr"),
}
PHASE_BATCH = "4:128,8:128,16:128,32:64,64:32,128:16,256:8,512:4,1024:4"  # the official table for one GPU
OFFICIAL_DECAY = 0.999  # of the average at each step, with `--ema-kimg None`
OF_DISCRIMINATOR = ("ndf", "decoders", "minibatch_stddev", "mbstd_group", "architecture")  # fields that concern D alone
ARCHITECTURE = (
    "model",
    "resolution",
    "latent_size",
    "ngf",
    "tanh",
    "fmap_base",
    "fmap_max",
    "pixel_norm",
    "batch_norm",
    "w_size",
    "mapping_layers",
    "channel_base",
    "channel_max",
    "conv_clamp",
    "classes",
)
ARCHITECTURE += OF_DISCRIMINATOR
PACKED = (".zip", ".npz")  # suffixes that a run's name leaves out


def identity(default, *, models=FAMILIES):
    """A field that may not change while a run is continued; `models` are the families that have it."""
    return dataclasses.field(default=default, metadata={"group": "identity", "models": models})


def changeable(default):
    """A field that may change; the change is logged with the image count."""
    return dataclasses.field(default=default, metadata={"group": "run", "models": FAMILIES})


def session(default):
    """A field of one start of the program, never stored."""
    return dataclasses.field(default=default, metadata={"group": "session", "models": FAMILIES})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`. Each is a flag of the same name; a misspelt flag is refused."""

    # What is trained, and on what.
    # (The data is recognised by its fingerprint, so that its path may change.)
    dataset: str = changeable("")  # a known name (panda, demo, ...), tfds:NAME, a folder, a .zip or an .npz
    model: Literal["fastgan", "pggan", "stylegan2"] = identity("fastgan")  # the family of networks
    resolution: int = identity(256)  # pixels: 64, 128, 256, 512 or 1024; pggan and stylegan2: also 16 and 32
    latent_size: int = identity(256)  # length of the latent vector
    conditional: bool = identity(False)  # learn the classes of the data set, so that one can be asked for
    classes: Annotated[int, Suppress] = identity(0)  # how many; no flag: set from the data set if `conditional`

    # FastGAN's networks.
    ngf: int = identity(64, models=FASTGAN)  # fastgan: width of the generator
    ndf: int = identity(64, models=FASTGAN)  # fastgan: width of the discriminator
    decoders: int = identity(3, models=FASTGAN)  # fastgan: reconstruction decoders of the discriminator, 3 or more
    tanh: bool = identity(False, models=FASTGAN)  # fastgan: end G with tanh at every size; else at 1024, as published

    # Progressive GAN's networks.
    fmap_base: int = identity(8192, models=PGGAN)  # pggan: width; an image of R pixels has 2 * fmap_base / R channels
    fmap_max: int = identity(512, models=PGGAN)  # pggan: most channels at any size
    pixel_norm: bool = identity(True, models=PGGAN)  # pggan: normalise the generator's features at each pixel
    batch_norm: bool = identity(False, models=PGGAN)  # pggan: normalise the generator's features over the batch
    minibatch_stddev: bool = identity(True, models=PGGAN)  # pggan: show the discriminator how much images differ

    # StyleGAN2's networks.
    w_size: int = identity(512, models=STYLEGAN2)  # stylegan2: length of the vectors that the mapping network makes
    mapping_layers: int = identity(8, models=STYLEGAN2)  # stylegan2: layers of the mapping network
    # stylegan2: width; maps of r pixels have channel_base / r channels. None: 32768 from 512 pixels on, else 16384
    channel_base: int | None = identity(None, models=STYLEGAN2)
    channel_max: int = identity(512, models=STYLEGAN2)  # stylegan2: most channels at any size
    mbstd_group: int = identity(4, models=STYLEGAN2)  # stylegan2: images whose spread the discriminator is shown
    architecture: Literal["resnet", "orig"] = identity("resnet", models=STYLEGAN2)  # stylegan2: of the discriminator
    conv_clamp: float | None = identity(256.0, models=STYLEGAN2)  # stylegan2: limit of what convolutions give

    # How images are prepared.
    fit: Literal["crop", "pad", "stretch"] = identity("crop")  # how an image becomes square
    background: str = identity("white")  # colour under transparent and padded parts: a name or #rrggbb
    mirror: bool = identity(True)  # also show the images mirrored
    limit: int | None = identity(None)  # use so many images only, spread evenly over the set

    # What is optimised.
    # fastgan, stylegan2: images in a step, all devices together. None for stylegan2's own: 32 up to 128 pixels
    batch_size: int | None = identity(8, models=FASTGAN + STYLEGAN2)
    # adversarial loss; pggan: wgan_gp, lsgan, bce, hinge or logistic; fastgan: all but wgan_gp; stylegan2: logistic
    loss: Literal["hinge", "dual_contrastive", "logistic", "lsgan", "bce", "wgan_gp"] = identity("hinge")
    # fastgan: loss of the discriminator's decoders; lpips as published
    reconstruction: Literal["l1", "l2", "lpips", "none"] = identity("l1", models=FASTGAN)
    # pggan, stylegan2: R1 penalty with the logistic loss, of weight r1_gamma / 2. None: 0.0002 * resolution^2 / batch
    r1_gamma: float | None = identity(10.0, models=PGGAN + STYLEGAN2)
    path_weight: float = identity(2.0, models=STYLEGAN2)  # stylegan2: weight of path length regularisation; 0: none
    style_mixing: float = identity(0.9, models=STYLEGAN2)  # stylegan2: share of the steps that mix two styles
    stabilise_kimg: float = identity(600.0, models=PGGAN)  # pggan: training at each size, thousands of images
    fade_kimg: float = identity(600.0, models=PGGAN)  # pggan: each larger size fades in over so many; 0: at once
    phase_batch: str = identity(PHASE_BATCH, models=PGGAN)  # pggan: images in a step at each size, or one number
    phase_lr: str = identity("", models=PGGAN)  # pggan: learning rate at some sizes, as 1024:0.0015; else --lr
    augment: Literal["diffaugment", "ada", "none"] = identity("diffaugment")  # augmentation before the discriminator
    # diffaugment: list of color, translation, cutout (default color,translation); ada: one of blit, geom, color,
    # filter, noise, cutout, bg, bgc (default), bgcf, bgcfn, bgcfnc
    augment_policy: str | None = identity(None)
    augment_probability: float = identity(1.0)  # diffaugment: share of the images augmented, 0 to 1
    ada_target: float = identity(0.6)  # ada: mean sign of D's logits on reals that its probability p steers for
    # ada: images, in thousands, in which p moves by 1; None: 500, and 100 with --init-from
    ada_kimg: float | None = identity(None)
    ada_max: float = identity(0.8)  # ada: highest p; near 1 the changes leak into the images
    lr: float | None = identity(2e-4)  # learning rate of both optimisers; None for stylegan2's: 0.0025, at 1024 0.002
    beta1: float = identity(0.5)  # Adam's first decay
    beta2: float = identity(0.999)  # Adam's second decay
    # half-life of the averaged generator in kimg; None: 0.999 at each step, 10/32 of a batch with stylegan2
    ema_kimg: float | None = identity(5.5)
    ema_ramp: float | None = identity(0.1)  # early on, that half-life is at most this share of the images seen
    seed: int = identity(0)  # every random number follows from it

    # What it begins with.
    # Begin with the networks of a run, given by its folder, one that grew full-grown; or with NVIDIA's for stylegan2:
    # ffhq256, ffhq512, ffhq1024, celebahq256 or lsundog256.
    init_from: str | None = identity(None)
    freeze_d: int = identity(0)  # with --init-from: so many of D's layers, from the image on, stay as they were

    # How long, and how it is watched.
    total_kimg: float = changeable(400.0)  # length of the run, thousands of real images
    max_minutes: float | None = changeable(None)  # finish after so many minutes of this start, if that comes first
    patience: int | None = changeable(None)  # stop after so many epochs without a better score
    epoch_images: int | None = changeable(None)  # least images in an epoch; default 10,000, or a tenth of a shorter run
    eval_every: int = changeable(1)  # score every so many epochs
    # The score that picks the best weights. auto: fid5k below 1,000 images, else fid10k; swd needs no network.
    metric: Literal["auto", "fid5k", "fid10k", "fid50k", "kid5k", "kid50k", "swd2k", "swd10k"] = changeable("auto")
    resize: Literal["pytorch", "clean", "tf1"] = changeable("pytorch")  # how images come to Inception's size
    weights: str | None = changeable(None)  # a file of Inception's weights in place of the official one
    feature_precision: Literal["float32", "bfloat16"] = changeable("float32")  # of Inception; bfloat16: other names
    final_score: bool = changeable(True)  # at the end score the best weights again, on other images, as papers do
    keep_best: int = changeable(3)  # snapshots with the best scores to keep
    checkpoint_minutes: float = changeable(5.0)  # save at least so often
    keep: int = changeable(2)  # newest checkpoints to keep

    # How it is computed.
    precision: Literal["auto", "float32", "bfloat16", "float16"] = changeable("auto")  # auto: bfloat16 if native
    strategy: Literal["auto", "default", "mirrored", "multi_worker"] = changeable("auto")  # how devices share a step
    micro_batch: int | Literal["auto"] | None = changeable(None)  # images at once, to save memory; default all
    # Steps to a call of the graph; default 16 on a GPU, 1 on a CPU, there 8 with images of at most 16 pixels.
    steps_per_call: int | None = changeable(None)
    memory_gb: float = changeable(4.0)  # larger image sets are kept in a file on disk and not in memory
    deterministic: bool = changeable(False)  # bit-for-bit repeatable on the CPU, somewhat slower

    # Where and how this start of the program runs.
    run: str | None = session(None)  # name of the run; default made from dataset, model and resolution
    checkpoints: str = session("checkpoints")  # folder that holds the runs
    wait_seconds: float = session(300.0)  # how long the workers of a cluster wait for each other to start
    dry_run: bool = session(False)  # show settings, memory and time, and train nothing
    offline: bool = session(False)  # never fetch anything
    verbose: bool = session(False)  # let TensorFlow speak

    def __post_init__(self):
        validation.require(self.model in FAMILIES, self, "model", f"one of {', '.join(FAMILIES)}")
        if self.augment_policy == DEFAULT_POLICY.get(self.augment, DEFAULT_POLICY["diffaugment"]):
            # One run, however its augmentation is spelled. Runs of earlier versions name it without any, too.
            object.__setattr__(self, "augment_policy", None)
        fields = dataclasses.fields(self)
        refuse_foreign([field.name for field in fields if getattr(self, field.name) != field.default], self.model)
        validation.check(self)

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the augmentations, in the order in which they are applied."""
        return validation.policies_of(self.augment, self.augment_policy)

    @property
    def grows(self) -> bool:
        """True if the networks begin with images of 4x4 pixels and grow."""
        return self.model in PGGAN

    @property
    def resolutions(self) -> tuple[int, ...]:
        """Sizes that are trained one after the other: from 4 on if the family grows, else the run's alone.

        Networks of another run (`--init-from`) are full-grown.
        """
        if not self.grows or self.init_from:
            return (self.resolution,)
        return tuple(size for size in SIZES if size <= self.resolution)

    @property
    def batch(self) -> int:
        """Images in a step, all devices together, of a family that trains at one resolution."""
        return self.batch_size or stylegan2_defaults.batch_size(self.resolution)

    @property
    def phase_batches(self) -> dict[int, int]:
        """Images in a step at each of `resolutions`, all devices together."""
        if not self.grows:
            return {self.resolution: self.batch}
        given = phase_table(self, "phase_batch", int, "an integer of at least 1")
        return {size: given.get(size, given.get(None)) for size in self.resolutions}

    @property
    def phase_lrs(self) -> dict[int, float]:
        """Learning rate of both optimisers at each of `resolutions`."""
        given = phase_table(self, "phase_lr", float, "a positive number") if self.grows else {}
        usual = stylegan2_defaults.learning_rate(self.resolution) if self.lr is None else self.lr
        return {size: given.get(size, usual) for size in self.resolutions}

    @property
    def total_images(self) -> int:
        """Length of the run in images; whole batches where they are of one size."""
        if self.grows:
            return max(1, round(self.total_kimg * 1000))
        return round_up(int(self.total_kimg * 1000), self.batch)

    def epoch_length(self, image_count: int) -> int:
        """Images in an epoch: one pass over the data, or the least length if the set is smaller.

        Whole batches where they are of one size.
        """
        least = self.epoch_images or min(10_000, self.total_images // 10)
        return round_up(max(image_count, least, 1), 1 if self.grows else self.batch)

    def average_kimg(self, batch_size: int) -> float:
        """Half-life of the averaged generator at this batch, thousands of images."""
        if self.ema_kimg is not None:
            return self.ema_kimg
        if self.model in STYLEGAN2:
            return stylegan2_defaults.ema_kimg(batch_size)
        return math.log(0.5) / math.log(OFFICIAL_DECAY) * batch_size / 1000

    @property
    def run_name(self) -> str:
        """`--run`, or `<dataset>` with `-<model>` and `-<resolution>` where they are not the default."""
        if self.run:
            return self.run
        path = user_path(self.dataset.removeprefix("tfds:"))
        name = path.stem if path.suffix.lower() in PACKED else path.name
        name = re.sub(r"[^\w.-]+", "-", name).strip("-.")
        defaults = TrainConfig()
        parts = [name or "run"]
        parts += [self.model] if self.model != defaults.model else []
        parts += [str(self.resolution)] if self.resolution != defaults.resolution else []
        return "-".join(parts)

    @property
    def run_folder(self) -> Path:
        """Folder of the run."""
        return user_path(self.checkpoints) / self.run_name


def architecture(model: str) -> list[str]:
    """Names of the fields that say what the networks of a family are: weights of one run fit another if these agree."""
    return [name for name in ARCHITECTURE if name in field_names("identity", model)]


def round_up(value: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `value`, and at least `multiple`."""
    return max(1, -(-value // multiple)) * multiple


def field_names(group: str, model: str | None = None) -> list[str]:
    """Names of the fields of one group (identity, run or session): of all families, or those that `model` has."""
    return [
        field.name
        for field in dataclasses.fields(TrainConfig)
        if field.metadata["group"] == group and (model is None or model in field.metadata["models"])
    ]


def changed(before: TrainConfig, after: TrainConfig, group: str) -> dict[str, tuple]:
    """Fields of `group` that differ: {name: (value before, value after)}; those alone that the family before has."""
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in field_names(group, before.model)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def stored_settings(config: TrainConfig) -> dict:
    """The identity and run fields of the run's family, ready for JSON."""
    names = field_names("identity", config.model) + field_names("run", config.model)
    return {name: getattr(config, name) for name in names}


def from_settings(settings: dict, where: str) -> TrainConfig:
    """Reads `stored_settings` back, those of earlier versions too: what they do not name stands at its default.

    Raises:
        UsageError: a setting that this version does not know, named with the nearest known one, or whose value is of
            another type than the field.
    """
    known = field_names("identity") + field_names("run")
    types = typing.get_type_hints(TrainConfig)  # without what is said to tyro
    for name, value in settings.items():
        if name not in known:
            near = difflib.get_close_matches(name[:80], known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"{where} has the unknown setting {name[:80]!r}{hint}; it was written by another version")
        validation.require_type(value, types[name], name, where)
    try:
        return TrainConfig(**settings)
    except UsageError as error:
        raise UsageError(f"{where}: {error}") from error


def check_data(data: dict, where: str):
    """Raises UsageError unless what is stored about the images is of the types that it was written with."""
    for name, kind in (("fingerprint", str), ("images", int)):
        validation.require_type(data.get(name), kind, f"data.{name}", where)
    for field, kind in (("class_names", str), ("class_counts", int)):
        validation.require_type(data.get(field, []), list, f"data.{field}", where)
        for value in data.get(field, []):
            validation.require_type(value, kind, f"data.{field}", where)
    counts = data.get("class_counts", [])
    if min(counts, default=0) < 0 or sum(counts) >= 2**31:
        raise UsageError(f"{where}: data.class_counts are no counts of images; restore the file")
    validation.require_type(data.get("converted_from", ""), str, "data.converted_from", where)


def as_given(name: str, value) -> str:
    """A setting as one writes it on the command line, such as "--ngf 64" or "--no-pixel-norm"."""
    if isinstance(value, bool):
        return flag(name if value else f"no_{name}")
    return f"{flag(name)} {shlex.quote(str(value))}"


def refuse_foreign(names, model: str):
    """Raises UsageError if a field among `names` belongs to other families than `model`."""
    for field in dataclasses.fields(TrainConfig):
        if field.name in names and model not in field.metadata["models"]:
            owners = ", ".join(field.metadata["models"])
            instead = INSTEAD.get(field.name, {}).get(model)
            remedy = f"give {instead} in its place" if instead else "leave it out"
            raise UsageError(f"{flag(field.name)} is for --model {owners}; {remedy} with --model {model}")
