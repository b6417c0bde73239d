"""Trains a GAN on a set of images, as `gan-tf train` does. See `python train.py --help`."""

import sys

from gan_tf.cli.main import run_command

if __name__ == "__main__":
    sys.exit(run_command("train", sys.argv[1:]))
