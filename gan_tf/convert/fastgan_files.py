"""Checkpoints of FastGAN-pytorch, the official program, and what stands where in them.

    N.pth      {"g", "d"}: state dicts; "g" is the averaged generator
    all_N.pth  {"g", "d", "g_ema", "opt_g", "opt_d"}: "g" is the generator that is trained; "g_ema" a list of its
               averaged parameters, in the order of the state dict, without buffers; then both optimisers

The official program makes images with the averaged parameters and the buffers (running statistics, spectral vectors) of
the generator that is trained; so does what is read here. A state dict of the generator alone is taken for the averaged
one. Names may begin with "module.", which PyTorch's DataParallel puts there.
"""

import collections

from gan_tf.convert.fastgan import (
    BUFFERS,
    IGNORED,
    NOT_OFFICIAL,
    discriminator_arguments,
    generator_arguments,
    refuse_huge,
)
from gan_tf.convert.found import Found
from gan_tf.errors import UsageError
from gan_tf.pretrained.torch_files import read_torch_checkpoint

WRAPPED = "module."
GENERATOR, DISCRIMINATOR, AVERAGED = "g", "d", "g_ema"
MOST_LONE = 20  # tensors that are named as left out
ONE_OF_G, ONE_OF_D = "init.init.0.weight_orig", "rf_big.3.weight_orig"  # that tell a lone state dict


def read(path) -> Found:
    """The networks of a checkpoint.

    Raises:
        UsageError: it cannot be read, or is of another program.
    """
    counts = collections.Counter()

    def is_wanted(keys):
        of_networks = keys[0] in (GENERATOR, DISCRIMINATOR, AVERAGED)
        if len(keys) == 1 or len(keys) == 2 and of_networks:
            return True
        counts["/".join(str(key)[:80] for key in keys[: 1 + of_networks])] += 1
        return False

    def check(described):
        states, _ = _states(described, counts)
        refuse_huge(states, _settings(states))

    states, left_out = _states(read_torch_checkpoint(path, is_wanted, check), counts)
    return Found("fastgan", "FastGAN-pytorch", _settings(states), states, left_out)


def _states(arrays, counts):
    """({"g_ema", perhaps "g" and "d": {name: array}}, what else the file holds, in words).

    Args:
        arrays: {keys: array, or its description}.
        counts: {name: number of tensors that are none of networks}.
    """
    groups, lone = _groups(arrays)
    others = [f"{name}: {count} tensors" for name, count in counts.items()]
    others += [f"{str(name)[:80]}: a tensor" for name in list(lone)[:MOST_LONE]]
    if len(lone) > MOST_LONE:
        others.append(f"and {len(lone) - MOST_LONE} more tensors")
    if GENERATOR not in groups and AVERAGED not in groups:
        has = ", ".join([*sorted(groups), *others]) or "nothing"
        raise UsageError(f"{NOT_OFFICIAL}: it has no generator g, but {has}")
    for group, named in groups.items():
        if counters := sum(str(name).endswith(IGNORED) for name in named):
            others.append(f"{group}: {counters} counters {IGNORED}, which have no effect")
    g, averaged = groups.get(GENERATOR), groups.get(AVERAGED)
    states = {"g_ema": _with_averages(g, averaged) if averaged else g}
    if GENERATOR in groups:
        states["g"] = g
    if DISCRIMINATOR in groups:
        states["d"] = groups[DISCRIMINATOR]
    return states, others


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


def _groups(arrays):
    """({"g", "d", "g_ema": {name: array}}, {name: array} of others); of a list the names are its places."""
    groups = collections.defaultdict(dict)
    for keys, array in arrays.items():
        group, name = keys if len(keys) == 2 else (None, keys[0])
        groups[group][name] = array
    lone = groups.pop(None, {})
    if lone and not groups:
        groups = _lone(_unwrapped(lone, "it"))
        lone = {} if groups else lone
    for group, named in groups.items():
        _require_names(group, named)
    return {group: _unwrapped(named, group) for group, named in groups.items()}, lone


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
    return {}


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
