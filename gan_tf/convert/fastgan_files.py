"""Checkpoints of FastGAN-pytorch, the official program, and what stands where in them.

    N.pth      {"g", "d"}: state dicts; "g" is the averaged generator
    all_N.pth  {"g", "d", "g_ema", "opt_g", "opt_d"}: "g" is the generator that is trained; "g_ema" a list of its
               averaged parameters, in the order of the state dict, without buffers; then both optimisers

The official program makes images with the averaged parameters and the buffers (running statistics, spectral vectors) of
the generator that is trained; so does what is read here. A state dict of the generator alone is taken for the averaged
one. Names may begin with "module.", which PyTorch's DataParallel puts there.
"""

import collections

from gan_tf.convert.fastgan import BUFFERS, IGNORED, NOT_OFFICIAL, discriminator_arguments, generator_arguments
from gan_tf.convert.found import Found
from gan_tf.errors import UsageError
from gan_tf.pretrained.pickles import read_torch_checkpoint

WRAPPED = "module."
GENERATOR, DISCRIMINATOR, AVERAGED = "g", "d", "g_ema"
ONE_OF_G, ONE_OF_D = "init.init.0.weight_orig", "rf_big.3.weight_orig"  # that tell a lone state dict


def read(path) -> Found:
    """The networks of a checkpoint.

    Raises:
        UsageError: it cannot be read, or is of another program.
    """
    groups, left_out = _groups(path)
    if GENERATOR not in groups and AVERAGED not in groups:
        has = ", ".join(sorted(groups)) or "nothing"
        raise UsageError(f"{NOT_OFFICIAL}: it has no generator g, but {has}")
    g, averaged = groups.get(GENERATOR), groups.get(AVERAGED)
    states = {"g_ema": _with_averages(g, averaged) if averaged else g}
    if GENERATOR in groups:
        states["g"] = g
    if DISCRIMINATOR in groups:
        states["d"] = groups[DISCRIMINATOR]
    return Found("fastgan", "FastGAN-pytorch", _settings(states), states, left_out)


def _settings(states):
    """Settings that the shapes tell; raises UsageError if two networks do not belong together."""
    settings = generator_arguments(states["g_ema"])
    if "d" in states:
        own = discriminator_arguments(states["d"])
        if own["resolution"] != settings["resolution"]:
            raise UsageError(
                f"{NOT_OFFICIAL}: its generator has {settings['resolution']} pixels, its discriminator "
                f"{own['resolution']}"
            )
        settings |= own
    return settings


def _groups(path):
    """({"g", "d", "g_ema": {name: array}}, what else the file holds); of a list the names are its places."""
    counts = collections.Counter()

    def is_wanted(keys):
        if len(keys) <= 2 and (len(keys) == 1 or keys[0] in (GENERATOR, DISCRIMINATOR, AVERAGED)):
            return True
        counts[str(keys[0])[:80]] += 1
        return False

    arrays = read_torch_checkpoint(path, is_wanted)
    groups = collections.defaultdict(dict)
    for keys, array in arrays.items():
        group, name = keys if len(keys) == 2 else (None, keys[0])
        groups[group][name] = array
    lone = groups.pop(None, {})
    if lone and not groups:
        groups = _lone(_unwrapped(lone, "it"))
        lone = {}
    for group, arrays in groups.items():
        _require_names(group, arrays)
    found = {group: _unwrapped(arrays, group) for group, arrays in groups.items()}
    left_out = [f"{name}: {count} tensors" for name, count in counts.items()]
    left_out += [f"{name}: a tensor" for name in list(lone)[:20]]
    for group, arrays in found.items():
        if counters := sum(str(name).endswith(IGNORED) for name in arrays):
            left_out.append(f"{group}: {counters} counters {IGNORED}, which have no effect")
    return found, left_out


def _require_names(group, arrays):
    """Raises UsageError unless the keys of a group are names, or those of the averaged parameters all places."""
    kinds = {type(name) for name in arrays}
    if kinds - {str} and (group != AVERAGED or len(kinds) > 1):
        [number, *_] = [name for name in arrays if type(name) is not str]
        raise UsageError(f"{NOT_OFFICIAL}: {group} has a tensor with the number {number} in the place of a name")


def _lone(arrays):
    """A state dict that is the whole of a file."""
    if ONE_OF_G in arrays:
        return {GENERATOR: arrays}
    if ONE_OF_D in arrays:
        return {DISCRIMINATOR: arrays}
    return {"tensors such as " + str(next(iter(arrays)))[:80]: arrays}


def _unwrapped(arrays, group):
    """Names without the prefix "module."."""
    wrapped = [type(name) is str and name.startswith(WRAPPED) for name in arrays]
    if all(wrapped):
        return {name.removeprefix(WRAPPED): array for name, array in arrays.items()}
    if any(wrapped):
        raise UsageError(f"{NOT_OFFICIAL}: some names in {group} begin with {WRAPPED}, others do not")
    return arrays


def _with_averages(g, averaged):
    """The averaged generator's state dict: averaged parameters, and the buffers of the generator that is trained."""
    if all(isinstance(name, str) for name in averaged):
        return averaged  # some variants store a whole state dict
    if g is None:
        raise UsageError(f"{NOT_OFFICIAL}: g_ema has parameters without names, and g is missing, which has the names")
    names = [name for name in g if not str(name).endswith(BUFFERS)]
    values = [averaged[place] for place in sorted(averaged)]
    if len(names) != len(values):
        raise UsageError(f"{NOT_OFFICIAL}: g_ema has {len(values)} parameters, g has {len(names)}")
    for name, value in zip(names, values, strict=True):
        if g[name].shape != value.shape:
            raise UsageError(
                f"{NOT_OFFICIAL}: g_ema has the shape {value.shape} in the place of {name}, g has {g[name].shape}"
            )
    return g | dict(zip(names, values, strict=True))
