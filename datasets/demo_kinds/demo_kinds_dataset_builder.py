"""TensorFlow Datasets builder `demo_kinds`: cartoon pandas and cats with class labels, drawn from a seed."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo.demo_dataset_builder import CONFIGS, size_of
from gan_tf_datasets.demo.panda_art import draw_indexed as draw_panda
from gan_tf_datasets.demo_kinds.cat_art import draw_indexed as draw_cat

EACH = 300  # images of a class
KINDS = {"panda": draw_panda, "cat": draw_cat}


class Builder(tfds.core.GeneratorBasedBuilder):
    """The demo dataset with classes, with the configurations of `demo`."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First pandas and cats. Any change of an image changes the version."}
    BUILDER_CONFIGS = CONFIGS

    def _info(self):
        features = {
            "image": tfds.features.Image(shape=(*size_of(self.builder_config), 3)),
            "label": tfds.features.ClassLabel(names=list(KINDS)),
            "name": tfds.features.Text(),
        }
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        size = size_of(self.builder_config)
        for number in range(EACH * len(KINDS)):  # alternating, so that any part of the dataset is balanced
            index, kind = divmod(number, len(KINDS))
            name = list(KINDS)[kind]
            yield number, {"image": KINDS[name](index, size), "label": kind, "name": f"{name}-{index:03d}"}
