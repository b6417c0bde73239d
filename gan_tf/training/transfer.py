"""Transfer learning: loads the networks of another run (`--init-from`), freezes discriminator layers (`--freeze-d`)."""

from gan_tf.config.settings import DISCRIMINATOR_FIELDS, architecture_fields, as_argument, flag, with_one_size
from gan_tf.errors import UsageError
from gan_tf.models.pggan import growth_of, level_of, resolution_of
from gan_tf.models.stylegan2 import published_channel_base
from gan_tf.models.variables import load_weights, named_variables
from gan_tf.pretrained.published_networks import folder_of
from gan_tf.runs.folder import Run
from gan_tf.runs.weights import newest_networks


def begin_with_run(state, config, log):
    """Loads the networks of the run `config.init_from` into a new state; optimisers and counters are not loaded.

    The networks are those of its newest complete checkpoint: generator, discriminator and EMA generator. From a run
    without checkpoints the best weights are loaded into both generators, and the discriminator is not changed.

    Args:
        log: function that prints a line.

    Raises:
        UsageError: no such run, networks of another architecture or not fully grown, or no discriminator although
            `--freeze-d` is given.
    """
    try:
        run = Run(folder_of(config.init_from))
        before, data = run.read_settings()
        has_discriminator = bool(run.checkpoints())
        check_architecture(before, config, has_discriminator)
        if has_discriminator:
            networks, seen, source = newest_networks(run, ("g", "d", "g_ema"), log)
        else:
            best, meta = run.best_weights()
            networks, seen, source = {"g": best, "g_ema": best}, meta["images_seen"], run.best
        check_fully_grown(networks, config, data, source)
    except UsageError as error:
        raise UsageError(f"--init-from {config.init_from}: {error}") from error
    if config.freeze_d and not has_discriminator:
        raise UsageError(
            f"--freeze-d is {config.freeze_d}, but {run.folder} has no discriminator, only a generator; leave it out"
        )
    for player, weights in networks.items():
        load_weights(getattr(state, player), weights, source)
    loaded = "generator, discriminator and EMA" if has_discriminator else "the best generator, no discriminator"
    log(f"begins with {run.folder}: {loaded}, of {seen / 1000:.1f} kimg")


def check_architecture(before, config, has_discriminator):
    """Raises UsageError if the settings of two runs, `before` and `config`, describe different networks."""
    names = ["model"] if before.model != config.model else architecture_fields(config.model)
    if not has_discriminator:
        names = [name for name in names if name not in DISCRIMINATOR_FIELDS]
    pairs = {name: (getattr(before, name), getattr(config, name)) for name in names}
    if "channel_base" in pairs:  # None: a width that depends on the resolution
        pairs["channel_base"] = [
            each.channel_base or published_channel_base(each.resolution) for each in (before, config)
        ]
    differing = with_one_size({name: pair for name, pair in pairs.items() if pair[0] != pair[1]}, before, config)
    if classes := differing.pop("classes", None):  # not a flag: it follows from --conditional and the images
        old, new = classes
        if old and new:
            raise UsageError(f"its networks have {old} classes, and --dataset has {new}; give images of {old} classes")
        differing["conditional"] = (bool(old), bool(new))
    if differing:
        changes = ", ".join(f"{flag(name)} is {new!r} and is {old!r} there" for name, (old, new) in differing.items())
        remedies = " ".join(as_argument(name, old) for name, (old, _) in differing.items())
        raise UsageError(f"{changes}: give {remedies}, or a run with networks of these settings")


def check_fully_grown(networks, config, data, source):
    """Raises UsageError if a growing generator has not reached its full size, at which the new run begins."""
    levels = level_of(config.resolution)
    growth = min(growth_of(networks[player], levels, source) for player in ("g", "g_ema"))
    if growth < levels:
        size, remedy = config.size_text_at(resolution_of(int(growth))), "continue its training first"
        if origin := data.get("converted_from"):
            remedy = f"it was converted from {origin}: convert a later file, with fully grown networks"
        raise UsageError(
            f"its networks have grown to {size} of {config.size_text}, and a run begins with fully grown ones; {remedy}"
        )


def freeze_discriminator(recipe, d, config):
    """Makes the first `config.freeze_d` groups of D's layers untrainable, before the optimisers are created.

    Their weights get no gradient, no optimiser slot and no update. Running statistics of batch norm, and the vectors of
    spectral norm, are still updated.

    Source: Mo et al. 2020 (Freeze the Discriminator: a Simple Baseline for Fine-Tuning GANs).

    Raises:
        UsageError: D has fewer groups.
    """
    if not config.freeze_d:
        return
    groups = recipe.discriminator_layers(d)
    if config.freeze_d > len(groups):
        raise UsageError(
            f"--freeze-d is {config.freeze_d}; the discriminator of --model {config.model} at "
            f"{config.size_flag} has {len(groups)} layers that can be frozen: give at most that"
        )
    for layer in (layer for group in groups[: config.freeze_d] for layer in group):
        for variable in named_variables(layer).values():
            variable.trainable = False
