"""`python -m tests.parity FAMILY FILE.npz`: prints every quantity, its relative error and bound.

Exit codes: 0 everything within its bound, 1 something over it, 2 wrong usage (one line on stderr).
"""

import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported below

from gan_tf.errors import UsageError
from tests.parity.report import read_arrays, show


def fastgan(arrays):
    """Networks, losses, gradients and one training step."""
    from tests.parity.fastgan import quantities

    return quantities(arrays)


def diffaugment(arrays):
    """Augmentation and its gradients."""
    from tests.parity.diffaugment import quantities

    return quantities(arrays)


def swd(arrays):
    """Pyramids, descriptors, sliced Wasserstein distances and MS-SSIM."""
    from tests.parity.swd import quantities

    return quantities(arrays)


def inception(arrays):
    """FID's Inception network and the ways to resize in front of it."""
    from tests.parity.inception import quantities

    return quantities(arrays)


def fid(arrays):
    """Fréchet and kernel distance, precision and recall."""
    from tests.parity.fid import quantities

    return quantities(arrays)


def lpips(arrays):
    """Perceptual distance, its gradient and VGG16's maps."""
    from tests.parity.lpips import quantities

    return quantities(arrays)


FAMILIES = {  # each imports its own module when called
    "fastgan": fastgan,
    "diffaugment": diffaugment,
    "swd": swd,
    "fid": fid,
    "inception": inception,
    "lpips": lpips,
}


def main(arguments) -> int:
    try:
        if len(arguments) != 2:
            raise UsageError(f"usage: python -m tests.parity {{{','.join(FAMILIES)}}} FILE.npz")
        family, path = arguments
        if family not in FAMILIES:
            raise UsageError(f"unknown family {family!r}: one of {', '.join(FAMILIES)}")
        return show(FAMILIES[family](read_arrays(path)))
    except UsageError as error:
        print(f"parity: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
