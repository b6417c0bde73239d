"""TFDS's test case for the drawn and few-shot builders: metadata files, features, splits, reading back."""

import os
import tempfile
from pathlib import Path

import tensorflow_datasets as tfds

from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import Builder as DemoKindsBuilder
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder
from tests.datasets.archives import write_zip


class DemoTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = DemoBuilder
    BUILDER_CONFIG_NAMES_TO_TEST = ["64"]
    SPLITS = {"train": 600}
    EXAMPLE_DIR = tempfile.gettempdir()  # not read


class DemoKindsTest(DemoTest):
    DATASET_CLASS = DemoKindsBuilder


class FewShotTest(tfds.testing.DatasetBuilderTestCase):
    DATASET_CLASS = FewShotBuilder
    BUILDER_CONFIG_NAMES_TO_TEST = ["panda"]
    SPLITS = {"train": 100}
    EXAMPLE_DIR = tempfile.gettempdir()  # not read: the zip is in our cache

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        write_zip(Path(os.environ["GAN_TF_CACHE"]) / "downloads" / "100-shot-panda.zip", 100)
