"""Pickles of NVIDIA's programs: Progressive GAN's and StyleGAN2-ADA's are turned into networks, others told by name.

A pickle of Progressive GAN holds (G, D, Gs): the generator that is trained, the discriminator, the averaged generator;
or the averaged one alone. One of StyleGAN2-ADA's PyTorch program holds G, D and G_ema: see `stylegan2_files`.
"""

from gan_tf.convert import stylegan2_files
from gan_tf.convert.found import ROLES, Found, refuse_other_arguments, shown
from gan_tf.convert.pggan import LOD, NOT_OFFICIAL, UNFUSED_DOWN, arguments_of, require_channels
from gan_tf.errors import UsageError
from gan_tf.pretrained.network_pickles import FORM_TENSORFLOW, read_network_pickle

ONE_OF_PGGAN = "4x4/Dense/weight"
# Arguments of the official networks that ours have at one value only; others change nothing, or the shapes tell them.
FIXED = {
    "label_size": (0, None),
    "num_channels": (3,),
    "fmap_decay": (1, 1.0),
    "normalize_latents": (True,),
    "use_wscale": (True,),
    "use_leakyrelu": (True,),
    "pixelnorm_epsilon": (1e-8,),
    "tanh_at_end": (False, None),
    "is_template_graph": (False,),
}
GROUPS = (0, 1, 4)  # images whose spread a discriminator measures together: 4 as ours, or none
TOLD = {"resolution", "fmap_base", "fmap_max", "latent_size", "use_pixelnorm"}
# Fused or not, the weights' names tell; groups are looked at by themselves, and a generator has none.
WITHOUT_EFFECT = {"dtype", "fused_scale", "structure", "mbstd_group_size"}


def read(path) -> Found:
    """The networks of a pickle.

    Raises:
        UsageError: it cannot be read, or its networks are neither Progressive GAN's nor StyleGAN2-ADA's.
    """
    networks, left_out = read_network_pickle(path)
    if "G_ema" not in networks:
        raise UsageError(f"it has {' and '.join(networks)}, and no averaged generator G_ema")
    g_ema = networks["G_ema"]
    if stylegan2_files.is_stylegan2(g_ema):
        return stylegan2_files.found_in(networks, left_out)
    if g_ema.form != FORM_TENSORFLOW or ONE_OF_PGGAN not in g_ema.arrays:
        raise UsageError(describe_other(networks))
    if "D" in networks and (reason := unlike_ours(networks["D"])):
        del networks["D"]
        left_out.append(f"D, the discriminator: {reason}")
    if "D" in networks and LOD in networks["D"].arrays:
        left_out.append(f"D: {LOD}, how far it has grown, which the generator tells")
    settings = {}
    for role, network in networks.items():
        if network.form != FORM_TENSORFLOW:
            raise UsageError(f"{NOT_OFFICIAL}: {role} is in the form of {network.form}")
        refuse_other_arguments(role, network.arguments, FIXED, TOLD | WITHOUT_EFFECT)
        own = arguments_of(network.arrays)
        if role != "D":
            own["pixel_norm"] = bool(network.arguments.get("use_pixelnorm", True))
        _merge(settings, own, role)
    for network in networks.values():
        require_channels(network.arrays, settings)
    states = {ROLES[role]: network.arrays for role, network in networks.items()}
    return Found("pggan", "Progressive GAN (TensorFlow)", settings, states, left_out)


def unlike_ours(network) -> str | None:
    """Why a discriminator of Progressive GAN cannot be one of ours, None if it can be.

    Those that were imported from Theano cannot: NVIDIA published such networks of CelebA-HQ and LSUN.
    """
    if UNFUSED_DOWN in network.arrays:
        return "it halves its maps behind their activations (fused_scale False), where one of ours does so before"
    groups = network.arguments.get("mbstd_group_size", 4)
    if groups not in GROUPS:
        return f"it measures the spread of {shown(groups)} images together (mbstd_group_size), where one of ours has 4"
    return None


def describe_other(networks) -> str:
    """Why networks of another kind are not converted."""
    g = networks["G_ema"]
    facts = [g.form, f"{g.name} with {len(g.arrays)} arrays"]
    for name in ("img_resolution", "resolution", "z_dim", "latent_size"):
        if name in g.arguments:
            facts.append(f"{name} {str(g.arguments[name])[:20]}")
    told = f"it holds {kind_of(g)} networks ({', '.join(facts)})"
    if kind_of(g) == "StyleGAN2" and g.form == FORM_TENSORFLOW:
        return (
            f"{told}: of StyleGAN2, pickles of the PyTorch program are converted, which its legacy.py makes of this one"
        )
    return (
        f"{told}, a family that this version does not train; it converts checkpoints of FastGAN-pytorch and pickles of "
        "Progressive GAN and StyleGAN2-ADA"
    )


def kind_of(g) -> str:
    """What family a generator is of, by the names of its arrays.

    Only the first StyleGAN styles its layers by a module of their own (StyleMod); the second modulates kernels; the
    third begins with waves in the place of a learned map.
    """
    if not any(name.startswith("synthesis") for name in g.arrays):
        return "unknown"
    if any(name.startswith("synthesis.input.") for name in g.arrays):
        return "StyleGAN3"
    return "StyleGAN1" if any("StyleMod" in name for name in g.arrays) else "StyleGAN2"


def _merge(settings, own, role):
    """Adds what one network tells of the settings; of widths, which each tells as far as it has them, the largest."""
    for name, value in own.items():
        if name in ("fmap_base", "fmap_max"):
            settings[name] = max(value, settings.get(name, 0))
        elif settings.setdefault(name, value) != value:
            raise UsageError(f"{NOT_OFFICIAL}: {role} has the {name} {value}, another of its networks {settings[name]}")
