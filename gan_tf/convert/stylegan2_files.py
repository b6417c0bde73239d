"""Networks of StyleGAN2-ADA's PyTorch program, as its pickles hold them: what they were built with, and their arrays.

The program of StyleGAN3 writes StyleGAN2 networks as well: the same, but what concerns the synthesis network stands
among the generator's own arguments, and the clamp is 256 where none is given.
"""

from gan_tf.convert.found import MOST, ROLES, Found, refuse_other_arguments, shown
from gan_tf.convert.stylegan2 import arguments_of
from gan_tf.errors import UsageError
from gan_tf.models.stylegan2 import LABEL_LAYERS, channels_of, sizes_of
from gan_tf.pretrained.network_pickles import FORM_PYTORCH

ONE_OF_STYLEGAN2 = "synthesis.b4.const"
GROUPS = ("mapping_kwargs", "synthesis_kwargs", "block_kwargs", "epilogue_kwargs")  # arguments in arguments
# Arguments that ours have at one value only.
FIXED = {
    "img_channels": (3,),
    "activation": ("lrelu",),
    "lr_multiplier": (0.01,),
    "w_avg_beta": (0.995,),
    "resample_filter": ([1, 3, 3, 1],),
    "use_noise": (True,),
    "mbstd_num_channels": (1,),
}
ARCHITECTURES = {"G": ("skip",), "D": ("resnet", "orig"), "G_ema": ("skip",)}
# What the arrays tell as well, under a name of ours.
TOLD = {"img_resolution": "resolution", "z_dim": "latent_size", "w_dim": "w_size", "c_dim": "classes"}
LAYERS = {"G": "mapping_layers", "D": "label_layers", "G_ema": "mapping_layers"}  # what num_layers means
SHAPED = {"embed_features", "layer_features", "cmap_dim"}  # the shapes of arrays tell, and are looked at
# How the program computes, and what it keeps from training.
WITHOUT_EFFECT = {"num_fp16_res", "use_fp16", "fp16_channels_last", "fused_modconv_default", "freeze_layers"}
READ = {"architecture", "channel_base", "channel_max", "conv_clamp", "mbstd_group_size", "num_layers"}
KNOWN = TOLD.keys() | SHAPED | WITHOUT_EFFECT | READ
OFFICIAL = {"channel_base": 32768, "channel_max": 512, "mbstd_group_size": 4}  # where an argument is not given
LATER_CLAMP = 256  # of StyleGAN3's program, where none is given


def is_stylegan2(network) -> bool:
    """True for a generator that `found_in` reads."""
    return network.form == FORM_PYTORCH and ONE_OF_STYLEGAN2 in network.arrays


def found_in(networks, left_out) -> Found:
    """The networks {role: Network} of a pickle, with an averaged generator that `is_stylegan2`.

    Raises:
        UsageError: they were built with an argument that ours cannot have, which the line names; or their arrays are
            not those of such networks, or do not agree with the arguments or with each other.
    """
    usual_clamp = None if "synthesis_kwargs" in networks["G_ema"].arguments else LATER_CLAMP
    settings = {}
    for role, network in networks.items():
        if network.form != FORM_PYTORCH:
            raise UsageError(f"{role} is in the form of {network.form}, and G_ema in that of {FORM_PYTORCH}")
        arguments = flattened(role, network.arguments)
        refuse_other_arguments(role, arguments, FIXED | {"architecture": ARCHITECTURES[role]}, KNOWN)
        own = arguments_of(network.arrays)
        for name, value in settings_of(role, arguments, own, usual_clamp).items():
            if settings.setdefault(name, value) != value:
                raise UsageError(f"{role} has {name} {value}, another of its networks {settings[name]}")
    settings["conditional"] = settings["classes"] > 0
    states = {ROLES[role]: network.arrays for role, network in networks.items()}
    return Found("stylegan2", "StyleGAN2-ADA (PyTorch)", settings, states, left_out)


def flattened(role, arguments) -> dict:
    """{name: value} of arguments and of those in them; one that stands twice must be the same."""
    found = {}
    for name, value in arguments.items():
        parts = value.items() if name in GROUPS and isinstance(value, dict) else [(name, value)]
        for part, own in parts:
            if part in found and found[part] != own:
                raise UsageError(f"{role} was built with {part[:MOST]} {shown(found[part])} and {shown(own)}")
            found[part] = own
    return found


def settings_of(role, arguments, own, usual_clamp) -> dict:
    """{field of TrainConfig: value} of one network.

    Args:
        arguments: `flattened`.
        own: what the arrays tell.
        usual_clamp: where the arguments have none.
    """
    told = TOLD | {"num_layers": LAYERS[role]}
    for name, ours in told.items():
        if name in arguments and ours in own and arguments[name] != own[ours]:
            raise UsageError(f"{role} was built with {name} {shown(arguments[name])}, and its arrays say {own[ours]}")
    own = own | _channels(role, arguments, own)
    own["conv_clamp"] = _clamp(role, arguments.get("conv_clamp", usual_clamp))
    if role == "D":
        if own.pop("label_layers", LABEL_LAYERS) != LABEL_LAYERS:
            raise UsageError(f"D maps its classes by other than {LABEL_LAYERS} layers (num_layers)")
        if own.pop("mbstd_channels") != 1:
            raise UsageError("D was built with mbstd_num_channels other than 1, the only number that can be converted")
        if arguments.get("architecture", own["architecture"]) != own["architecture"]:
            raise UsageError(
                f"D was built with architecture {arguments['architecture']}, and its arrays are of another"
            )
        own["mbstd_group"] = arguments.get("mbstd_group_size", OFFICIAL["mbstd_group_size"])
        if type(own["mbstd_group"]) is not int or own["mbstd_group"] < 1:
            raise UsageError(f"D was built with mbstd_group_size {shown(own['mbstd_group'])}; only numbers can be read")
    return own


def _channels(role, arguments, own):
    """The widths by their official names, which must say what the arrays say; those of the arrays say the least."""
    base, most = (arguments.get(name, OFFICIAL[name]) for name in ("channel_base", "channel_max"))
    if type(base) is not int or type(most) is not int:
        raise UsageError(
            f"{role} was built with channel_base {shown(base)} and channel_max {shown(most)}; give numbers"
        )
    for size in sizes_of(own["resolution"]):
        channels = channels_of(size, own["channel_base"], own["channel_max"])
        if channels_of(size, base, most) != channels:
            raise UsageError(
                f"{role} was built with channel_base {base} and channel_max {most}, and its arrays have {channels} "
                f"channels at {size}x{size}"
            )
    return {"channel_base": base, "channel_max": most}


def _clamp(role, value):
    """The clamp as a number, or None."""
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value < float("inf"):
        raise UsageError(f"{role} was built with conv_clamp {shown(value)}; only positive numbers and None can be read")
    return float(value)
