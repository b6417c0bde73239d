"""Opens the built-in datasets as image sources, downloaded and prepared on first use."""

import functools
import shutil

import tensorflow_datasets as tfds

from gan_tf.errors import UsageError
from gan_tf.io.tensorflow_paths import original_path, tensorflow_path
from gan_tf_datasets.demo.demo_dataset_builder import RESOLUTIONS
from gan_tf_datasets.demo.demo_dataset_builder import Builder as DemoBuilder
from gan_tf_datasets.demo_kinds.demo_kinds_dataset_builder import Builder as DemoKindsBuilder
from gan_tf_datasets.demo_sprites.demo_sprites_dataset_builder import Builder as DemoSpritesBuilder
from gan_tf_datasets.faces.faces_dataset_builder import Builder as FacesBuilder
from gan_tf_datasets.faces.files import FACES, instructions
from gan_tf_datasets.faces.files import open_faces as open_face_files
from gan_tf_datasets.few_shot.archives import ARCHIVES, obtain
from gan_tf_datasets.few_shot.few_shot_dataset_builder import Builder as FewShotBuilder
from gan_tf_datasets.prepared import PreparedSource, make_builder, manual_folder, prepare, prepared_folder

DEMOS = {"demo": DemoBuilder, "demo-kinds": DemoKindsBuilder, "demo-sprites": DemoSpritesBuilder}


def open_demo(size, data_dir=None, *, kind="demo", log=print):
    """Opens a demo dataset, drawn on first use.

    Args:
        size: (height, width) in pixels. A square becomes the smallest of RESOLUTIONS that is at least as large, or the
            largest; other images have exactly this size.
        kind: "demo"; "demo-kinds", pandas and cats as two classes; or "demo-sprites", RGBA images.
    """
    height, width = size
    if height == width:
        height = width = next((side for side in RESOLUTIONS if side >= height), RESOLUTIONS[-1])
        config = str(height)
    else:
        config = tfds.core.BuilderConfig(name=f"{width}x{height}", description=f"{width}x{height} pixels")
    make = _maker(DEMOS[kind], config, data_dir)
    builder, prepared = make_builder(make)
    if not prepared:
        log(f"drawing the demo images at {width}x{height} into {original_path(builder.data_dir)}")
        builder = prepare(make)
    return PreparedSource(builder, kind)


def open_few_shot(name, data_dir=None, *, offline=False, log=print):
    """Opens a dataset of `few_shot.archives`. Once it is prepared, its zip may be missing, but is checked if it exists.

    Raises:
        UsageError: see `few_shot.archives.obtain`.
    """
    archive = ARCHIVES[name]
    make = _maker(FewShotBuilder, name, data_dir)
    builder, prepared = make_builder(make)
    if archive.path.exists() or not prepared:
        digest = obtain(archive, offline=offline, log=log)
        if prepared and builder.info.metadata["sha256"] != digest:  # the user has replaced the zip
            log(f"preparing {name} again, since {archive.path} has changed")
            shutil.rmtree(builder.data_dir)
            prepared = False
    return PreparedSource(builder if prepared else prepare(make), name)


def open_faces(name, data_dir=None):
    """Opens a dataset of `faces.files`: the user's files in place or, without them, data that TFDS has prepared.

    Downloads nothing.

    Raises:
        UsageError: there are no files and no prepared data, or see `faces.files.open_faces`.
    """
    folder = manual_folder(data_dir)
    source = open_face_files(FACES[name], folder)
    if source is not None:
        return source
    builder, prepared = make_builder(_maker(FacesBuilder, name, data_dir))
    if not prepared:
        raise UsageError(
            f"--dataset {name} has terms of use, so you must download it: {instructions(FACES[name], folder)}"
        )
    return PreparedSource(builder, name)


def _maker(cls, config, data_dir):
    """Returns a function without arguments that makes a builder of class `cls`; `config`: a name or a BuilderConfig."""
    return functools.partial(cls, config=config, data_dir=tensorflow_path(prepared_folder(data_dir)))
