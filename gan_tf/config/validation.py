"""What the settings of a run may be. Each refusal is one line with the flag, its value and the remedy."""

import math
import re
import reprlib
import types
import typing

from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE

RESOLUTIONS = {
    "fastgan": (64, 128, 256, 512, 1024),
    "pggan": (16, 32, 64, 128, 256, 512, 1024),
    "stylegan2": (16, 32, 64, 128, 256, 512, 1024),
}
LOSSES = {
    "fastgan": ("hinge", "dual_contrastive", "logistic", "lsgan", "bce"),
    "pggan": ("wgan_gp", "lsgan", "bce", "hinge", "logistic"),
    "stylegan2": ("logistic",),
}
OFFSET = ("wgan_gp", "dual_contrastive")  # losses that compare logits with each other alone
FAMILIES = tuple(RESOLUTIONS)
SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # that a family which grows goes through
POLICIES = ("color", "translation", "cutout")
# What FastGAN trains with, and the best one in the paper of ADA, at all sizes of sets.
DEFAULT_POLICY = {"diffaugment": "color,translation", "ada": "bgc"}
ADA_POLICIES = ("blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
COUNTS = ("ngf", "ndf", "fmap_base", "fmap_max", "latent_size", "eval_every", "keep", "keep_best")
COUNTS += ("w_size", "mapping_layers", "channel_max", "mbstd_group")
AUTOMATIC = ("batch_size", "lr", "r1_gamma")  # fields in which None leaves the number to StyleGAN2
POSITIVE = ("stabilise_kimg", "total_kimg", "checkpoint_minutes", "memory_gb", "wait_seconds")
POSITIVE_OR_NONE = ("ema_kimg", "limit", "patience", "epoch_images", "max_minutes", "steps_per_call")
POSITIVE_OR_NONE += ("lr", "ema_ramp", "ada_kimg", "conv_clamp")
ENTRIES = {"phase_batch": "4:128", "phase_lr": "1024:0.0015"}  # what one looks like
MOST_INTEGER, MOST_NUMBER, MOST_TEXT = 2**63 - 1, 10**15, 4096  # of a stored setting: size, size, characters
WORDS = {
    int: "an integer of 64 bits",
    float: f"a number of at most {MOST_NUMBER:.0e}",
    str: f"text of at most {MOST_TEXT} characters, none of them a control character",
    bool: "true or false",
    list: "a list",
    type(None): "null",
}


def flag(name: str) -> str:
    """The command-line flag of a field."""
    return "--" + name.replace("_", "-")


def require(holds, config, name, remedy):
    """Raises UsageError with the value of a field and what to give in its place, unless `holds`."""
    if not holds:
        raise UsageError(f"{flag(name)} is {getattr(config, name)!r}; give {remedy}")


def require_type(value, annotation, name, where):
    """Raises UsageError unless a value read from JSON is what an annotation of TrainConfig says.

    Args:
        annotation: str, int, float (an integer will do), bool, a Literal, or a union of them.
        name: of the value in the file.
        where: the file, for the message.
    """
    if not _is_of(value, annotation):
        shown = reprlib.repr(value)
        raise UsageError(f"{where}: {name} is {shown}, which must be {_words_of(annotation)}; restore the file")


def _is_of(value, annotation):
    if isinstance(annotation, types.UnionType) or typing.get_origin(annotation) is typing.Union:
        return any(_is_of(value, part) for part in typing.get_args(annotation))
    if typing.get_origin(annotation) is typing.Literal:
        return any(type(value) is type(choice) and value == choice for choice in typing.get_args(annotation))
    if annotation is float:  # NaN is not smaller than anything
        return type(value) in (int, float) and abs(value) <= MOST_NUMBER
    if annotation is int:
        return type(value) is int and abs(value) <= MOST_INTEGER
    if annotation is str:
        return type(value) is str and len(value) <= MOST_TEXT and not UNPRINTABLE.search(value)
    return type(value) is annotation


def _words_of(annotation):
    parts = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return " or ".join(f'"{choice}"' for choice in parts)
    return " or ".join(map(_words_of, parts)) if parts else WORDS[annotation]


def check(config):
    """Raises UsageError if a setting of a TrainConfig, or two of them together, cannot be."""
    _check_family(config)
    _check_numbers(config)
    if config.model == "stylegan2":
        wide_enough = (
            f"an integer of at least {config.resolution}, so that --resolution {config.resolution} has a channel"
        )
        wide = config.channel_base is None or config.channel_base >= config.resolution
        require(wide, config, "channel_base", wide_enough)
    policies_of(config.augment, config.augment_policy)
    named = config.run is None or re.fullmatch(r"(?!\.+$)[\w.-]+", config.run)
    require(named, config, "run", "letters, digits, . _ and -")
    if config.grows:
        _check_growth(config)
        _check_micro_batch_of_phases(config)
    else:
        _check_micro_batch(config)


def policies_of(augment: str, policy: str | None) -> tuple[str, ...]:
    """Names of the augmentations that `--augment` and `--augment-policy` ask for, in order; of ada, one name.

    Args:
        augment: diffaugment, ada or none.
        policy: None for the usual one.

    Raises:
        UsageError: a policy that the augmentation does not have.
    """
    if augment == "none":
        if policy is not None:
            raise UsageError(f"--augment-policy is {policy!r}; leave it out with --augment none")
        return ()
    given = DEFAULT_POLICY[augment] if policy is None else policy
    names = tuple(name.strip() for name in given.split(",") if name.strip())
    known, many = (ADA_POLICIES, False) if augment == "ada" else (POLICIES, True)
    if not names or set(names) - set(known) or (len(names) > 1 and not many):
        remedy = f"{'a list' if many else 'one'} of {', '.join(known)} with --augment {augment}"
        raise UsageError(f"--augment-policy is {policy!r}; give {remedy}")
    return names


def phase_table(config, name, number, remedy) -> dict:
    """A field such as "4:128,8:64" as {4: 128, 8: 64}; of `phase_batch`, a lone number N as {None: N}.

    Args:
        config: TrainConfig.
        name: of the field.
        number: int or float.
        remedy: what a value must be, for the message.

    Raises:
        UsageError: an entry that is none.
    """
    text, table = getattr(config, name), {}
    if name == "phase_batch" and not set(text) & set(",:"):
        table[None] = _positive(text, number)
        require(table[None], config, name, f"{remedy}, or a table such as 4:128,8:64")
        return table
    for entry in filter(None, (entry.strip() for entry in text.split(","))):
        first, colon, second = (part.strip() for part in entry.partition(":"))
        require(colon, config, name, f"entries such as {ENTRIES[name]}, not {entry!r}")
        size = _positive(first, int)
        require(size in SIZES, config, name, f"powers of two from 4 to 1024 as resolutions, not {first!r}")
        require(size not in table, config, name, f"each resolution once: {size} stands twice")
        table[size] = _positive(second, number)
        require(table[size], config, name, f"{remedy} at {size}, not {second!r}")
    return table


def _positive(text, kind):
    """The positive finite number in `text`, or None."""
    try:
        value = kind(text)
    except ValueError:
        return None
    return value if 0 < value < math.inf else None


def _check_family(config):
    sizes, losses = RESOLUTIONS[config.model], LOSSES[config.model]
    family = f"with --model {config.model}"
    require(config.resolution in sizes, config, "resolution", f"one of {', '.join(map(str, sizes))} {family}")
    require(config.loss in losses, config, "loss", f"one of {', '.join(losses)} {family}")
    offset_free = config.augment != "ada" or config.loss not in OFFSET
    require(
        offset_free, config, "augment", f"diffaugment with --loss {config.loss}, whose logits have no zero to judge by"
    )


def _check_numbers(config):
    for name in AUTOMATIC:
        known = getattr(config, name) is not None or config.model == "stylegan2"
        require(known, config, name, "a number; None is for --model stylegan2")
    for name in (*COUNTS, "batch_size", "channel_base"):
        value = getattr(config, name)
        require(value is None or value >= 1, config, name, "an integer of at least 1")
    for name in ("ngf", "ndf"):
        require(getattr(config, name) % 8 == 0, config, name, "a multiple of 8")
    for name in POSITIVE:
        require(0 < getattr(config, name) < math.inf, config, name, "a positive number")
    for name in POSITIVE_OR_NONE:
        value = getattr(config, name)
        require(value is None or 0 < value < math.inf, config, name, "a positive number or None")
    for name in ("fade_kimg", "r1_gamma", "path_weight"):
        value = getattr(config, name)
        require(value is None or 0 <= value < math.inf, config, name, "a number of at least 0")
    require(-1 < config.ada_target < 1, config, "ada_target", "a number between -1 and 1")
    shared = config.augment != "ada" or config.augment_probability == 1
    require(shared, config, "augment_probability", "1 with --augment ada, which finds its own")
    for name in ("beta1", "beta2"):
        require(0 <= getattr(config, name) < 1, config, name, "a number from 0 to below 1")
    for name in ("augment_probability", "style_mixing", "ada_max"):
        require(0 <= getattr(config, name) <= 1, config, name, "a number from 0 to 1")
    require(config.decoders >= 3, config, "decoders", "3 or more")
    learnt = config.classes == 0 or config.conditional and config.classes >= 2
    require(learnt, config, "classes", "0, or 2 and more with --conditional")
    require(config.freeze_d >= 0, config, "freeze_d", "an integer of at least 0")
    require(config.init_from or not config.freeze_d, config, "freeze_d", "--init-from RUN with it, or leave it out")


def _check_growth(config):
    """Raises UsageError if the networks cannot grow, or a penalty is asked for that the loss has not."""
    least = config.resolution // 2
    wide_enough = f"an integer of at least {least}, so that --resolution {config.resolution} has a channel"
    require(config.fmap_base >= least, config, "fmap_base", wide_enough)
    batches = config.phase_batches
    missing = [str(size) for size, batch in batches.items() if batch is None]
    example = ",".join(f"{size}:{batch or 16}" for size, batch in batches.items())
    require(not missing, config, "phase_batch", f"a batch at {', '.join(missing)} too, such as {example}")
    _ = config.phase_lrs  # raises if it cannot be read
    given = config.r1_gamma != type(config).r1_gamma
    require(config.loss == "logistic" or not given, config, "r1_gamma", "--loss logistic with it, or leave it out")


def _check_micro_batch_of_phases(config):
    """Raises UsageError unless each phase's batch is a multiple of the micro-batch, or not larger than it."""
    size = config.micro_batch
    if size in (None, "auto"):
        return
    require(size >= 1, config, "micro_batch", "auto or an integer of at least 1")
    for resolution, batch in config.phase_batches.items():
        remedy = f"auto or a divisor of {batch}, the batch at {resolution}, or change --phase-batch"
        require(batch <= size or batch % size == 0, config, "micro_batch", remedy)


def _check_micro_batch(config):
    size, batch = config.micro_batch, config.batch
    fits = size in (None, "auto") or (1 <= size <= batch and batch % size == 0)
    require(fits, config, "micro_batch", f"auto or a divisor of --batch-size ({batch})")
    whole = size in (None, batch)
    remedy = "none with --loss dual_contrastive: it compares all images of the batch"
    require(whole or config.loss != "dual_contrastive", config, "micro_batch", remedy)
