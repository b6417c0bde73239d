"""Validates `TrainConfig`: an invalid setting raises an error that names the flag, its value and the fix."""

import difflib
import inspect
import math
import re
import reprlib
import types
import typing

from gan_tf.errors import UsageError
from gan_tf.io.files import UNPRINTABLE

SIZES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)  # resolutions of a family that grows
RESOLUTIONS = {"fastgan": SIZES[4:], "pggan": SIZES[2:], "stylegan2": SIZES[2:]}
LOSSES = {
    "fastgan": ("hinge", "dual_contrastive", "logistic", "lsgan", "bce"),
    "pggan": ("wgan_gp", "lsgan", "bce", "hinge", "logistic"),
    "stylegan2": ("logistic",),
}
RELATIVE_LOSSES = ("wgan_gp", "dual_contrastive")  # they compare logits of reals and fakes: a sign means nothing
FAMILIES = tuple(RESOLUTIONS)
AUTO = "auto"  # of --size and --channels: as the dataset is
SQUARE_BASE = (4, 4)  # height and width of the smallest map of square images
BASES = [(height, width) for height in range(2, 9) for width in range(2, 9) if height * width > 4]  # of other shapes
CHANNELS = {"grey": 1, "rgb": 3, "rgba": 4}

POLICIES = ("color", "translation", "cutout")  # of DiffAugment
ADA_POLICIES = ("blit", "geom", "color", "filter", "noise", "cutout", "bg", "bgc", "bgcf", "bgcfn", "bgcfnc")
# The published policy of FastGAN, and the best policy of the ADA paper, for datasets of every size.
DEFAULT_POLICY = {"diffaugment": "color,translation", "ada": "bgc"}

COUNTS = "ngf ndf decoders fmap_base fmap_max latent_size w_size mapping_layers channel_base channel_max mbstd_group"
COUNTS += " batch_size eval_every keep keep_best"
POSITIVE = "total_kimg stabilise_kimg ema_kimg ema_ramp ada_kimg lr conv_clamp limit patience epoch_images max_minutes"
POSITIVE += " checkpoint_minutes steps_per_call memory_gb wait_seconds"
RANGES = (  # settings, condition on a value that is not None, fix
    (COUNTS, lambda value: value >= 1, "an integer of at least 1"),
    (POSITIVE, lambda value: 0 < value < math.inf, "a positive number"),
    ("bits", lambda value: 8 <= value <= 16, "an integer from 8 to 16"),
    ("ngf ndf", lambda value: value % 8 == 0, "a multiple of 8"),
    ("decoders", lambda value: value >= 3, "3 or more"),
    ("freeze_d", lambda value: value >= 0, "an integer of at least 0"),
    ("fade_kimg r1_gamma path_weight energy_weight", lambda value: 0 <= value < math.inf, "a number of at least 0"),
    ("ada_target", lambda value: -1 < value < 1, "a number between -1 and 1"),
    ("beta1 beta2", lambda value: 0 <= value < 1, "a number from 0 to below 1"),
    ("cutout", lambda value: 0 < value <= 1, "a number above 0, at most 1"),
    ("feature_resolution", lambda value: value >= 128 and value % 32 == 0, "a multiple of 32, 128 or more"),
    ("augment_probability style_mixing ada_max", lambda value: 0 <= value <= 1, "a number from 0 to 1"),
)


def flag(name: str) -> str:
    """Returns the command-line flag of a field."""
    return "--" + name.replace("_", "-")


def did_you_mean(name: str, candidates) -> str:
    """Returns "; did you mean X?" for the candidate that is most similar to `name`, or an empty string."""
    similar = difflib.get_close_matches(name[:80], candidates, 1)
    return f"; did you mean {similar[0]}?" if similar else ""


def require(condition, config, name, fix):
    """Raises UsageError with a field's flag, its value and what to give instead, unless `condition` is true."""
    if not condition:
        raise UsageError(f"{flag(name)} is {getattr(config, name)!r}; give {fix}")


def require_type(value, annotation, name, where):
    """Raises UsageError, with `name` and the file `where`, unless a value that was read from JSON has a type.

    `annotation` is str, int, float (integers are accepted), bool, None, list[...], Literal[...] or a union of these.
    """
    if not _matches(value, annotation):
        expected = inspect.formatannotation(annotation)
        raise UsageError(f"{where}: {name} is {reprlib.repr(value)}, but must be {expected}; restore the file")


