"""Image datasets published by TensorFlow Datasets: `tfds:<name>[/config]`."""

import difflib
import functools
import re

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from gan_tf.errors import UsageError
from gan_tf.io.tensorflow_paths import original_path, tensorflow_path
from gan_tf.pretrained.downloads import open_url
from gan_tf_datasets.prepared import (
    PreparedSource,
    kept_features,
    make_builder,
    manual_folder,
    prepare,
    prepared_folder,
)

# Excludes builder arguments, and names with the namespace of another hub, for which TFDS accesses the network.
SYNTAX = r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.[\d*]+\.[\d*]+)?"
LISTED_FILES = 4  # a longer list of files is not printed
RETRIES = 1  # of a download; TFDS's default of ten or more takes minutes without a network


def open_tfds(spec, data_dir=None, *, offline=False, log=print):
    """Opens a TFDS dataset, prepared on first use.

    Args:
        spec: `<name>[/config][:version]`, as TFDS writes it.
        data_dir, offline, log: see gan_tf.cli.datasets.resolve.

    Raises:
        UsageError: unknown name or configuration, no images, no network, or not prepared and `offline`.
    """
    name = f"tfds:{spec}"
    if not re.fullmatch(SYNTAX, spec):
        raise UsageError(f"--dataset {name}: write tfds:<name>[/config][:version], such as tfds:mnist")
    make = functools.partial(tfds.builder, spec, data_dir=tensorflow_path(prepared_folder(data_dir)))
    builder, prepared = _find_builder(make, spec)
    kept_features(builder.info.features, name)  # raises before a download of gigabytes
    if not prepared:
        _check_download(builder, name, offline, log)
        builder = _download_and_prepare(make, builder, name)
    return PreparedSource(builder, name)


def _find_builder(make, spec):
    """Returns (builder, whether it is prepared). Raises UsageError for an unknown name, configuration or version."""
    name = spec.partition("/")[0].partition(":")[0]
    try:
        return make_builder(make)
    except tfds.core.registered.DatasetNotFoundError:
        similar = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        advice = (
            f"did you mean {' or '.join(f'tfds:{s}' for s in similar)}?" if similar else "see tensorflow.org/datasets"
        )
        raise UsageError(f"--dataset tfds:{spec}: TensorFlow Datasets has no dataset {name}; {advice}") from None
    except ImportError as error:
        raise UsageError(f"--dataset tfds:{spec} needs the package {error.name}: pip install {error.name}") from error
    except UsageError:
        raise
    except (ValueError, AssertionError) as error:  # TFDS has no narrower types for configurations and versions
        cls = tfds.builder_cls(name)
        choices = f"configurations: {', '.join(sorted(cls.builder_configs)) or 'none'}"
        raise UsageError(
            f"--dataset tfds:{spec}: no such configuration or version; {choices}; version "
            f"{cls.VERSION or 'of the configuration'}"
        ) from error


def _check_download(builder, name, offline, log):
    """Logs the files to download, and opens the first of them, to find out within seconds that there is no network.

    Does nothing if the user has put all files into the folder of manual downloads.

    Raises:
        UsageError: `offline`, or no network.
    """
    manual = manual_folder(original_path(builder.data_dir_root))
    files = {
        url: info
        for url, info in (builder.url_infos or {}).items()
        if not (info.filename and (manual / info.filename).exists())
    }
    if builder.url_infos and not files:
        return
    remedy = f"prepare {name} on a machine with a network and copy it to {original_path(builder.data_dir)}"
    if 0 < len(files) <= LISTED_FILES and all(info.filename for info in files.values()):
        names = ", ".join(f"{url} as {info.filename}" for url, info in files.items())
        remedy = f"download elsewhere and put into {manual}: {names}"
    if offline:
        raise UsageError(f"--offline forbids downloading {name}: {remedy}")
    size = f"{sum(info.size for info in files.values()) / 1e6:.1f} MB" if files else "size unknown"
    log(f"downloading {name} ({', '.join(files) or 'URLs unknown'}; {size}) to {original_path(builder.data_dir)}")
    first = next(iter(files), "")
    if first.startswith("http"):
        open_url(first, remedy).close()


def _download_and_prepare(make, builder, name):
    """Downloads and prepares the data with TFDS. Converts errors that the user can fix to UsageErrors."""
    retries, downloader.MAX_RETRIES = downloader.MAX_RETRIES, RETRIES
    try:
        return prepare(make)
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise UsageError(f"cannot download {name}: {_one_line(error)}; try again later") from error
    except NonMatchingChecksumError as error:
        raise UsageError(f"{name}: the checksum of a file is wrong: {_one_line(error)}") from error
    except ImportError as error:
        raise UsageError(f"{name} needs the package {error.name}: pip install {error.name}") from error
    except AssertionError as error:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise
        raise UsageError(f"{name} must be downloaded by hand: {_one_line(error)}") from error
    finally:
        downloader.MAX_RETRIES = retries


def _one_line(error):
    return " ".join(str(error).split())
