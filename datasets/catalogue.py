"""Opens our own sets as image sources: fetches and prepares what is missing first."""

import shutil

from gan_tf_datasets.demo.demo_dataset_builder import RESOLUTIONS
from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.few_shot.archives import ARCHIVES, obtain
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder
from gan_tf_datasets.prepared import FILE_FORMAT, PreparedSource, prepare, prepared_folder, quiet


def open_demo(resolution, data_dir=None, *, say=print):
    """The drawn pandas at the smallest prepared size of at least `resolution` pixels (at most 512)."""
    side = next((side for side in RESOLUTIONS if side >= resolution), RESOLUTIONS[-1])
    builder, prepared = _builder(DemoBuilder, str(side), data_dir)
    if not prepared:
        say(f"drawing the demo pictures at {side}x{side} into {builder.data_dir}")
        prepare(builder)
    return PreparedSource(builder, "demo")


def open_few_shot(name, data_dir=None, *, offline=False, say=print):
    """A set of `few_shot.archives`; its zip is needed only until it is prepared, but is checked as long as it is there.

    Raises:
        UsageError: see `few_shot.archives.obtain`.
    """
    archive = ARCHIVES[name]
    builder, prepared = _builder(FewShotBuilder, name, data_dir)
    if archive.path.exists() or not prepared:
        digest = obtain(archive, offline=offline, say=say)
        if prepared and builder.info.metadata["sha256"] != digest:  # the user has accepted another zip
            say(f"preparing {name} again, since {archive.path} is another file than before")
            shutil.rmtree(builder.data_dir)
            builder, prepared = _builder(FewShotBuilder, name, data_dir)
    if not prepared:
        prepare(builder)
    return PreparedSource(builder, name)


def _builder(cls, config, data_dir):
    """Returns (builder, whether its data are prepared)."""
    with quiet():
        builder = cls(config=config, data_dir=prepared_folder(data_dir), file_format=FILE_FORMAT)
        return builder, builder.is_prepared()