def _matches(value, annotation):
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin in (types.UnionType, typing.Union):
        return any(_matches(value, part) for part in arguments)
    if origin is typing.Literal:
        return isinstance(value, str) and value in arguments
    if origin is list:
        return isinstance(value, list) and all(_matches(item, arguments[0]) for item in value)
    if annotation in (int, float):
        kinds = (int, float) if annotation is float else (int,)
        return type(value) in kinds and abs(value) < 2**63  # fits TensorFlow's integers; false for NaN
    if annotation is str:
        return isinstance(value, str) and not UNPRINTABLE.search(value)
    return type(value) is annotation


def parse_size(text: str, flag: str = "--size") -> tuple[int, int]:
    """Returns (width, height) of a text such as "384x256". Raises UsageError if it is not of that form."""
    match = re.fullmatch(r"([1-9]\d{0,4})x([1-9]\d{0,4})", text)
    if not match:
        raise UsageError(f"{flag} is {text!r}; give WIDTHxHEIGHT in pixels, such as 384x256")
    return int(match[1]), int(match[2])


def size_text(shape) -> str:
    """Returns the shape (height, width, ...) of an image as text, width first: "384x256"."""
    return f"{shape[1]}x{shape[0]}"


def resolution_and_base(width, height, resolutions):
    """Returns the resolution of a size, and the (height, width) of its smallest map, which has the factor resolution/4.

    If a size has several such maps, the one whose area is nearest to 4x4 is used, and of two the larger.

    Raises:
        UsageError: a size that is not one of BASES times a quarter of one of these `resolutions`.
    """
    sizes = sizes_of_bases(resolutions)
    found = sizes.get((width, height), [])
    if not found:
        near = sorted(sizes, key=lambda size: abs(math.log(size[0] / width)) + abs(math.log(size[1] / height)))[:4]
        fix = f"one of the nearest possible sizes: {_listed(f'{w}x{h}' for w, h in near)}"
        raise UsageError(f"--size is {width}x{height}; give {fix} (2 to 8 by 2 to 8, times a power of two)")
    return min(found, key=lambda each: (abs(math.log(math.prod(each[1]) / 16)), each[0]))


def nearest_size(aspect: float, resolution: int, resolutions) -> str:
    """Returns the possible size "WxH" of the nearest shape; of several, that nearest to resolution^2 pixels."""

    def difference(size):
        width, height = size
        return round(abs(math.log(width / height / aspect)), 9), abs(math.log(width * height / resolution**2))

    width, height = min(sizes_of_bases(resolutions), key=difference)
    return f"{width}x{height}"


def sizes_of_bases(resolutions) -> dict:
    """Returns {(width, height): [(resolution, base), ...]} of all possible sizes."""
    sizes = {}
    for resolution in resolutions:
        for base in BASES:
            size = resolution * base[1] // 4, resolution * base[0] // 4
            sizes.setdefault(size, []).append((resolution, base))
    return sizes


