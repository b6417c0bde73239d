"""Metadata of the TFDS builders: README.md, CITATIONS.bib, TAGS.txt and checksums next to each."""

import pytest

from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import Builder as DemoKindsBuilder
from gan_tf_datasets.faces.faces_dataset_builder import Builder as FacesBuilder
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder


@pytest.mark.parametrize("builder", [DemoBuilder, DemoKindsBuilder, FacesBuilder, FewShotBuilder])
def test_every_configuration_is_described(builder, tmp_path):
    for config in builder.BUILDER_CONFIGS:
        built = builder(config=config.name, data_dir=tmp_path)
        assert built.info.description and built.info.citation and config.description
        assert {"image", "name"} <= set(built.info.features)
    metadata = builder.get_metadata()
    assert metadata.tags and (builder.pkg_dir_path / "checksums.tsv").exists()
