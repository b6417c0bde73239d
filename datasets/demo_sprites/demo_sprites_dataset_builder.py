"""TensorFlow Datasets builder `demo_sprites`: cartoon pandas with transparency, drawn from a seed."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo.demo_dataset_builder import CONFIGS, size_of
from gan_tf_datasets.demo.panda_art import IMAGES, draw_indexed


class Builder(tfds.core.GeneratorBasedBuilder):
    """The demo dataset without scenes, with the configurations of `demo`."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First sprites. Any change of an image changes the version."}
    BUILDER_CONFIGS = CONFIGS

    def _info(self):
        shape = (*size_of(self.builder_config), 4)
        features = {"image": tfds.features.Image(shape=shape), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        size = size_of(self.builder_config)
        for index in range(IMAGES):
            image = draw_indexed(index, size, transparent=True)
            yield index, {"image": image, "name": f"panda-{index:03d}"}
