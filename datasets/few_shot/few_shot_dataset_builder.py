"""TensorFlow Datasets builder `few_shot`: datasets of 100 to 389 photographs, one per configuration."""

import tensorflow_datasets as tfds
from etils import epath

from gan_tf_datasets.few_shot.archives import ARCHIVES, obtain, read_images


class Builder(tfds.core.GeneratorBasedBuilder):
    """Images as they are in the archives, in the order of the numbers in their names."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "As published with DiffAugment in 2020."}
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=archive.name, description=f"{archive.count} images of {archive.url}")
        for archive in ARCHIVES.values()
    ]

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="https://data-efficient-gans.mit.edu/",
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager):
        # Not dl_manager: it checks no files without a shipped checksum, ignores zips put there by hand without one, and
        # retries for minutes without a network.
        archive = ARCHIVES[self.builder_config.name]
        self.info.metadata["sha256"] = obtain(archive)
        return {"train": self._generate_examples(archive)}

    def _generate_examples(self, archive):
        for index, (name, data) in enumerate(read_images(archive)):
            yield index, {"image": data, "name": name}
