"""Opens our own sets as image sources: fetches and prepares what is missing first."""

import functools
import shutil

from gan_tf_datasets.demo.demo_dataset_builder import RESOLUTIONS
from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.few_shot.archives import ARCHIVES, obtain
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder
from gan_tf_datasets.prepared import PreparedSource, make_quietly, prepare, prepared_folder


def open_demo(resolution, data_dir=None, *, say=print):
    """The drawn pandas at the smallest prepared size of at least `resolution` pixels (at most 512)."""
    side = next((side for side in RESOLUTIONS if side >= resolution), RESOLUTIONS[-1])
    make = _maker(DemoBuilder, str(side), data_dir)
    builder, prepared = make_quietly(make)
    if not prepared:
        say(f"drawing the demo pictures at {side}x{side} into {builder.data_dir}")
        builder = prepare(make)
    return PreparedSource(builder, "demo")


def open_few_shot(name, data_dir=None, *, offline=False, say=print):
    """A set of `few_shot.archives`; its zip is needed only until it is prepared, but is checked as long as it is there.

    Raises:
        UsageError: see `few_shot.archives.obtain`.
    """
    archive = ARCHIVES[name]
    make = _maker(FewShotBuilder, name, data_dir)
    builder, prepared = make_quietly(make)
    if archive.path.exists() or not prepared:
        digest = obtain(archive, offline=offline, say=say)
        if prepared and builder.info.metadata["sha256"] != digest:  # the user has accepted another zip
            say(f"preparing {name} again, since {archive.path} is another file than before")
            shutil.rmtree(builder.data_dir)
            prepared = False
    return PreparedSource(builder if prepared else prepare(make), name)


def _maker(cls, config, data_dir):
    """Function that makes the builder of one configuration."""
    return functools.partial(cls, config=config, data_dir=prepared_folder(data_dir))
