"""TensorFlow Datasets builder `demo`: cartoon pandas drawn from a seed."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo.panda_art import IMAGES, draw_indexed

RESOLUTIONS = (64, 128, 256, 512)  # pixels
CONFIGS = [tfds.core.BuilderConfig(name=str(side), description=f"{side}x{side} pixels") for side in RESOLUTIONS]


def size_of(config):
    """Returns (height, width) in pixels of a configuration: one of CONFIGS, or one named by its width x height."""
    width, _, height = config.name.partition("x")
    return int(height or width), int(width)


class Builder(tfds.core.GeneratorBasedBuilder):
    """The demo dataset, with a configuration per resolution ("64"); others ("96x64") are given as a BuilderConfig."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent
    transparent = False

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First pandas. Any change of an image changes the version."}
    BUILDER_CONFIGS = CONFIGS

    def _info(self):
        shape = (*size_of(self.builder_config), 4 if self.transparent else 3)
        features = {"image": tfds.features.Image(shape=shape), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        size = size_of(self.builder_config)
        for index in range(IMAGES):
            image = draw_indexed(index, size, transparent=self.transparent)
            yield index, {"image": image, "name": f"panda-{index:03d}"}
