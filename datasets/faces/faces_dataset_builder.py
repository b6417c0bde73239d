"""TensorFlow Datasets builder `faces`: CelebA-HQ and FFHQ thumbnails, from files downloaded by the user."""

from pathlib import Path

import tensorflow_datasets as tfds
from etils import epath

from gan_tf.errors import UsageError
from gan_tf.io.progress import Progress
from gan_tf_datasets.faces.files import FACES, instructions, open_faces

KEYS = 2**128  # TFDS sorts records by keys below this number


class Builder(tfds.core.GeneratorBasedBuilder):
    """Images as they are in the files, in the order of the numbers in their names."""

    # Folder of README.md and the like, which TFDS does not find in a package installed under another name.
    code_path = epath.Path(__file__)
    pkg_dir_path = code_path.parent

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "As published in 2017 (CelebA-HQ) and 2019 (FFHQ)."}
    MANUAL_DOWNLOAD_INSTRUCTIONS = "\n".join(
        f"{name}: {instructions(face_set, 'this folder')}." for name, face_set in FACES.items()
    )
    BUILDER_CONFIGS = [
        tfds.core.BuilderConfig(name=name, description=f"{face_set.count} images: {face_set.get}")
        for name, face_set in FACES.items()
    ]

    def _info(self):
        features = {"image": tfds.features.Image(shape=(None, None, 3)), "name": tfds.features.Text()}
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            homepage="https://github.com/NVlabs/ffhq-dataset",
            disable_shuffling=True,
        )

    def _split_generators(self, dl_manager):
        face_set, folder = FACES[self.builder_config.name], Path(dl_manager.manual_dir)
        source = open_faces(face_set, folder)
        if source is None:
            raise UsageError(f"{face_set.name} is missing: {instructions(face_set, folder)}")
        return {"train": self._generate_examples(source)}

    def _generate_examples(self, source):
        # Above a gigabyte TFDS distributes records over a thousand files by the size of their keys, and then sorts one
        # file at a time in memory. Small keys would all go to the first file.
        step = KEYS // len(source)
        with Progress(len(source), "prepared") as progress:
            for i, name in enumerate(source.names):
                yield i * step, {"image": source.read(i), "name": name}
                progress.advance()
