"""Reads a weight file of any official program and describes its networks."""

from pathlib import Path

from gan_tf.convert import fastgan, pggan, stylegan2
from gan_tf.convert.weight_file import WeightFile, check_weights, shown
from gan_tf.errors import UsageError
from gan_tf.pretrained.network_pickles import FORM_TENSORFLOW, read_network_pickle
from gan_tf.pretrained.torch_files import is_torch_file, read_torch_file
from gan_tf.pretrained.unpickling import reading


def read_weight_file(path) -> WeightFile:
    """Reads a checkpoint of FastGAN-pytorch, or a pickle of Progressive GAN or StyleGAN2-ADA. Runs no code in it.

    Raises:
        UsageError: one line with the path: the file cannot be read, is damaged, asks for anything but weights, or has
            networks that cannot be converted.
    """
    path = Path(path)
    with reading(path, "checkpoint of torch.save or pickle of networks"):
        if is_torch_file(path):
            weights = fastgan.describe(read_torch_file(path))
        else:
            weights = _describe_networks(*read_network_pickle(path))
        check_weights(weights.states, path.stat().st_size)
        return weights


def _describe_networks(networks, left_out) -> WeightFile:
    if "G_ema" not in networks:
        raise UsageError(f"it has {' and '.join(networks)}, but no EMA generator G_ema")
    g_ema = networks["G_ema"]
    if stylegan2.is_generator(g_ema):
        return stylegan2.describe(networks, left_out)
    if pggan.is_generator(g_ema):
        return pggan.describe(networks, left_out)
    raise UsageError(_unsupported(g_ema))


def _unsupported(g):
    """Returns the message for a generator of another family, which its array names identify.

    Only StyleGAN 1 has modules named StyleMod. StyleGAN3 begins with Fourier features, `synthesis.input`.
    """
    family = "unknown"
    if any(name.startswith("synthesis") for name in g.arrays):
        family = "StyleGAN1" if any("StyleMod" in name for name in g.arrays) else "StyleGAN2"
        family = "StyleGAN3" if any(name.startswith("synthesis.input.") for name in g.arrays) else family
    details = [g.form, f"{g.name} with {len(g.arrays)} arrays"]
    for name in ("img_resolution", "resolution", "z_dim", "latent_size"):
        if name in g.arguments:
            details.append(f"{name} {shown(g.arguments[name])}")
    message = f"it has {family} networks ({', '.join(details)}), which cannot be converted; "
    if family == "StyleGAN2" and g.form == FORM_TENSORFLOW:
        return message + "convert it to a pickle of the PyTorch program first, with that program's legacy.py"
    return message + "give a checkpoint of FastGAN-pytorch, or a pickle of Progressive GAN or StyleGAN2-ADA (PyTorch)"
