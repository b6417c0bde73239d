"""TensorFlow Datasets builder `demo`: cartoon pandas, drawn on this machine."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.demo.panda_art import PICTURES, draw_indexed

RESOLUTIONS = (64, 128, 256, 512)  # pixels
CONFIGS = [tfds.core.BuilderConfig(name=str(side), description=f"{side}x{side} pixels") for side in RESOLUTIONS]


class Builder(tfds.core.GeneratorBasedBuilder):
    """The demo set, a configuration for each resolution, named by it ("64")."""

    # Where TFDS finds README.md and the rest; it looks in vain in a folder that is mapped to another package name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First pandas. Another picture for any index is another version."}
    BUILDER_CONFIGS = CONFIGS

    def _info(self):
        side = int(self.builder_config.name)
        features = {"image": tfds.features.Image(shape=(side, side, 3)), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features), disable_shuffling=True)

    def _split_generators(self, dl_manager):
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        side = int(self.builder_config.name)
        for index in range(PICTURES):
            yield index, {"image": draw_indexed(index, side), "name": f"panda-{index:03d}"}
