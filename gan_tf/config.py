"""Every setting of a training run: one frozen dataclass, a table of presets.

A field belongs to one of three groups. *Identity* fields make the run what it is and may not change when it is
continued. *Run* fields may change: a longer training, another machine, the advice after an out-of-memory error.
*Session* fields concern one start of the program and are not stored.
"""

import dataclasses
import difflib
import math
import re
from pathlib import Path
from typing import Literal

from gan_tf.errors import UsageError

RESOLUTIONS = (64, 128, 256, 512, 1024)
POLICIES = ("color", "translation", "cutout")
OFFICIAL_DECAY = 0.999  # of the average at each step, with `--ema-kimg None`
PACKED = (".zip", ".npz")  # suffixes that a run's name leaves out


def identity(default):
    """A field that may not change while a run is continued."""
    return dataclasses.field(default=default, metadata={"group": "identity"})


def changeable(default):
    """A field that may change; the change is logged with the image count."""
    return dataclasses.field(default=default, metadata={"group": "run"})


def session(default):
    """A field of one start of the program, never stored."""
    return dataclasses.field(default=default, metadata={"group": "session"})


@dataclasses.dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of `train`. Each is a flag of the same name; a misspelt flag is refused."""

    # What is trained, and on what.
    # (The data is recognised by its fingerprint, so that its path may change.)
    dataset: str = changeable("")  # a known name (panda, demo, ...), tfds:NAME, a folder, a .zip or an .npz
    model: Literal["fastgan"] = identity("fastgan")  # the family of networks
    resolution: int = identity(256)  # pixels: 64, 128, 256, 512 or 1024
    ngf: int = identity(64)  # width of the generator
    ndf: int = identity(64)  # width of the discriminator
    latent_size: int = identity(256)  # length of the latent vector
    decoders: int = identity(3)  # reconstruction decoders of the discriminator, 3 or more
    tanh: bool = identity(False)  # end the generator with tanh at every size; else at 1024 only, as published

    # How images are prepared.
    fit: Literal["crop", "pad", "stretch"] = identity("crop")  # how an image becomes square
    background: str = identity("white")  # colour under transparent and padded parts: a name or #rrggbb
    mirror: bool = identity(True)  # also show the images mirrored
    limit: int | None = identity(None)  # use so many images only, spread evenly over the set

    # What is optimised.
    batch_size: int = identity(8)  # images in a step, all devices together
    loss: Literal["hinge", "dual_contrastive", "logistic", "lsgan", "bce"] = identity("hinge")  # adversarial loss
    reconstruction: Literal["l1", "l2", "lpips", "none"] = identity("l1")  # loss of D's decoders; lpips as published
    augment: Literal["diffaugment", "none"] = identity("diffaugment")  # augmentation in front of the discriminator
    augment_policy: str = identity("color,translation")  # comma-separated choice of color, translation, cutout
    augment_probability: float = identity(1.0)  # share of the images that are augmented, 0 to 1
    lr: float = identity(2e-4)  # learning rate of both optimisers
    beta1: float = identity(0.5)  # Adam's first decay
    beta2: float = identity(0.999)  # Adam's second decay
    ema_kimg: float = identity(5.5)  # half-life of the averaged generator, thousands of images
    seed: int = identity(0)  # every random number follows from it

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
    steps_per_call: int | None = changeable(None)  # steps to a call of the graph; default 1 on a CPU, 16 on a GPU
    memory_gb: float = changeable(4.0)  # larger image sets are kept in a file on disk and not in memory
    deterministic: bool = changeable(False)  # bit-for-bit repeatable on the CPU, somewhat slower

    # Where and how this start of the program runs.
    run: str | None = session(None)  # name of the run; default made from dataset, model and resolution
    checkpoints: str = session("checkpoints")  # folder that holds the runs
    dry_run: bool = session(False)  # show settings, memory and time, and train nothing
    offline: bool = session(False)  # never fetch anything
    verbose: bool = session(False)  # let TensorFlow speak

    def __post_init__(self):
        _require(self.resolution in RESOLUTIONS, self, "resolution", f"one of {', '.join(map(str, RESOLUTIONS))}")
        for name in ("ngf", "ndf", "latent_size", "batch_size", "eval_every", "keep", "keep_best"):
            _require(getattr(self, name) >= 1, self, name, "an integer of at least 1")
        for name in ("ngf", "ndf"):
            _require(getattr(self, name) % 8 == 0, self, name, "a multiple of 8")
        for name in ("lr", "ema_kimg", "total_kimg", "checkpoint_minutes", "memory_gb"):
            _require(0 < getattr(self, name) < math.inf, self, name, "a positive number")
        for name in ("limit", "patience", "epoch_images", "max_minutes", "steps_per_call"):
            _require(getattr(self, name) is None or getattr(self, name) > 0, self, name, "a positive number")
        for name in ("beta1", "beta2"):
            _require(0 <= getattr(self, name) < 1, self, name, "a number from 0 to below 1")
        _require(0 <= self.augment_probability <= 1, self, "augment_probability", "a number from 0 to 1")
        _require(self.decoders >= 3, self, "decoders", "3 or more")
        unknown = set(self.policies) - set(POLICIES)
        _require(not unknown and self.policies, self, "augment_policy", f"a list of {', '.join(POLICIES)}")
        _require(
            self.run is None or re.fullmatch(r"(?!\.+$)[\w.-]+", self.run), self, "run", "letters, digits, . _ and -"
        )
        _check_micro_batch(self)

    @property
    def policies(self) -> tuple[str, ...]:
        """Names of the augmentations, in the order in which they are applied."""
        return tuple(name.strip() for name in self.augment_policy.split(",") if name.strip())

    @property
    def total_images(self) -> int:
        """Length of the run in images, whole batches."""
        return round_up(int(self.total_kimg * 1000), self.batch_size)

    def epoch_length(self, image_count: int) -> int:
        """Images in an epoch: one pass over the data, or the least length if the set is smaller; whole batches."""
        least = self.epoch_images or min(10_000, self.total_images // 10)
        return round_up(max(image_count, least, 1), self.batch_size)

    def average_kimg(self, batch_size: int) -> float:
        """Half-life of the averaged generator at this batch, thousands of images."""
        if self.ema_kimg is not None:
            return self.ema_kimg
        return math.log(0.5) / math.log(OFFICIAL_DECAY) * batch_size / 1000

    @property
    def run_name(self) -> str:
        """`--run`, or `<dataset>` with `-<model>` and `-<resolution>` where they are not the default."""
        if self.run:
            return self.run
        path = Path(self.dataset.removeprefix("tfds:")).expanduser()
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
        return Path(self.checkpoints).expanduser() / self.run_name


def round_up(value: int, multiple: int) -> int:
    """Returns the smallest multiple of `multiple` that is at least `value`, and at least `multiple`."""
    return max(1, -(-value // multiple)) * multiple


def field_names(group: str) -> list[str]:
    """Names of the fields of one group: identity, run or session."""
    return [field.name for field in dataclasses.fields(TrainConfig) if field.metadata["group"] == group]


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def changed(before: TrainConfig, after: TrainConfig, group: str) -> dict[str, tuple]:
    """Fields of `group` that differ: {name: (value before, value after)}."""
    pairs = {name: (getattr(before, name), getattr(after, name)) for name in field_names(group)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def stored_settings(config: TrainConfig) -> dict:
    """The identity and run fields, ready for JSON."""
    return {name: getattr(config, name) for name in field_names("identity") + field_names("run")}


def from_settings(settings: dict, where: str) -> TrainConfig:
    """Reads `stored_settings` back.

    Raises:
        UsageError: a setting that this version does not know, named with the nearest known one.
    """
    known = field_names("identity") + field_names("run")
    for name in settings:
        if name not in known:
            near = difflib.get_close_matches(name, known, 1)
            hint = f" (did you mean {near[0]}?)" if near else ""
            raise UsageError(f"{where} has the unknown setting {name!r}{hint}; it was written by another version")
    return TrainConfig(**settings)


def _require(holds, config, name, remedy):
    if not holds:
        raise UsageError(f"{flag(name)} is {getattr(config, name)!r}; give {remedy}")


def _check_micro_batch(config):
    size = config.micro_batch
    fits = size in (None, "auto") or (1 <= size <= config.batch_size and config.batch_size % size == 0)
    _require(fits, config, "micro_batch", f"auto or a divisor of --batch-size ({config.batch_size})")
    whole = size in (None, config.batch_size)
    _require(
        whole or config.loss != "dual_contrastive",
        config,
        "micro_batch",
        "none with --loss dual_contrastive: it compares all images of the batch",
    )


PRESETS = {
    "fastgan-256": TrainConfig(),
    "demo": TrainConfig(
        dataset="demo",
        resolution=64,
        ngf=32,
        ndf=32,
        augment="none",  # in five minutes it cannot learn 600 drawings by heart, and plain colours come sooner
        lr=4e-4,
        total_kimg=9.0,
        max_minutes=5.0,
        epoch_images=1000,
        eval_every=2,
        metric="swd2k",
        run="demo",
    ),
}
