"""TensorFlow Datasets builder `demo`: cartoon pandas drawn from a seed."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo.panda_art import IMAGES, draw_indexed

RESOLUTIONS = (64, 128, 256, 512)  # pixels
CONFIGS = [tfds.core.BuilderConfig(name=str(side), description=f"{side}x{side} pixels") for side in RESOLUTIONS]


class Builder(tfds.core.GeneratorBasedBuilder):
    """The demo dataset, with a configuration per resolution ("64")."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First pandas. Any change of an image changes the version."}
    BUILDER_CONFIGS = CONFIGS

    def _info(self):
        side = int(self.builder_config.name)
        features = {"image": tfds.features.Image(shape=(side, side, 3)), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        side = int(self.builder_config.name)
        for index in range(IMAGES):
            yield index, {"image": draw_indexed(index, side), "name": f"panda-{index:03d}"}
