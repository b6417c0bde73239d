"""TensorFlow Datasets builder `demo_sprites`: cartoon pandas with transparency, drawn from a seed."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo import demo_dataset_builder


class Builder(demo_dataset_builder.Builder):
    """The demo dataset without scenes, with its configurations."""

    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent
    transparent = True

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First sprites. Any change of an image changes the version."}
