"""Opens the sets that have a name as image sources: fetches and prepares what is missing first."""

from pathlib import Path

from gan_tf.data.cache import cache_root
from gan_tf_datasets.prepared import FILE_FORMAT, PreparedSource, prepare, quiet


def open_demo(resolution, data_dir=None, *, say=print):
    """The drawn pandas at the smallest prepared size of at least `resolution` pixels (at most 512)."""
    from gan_tf_datasets.demo.demo_dataset_builder import RESOLUTIONS, Builder

    side = next((side for side in RESOLUTIONS if side >= resolution), RESOLUTIONS[-1])
    with quiet():
        builder = Builder(config=str(side), data_dir=_folder(data_dir), file_format=FILE_FORMAT)
        prepared = builder.is_prepared()
    if not prepared:
        say(f"drawing the demo pictures at {side}x{side} into {builder.data_dir}")
    prepare(builder)
    return PreparedSource(builder, "demo")


def _folder(data_dir):
    """Folder of the prepared sets."""
    return Path(data_dir).expanduser() if data_dir else cache_root() / "tfds"