def check(config):
    """Raises UsageError if a setting of a TrainConfig is out of range, or two of them do not fit together."""
    for name in ("batch_size", "lr", "r1_gamma"):
        allowed = getattr(config, name) is not None or config.model == "stylegan2"
        require(allowed, config, name, "a number; None is for --model stylegan2")
    for names, condition, fix in RANGES:
        for name in names.split():
            value = getattr(config, name)
            require(value is None or condition(value), config, name, fix)
    _check_choices(config)
    narrowest = {"pggan": ("fmap_base", config.resolution // 2), "stylegan2": ("channel_base", config.resolution)}
    if config.model in narrowest:
        name, least = narrowest[config.model]
        valid = getattr(config, name) is None or getattr(config, name) >= least
        require(valid, config, name, f"{least} or more, for one channel at full resolution")
    if config.grows:
        batches = config.batch_sizes
        missing = [size for size, batch in batches.items() if batch is None]
        example = ",".join(f"{size}:{batch or 16}" for size, batch in batches.items())
        require(not missing, config, "phase_batch", f"a batch at {_listed(missing)} too, such as {example}")
        _ = config.learning_rates  # raises UsageError if --phase-lr is invalid
        valid = config.loss == "logistic" or config.r1_gamma == type(config).r1_gamma
        require(valid, config, "r1_gamma", "--loss logistic with it, or leave it out")
    _check_micro_batch(config)
    if config.channels == "rgba":
        fix = "none with --channels rgba: transparent areas stay transparent"
        require(config.background == type(config).background, config, "background", fix)
        require(not config.is_projected, config, "discriminator", "own with --channels rgba: its features are of RGB")
        require(config.reconstruction != "lpips", config, "reconstruction", "l1 with --channels rgba: LPIPS takes RGB")
    if config.is_projected:
        _check_projected(config)
    else:
        valid = config.up_blocks == "alternating"
        require(valid, config, "up_blocks", "--discriminator projected with it, or leave it out")


def _check_projected(config):
    """Requires that settings of the own discriminator, which have no effect, are not given."""
    require(not config.freeze_d, config, "freeze_d", "0: the feature network is always frozen, and the heads are new")
    for name in ("ndf", "decoders", "architecture", "mbstd_group", "energy_weight"):
        valid = getattr(config, name) == getattr(type(config), name)
        require(valid, config, name, "none: --discriminator projected does not have it")
    valid = config.reconstruction in ("l1", "none")
    require(valid, config, "reconstruction", "none: --discriminator projected does not reconstruct images")
    if config.model == "stylegan2":
        for name in ("r1_gamma", "path_weight"):
            require(getattr(config, name) == 0, config, name, "0: --discriminator projected has no regularisation")


def _check_choices(config):
    resolutions, losses, with_model = RESOLUTIONS[config.model], LOSSES[config.model], f"with --model {config.model}"
    require(config.resolution in resolutions, config, "resolution", f"one of {_listed(resolutions)} {with_model}")
    losses = ("hinge",) if config.is_projected else losses
    require(config.loss in losses, config, "loss", f"one of {_listed(losses)} {with_model}")
    policies_of(config.augment, config.augment_policy)
    if config.augment == "ada":
        fix = f"diffaugment with --loss {config.loss}: its logits have no absolute sign, which ADA measures"
        require(config.loss not in RELATIVE_LOSSES, config, "augment", fix)
        fix = "1 with --augment ada, which adapts its own probability"
        require(config.augment_probability == 1, config, "augment_probability", fix)
    valid = config.classes == 0 or config.conditional and config.classes >= 2
    require(valid, config, "classes", "0, or 2 and more with --conditional")
    require(config.init_from or not config.freeze_d, config, "freeze_d", "--init-from RUN with it, or leave it out")
    valid = config.run is None or re.fullmatch(r"(?!\.+$)[\w.-]+", config.run)
    require(valid, config, "run", "letters, digits, . _ and -")


def _check_micro_batch(config):
    """Requires that the micro-batch divides each batch. Batches of a family that grows may also be smaller than it."""
    size = config.micro_batch
    valid = size in (None, config.batch) or config.loss != "dual_contrastive"
    fix = "none with --loss dual_contrastive: it compares all images of the batch"
    require(valid, config, "micro_batch", fix)
    if size in (None, "auto"):
        return
    require(size >= 1, config, "micro_batch", "auto or an integer of at least 1")
    for resolution, batch in config.batch_sizes.items():
        fix = f"auto or a divisor of {batch}, the batch at {resolution} pixels"
        require(batch % size == 0 or config.grows and batch < size, config, "micro_batch", fix)


def _listed(values):
    return ", ".join(map(str, values))


def policies_of(augment: str, policy: str | None) -> tuple[str, ...]:
    """Returns the names of the augmentations of `--augment` and `--augment-policy`, in order; one name for ada.

    Raises:
        UsageError: the augmentation does not have that policy.
    """
    if augment == "none":
        if policy is not None:
            raise UsageError(f"--augment-policy is {policy!r}; leave it out with --augment none")
        return ()
    policy = DEFAULT_POLICY[augment] if policy is None else policy
    names = tuple(name.strip() for name in policy.split(",") if name.strip())
    known, several = (ADA_POLICIES, False) if augment == "ada" else (POLICIES, True)
    if not names or set(names) - set(known) or (len(names) > 1 and not several):
        fix = f"{'a list' if several else 'one'} of {_listed(known)} with --augment {augment}"
        raise UsageError(f"--augment-policy is {policy!r}; give {fix}")
    return names


def table_by_size(config, name, number) -> dict:
    """Returns a field such as "4:128,8:64" as {4: 128, 8: 64}; for `phase_batch`, a single number N as {None: N}.

    `number` is the type of the values, int or float. Raises UsageError if the text is not such a table.
    """
    table = {}
    entries = [entry.strip() for entry in getattr(config, name).split(",") if entry.strip()]
    resolutions = (*SIZES, None) if name == "phase_batch" and len(entries) == 1 else SIZES
    for entry in entries:
        resolution, colon, value = entry.rpartition(":")
        try:
            resolution, value = int(resolution) if colon else None, number(value)
        except ValueError:
            resolution = 0
        valid = resolution in resolutions and resolution not in table and 0 < value < math.inf
        example = "one number or a table such as 4:128,8:64" if name == "phase_batch" else "a table such as 1024:0.0015"
        fix = f"{example}, with powers of two from 4 to 1024, each once, and positive numbers; {entry!r} is not valid"
        require(valid, config, name, fix)
        table[resolution] = value
    return table
