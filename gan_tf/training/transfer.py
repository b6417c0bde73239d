"""How a run begins with the networks of another (`--init-from`), and what of them stays as it was (`--freeze-d`)."""

from gan_tf.config.settings import DISCRIMINATOR_FIELDS, architecture_fields, as_argument, flag
from gan_tf.errors import UsageError
from gan_tf.models.pggan import growth_of, level_of, resolution_of
from gan_tf.models.stylegan2 import published_channel_base
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.pretrained.published_networks import folder_of
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import newest_networks

PLAYERS = ("g", "d", "g_ema")
INSTEAD = "give another run"  # of one whose weights cannot be read


def begin_with(state, config, log):
    """Gives a fresh state the networks of the run `config.init_from`. Optimisers and counters begin anew.

    They are those of its newest whole checkpoint: both players and the averaged generator. A run without one, such as
    one whose best weights alone were handed on, gives the best generator for both generators, and no discriminator.

    Raises:
        UsageError: no such run, networks of another architecture, ones that are not full-grown, or no discriminator
            where layers of it shall be frozen.
    """
    try:
        run = Run(folder_of(config.init_from))
        before, data = run.read_settings()
        with_discriminator = bool(run.checkpoints())
        refuse_other_networks(before, config, with_discriminator)
        if with_discriminator:
            networks, seen, where = newest_networks(run, PLAYERS, log, INSTEAD)
        else:
            best, meta = run.best_weights(INSTEAD)
            networks, seen, where = {"g": best, "g_ema": best}, meta["images_seen"], run.best
        refuse_half_grown(networks, config, data, where)
    except UsageError as error:
        raise UsageError(f"--init-from {config.init_from}: {error}") from error
    if config.freeze_d and not with_discriminator:
        raise UsageError(
            f"--freeze-d is {config.freeze_d}, but {run.folder} has no discriminator, only a generator; leave it out"
        )
    for player, weights in networks.items():
        load_weights(getattr(state, player), weights, where)
    players = (
        "both players and the averaged generator" if with_discriminator else "the best generator, no discriminator"
    )
    log(f"begins with {run.folder}: {players}, of {seen / 1000:.1f} kimg")


def refuse_other_networks(before, config, with_discriminator):
    """Raises UsageError if the settings of two runs ask for other networks."""
    names = ["model"] if before.model != config.model else architecture_fields(config.model)
    if not with_discriminator:
        names = [name for name in names if name not in DISCRIMINATOR_FIELDS]
    pairs = {name: (_meant(before, name), _meant(config, name)) for name in names}
    differing = {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
    if classes := differing.pop("classes", None):  # which is no flag: it follows from --conditional and the images
        old, new = classes
        if old and new:
            raise UsageError(f"its networks know {old} classes, and --dataset has {new}; give images of {old} classes")
        differing["conditional"] = (bool(old), bool(new))
    if differing:
        changes = ", ".join(f"{flag(name)} is {new!r} and is {old!r} there" for name, (old, new) in differing.items())
        remedies = " ".join(as_argument(name, old) for name, (old, _) in differing.items())
        raise UsageError(f"{changes}: give {remedies}, or a run with networks of these settings")


def _meant(config, name):
    """The value of a setting; of StyleGAN2's width, what None stands for."""
    value = getattr(config, name)
    return published_channel_base(config.resolution) if name == "channel_base" and value is None else value


def refuse_half_grown(networks, config, data, where):
    """Raises UsageError if a generator that grows has not come to its full size: the new run begins there."""
    levels = level_of(config.resolution)
    for player in ("g", "g_ema"):
        growth = growth_of(networks[player], levels, where)
        if growth < levels:
            size = resolution_of(int(growth))
            remedy = "train it on first"
            if origin := data.get("converted_from"):
                remedy = f"it was converted from {origin}: convert a file of a later moment, whose networks are"
            raise UsageError(
                f"its networks have grown to {size}x{size} of {config.resolution}x{config.resolution}, and a run "
                f"begins with full-grown ones; {remedy}"
            )


def freeze(recipe, d, config):
    """Makes the first `config.freeze_d` groups of D's layers untrainable, before the optimisers are made.

    Their weights get no gradient, no optimiser slot and no update. What is no weight (running statistics of batch norm,
    spectral vectors) goes on following the images.

    Source: Mo et al. 2020 (Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs).

    Raises:
        UsageError: D has fewer groups.
    """
    if not config.freeze_d:
        return
    groups = recipe.discriminator_layers(d)
    if config.freeze_d > len(groups):
        raise UsageError(
            f"--freeze-d is {config.freeze_d}; the discriminator of --model {config.model} at --resolution "
            f"{config.resolution} has {len(groups)} layers that can be frozen: give at most that"
        )
    for layer in (layer for group in groups[: config.freeze_d] for layer in group):
        for variable in named_variables(layer).values():
            variable.trainable = False
