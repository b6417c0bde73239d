"""`python -m tests.parity FAMILY FILE.npz`: prints every quantity, its relative error and bound.

Exit codes: 0 everything within its bound, 1 something over it, 2 wrong usage (one line on stderr).
"""

import importlib
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # read once, when TensorFlow is imported below

from gan_tf.errors import UsageError
from tests.parity.report import read_arrays, show

FAMILIES = (  # modules of this package, imported when needed
    "fastgan",  # networks, losses, gradients and one training step
    "pggan",  # networks, losses, gradients, steps and schedule
    "stylegan2",  # operations, networks, penalties, gradients of every training phase
    "projected",  # features, projection and discriminator of Projected GAN
    "diffaugment",  # augmentation and its gradients
    "ada",  # adaptive augmentation: parameters, maps, images and their gradients
    "swd",  # pyramids, descriptors, sliced Wasserstein distances and MS-SSIM
    "inception",  # FID's network and the resizing before it
    "fid",  # Fréchet and kernel distance, precision and recall
    "lpips",  # perceptual distance, its gradient and VGG16's maps
)


def main(arguments) -> int:
    try:
        if len(arguments) != 2:
            raise UsageError(f"usage: python -m tests.parity {{{','.join(FAMILIES)}}} FILE.npz")
        family, path = arguments
        if family not in FAMILIES:
            raise UsageError(f"unknown family {family!r}: one of {', '.join(FAMILIES)}")
        return show(importlib.import_module(f"tests.parity.{family}").quantities(read_arrays(path)))
    except UsageError as error:
        print(f"parity: error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
