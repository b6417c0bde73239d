"""Any image set that TensorFlow Datasets publishes, `tfds:<name>[/config]`."""

import difflib
import functools
import re

import requests
import tensorflow_datasets as tfds
from tensorflow_datasets.core.download import downloader
from tensorflow_datasets.core.download.download_manager import NonMatchingChecksumError

from gan_tf.errors import UsageError
from gan_tf.pretrained.downloads import open_url
from gan_tf_datasets.prepared import (
    PreparedSource,
    kept_features,
    make_quietly,
    manual_folder,
    prepare,
    prepared_folder,
)

# Without the name spaces of other hubs, which fetch as soon as they are named, and without builder arguments.
SYNTAX = r"[A-Za-z]\w*(/[\w.+-]+)?(:\d+\.[\d*]+\.[\d*]+)?"
LISTED_FILES = 4  # more are not worth fetching one by one
RETRIES = 1  # TFDS tries ten times and more, for minutes, where there is no network


def open_tfds(spec, data_dir=None, *, offline=False, log=print):
    """Opens a set of TFDS, prepared on first use.

    Args:
        spec: `<name>[/config][:version]`, as TFDS writes it.
        data_dir, offline, say: see gan_tf.cli.datasets.resolve.

    Raises:
        UsageError: unknown name or configuration, no images in it, not prepared and offline, no network.
    """
    name = f"tfds:{spec}"
    if not re.fullmatch(SYNTAX, spec):
        raise UsageError(f"--dataset {name}: write tfds:<name>[/config][:version], such as tfds:mnist")
    make = functools.partial(tfds.builder, spec, data_dir=prepared_folder(data_dir))
    builder, prepared = _make(make, spec)
    kept_features(builder.info.features, name)  # refuse before gigabytes are fetched
    if not prepared:
        _announce(builder, name, offline, log)
        builder = _fetch_and_prepare(make, builder, name)
    return PreparedSource(builder, name)


def _make(make, spec):
    """Returns (builder, whether prepared); a mistake in the set's name becomes one line."""
    name = spec.partition("/")[0].partition(":")[0]
    try:
        return make_quietly(make)
    except tfds.core.registered.DatasetNotFoundError:
        close = difflib.get_close_matches(name, tfds.list_builders(with_community_datasets=False), n=3)
        hint = f"did you mean {' or '.join('tfds:' + c for c in close)}?" if close else "see tensorflow.org/datasets"
        raise UsageError(f"--dataset tfds:{spec}: TensorFlow Datasets has no set {name}; {hint}") from None
    except ImportError as error:
        raise UsageError(f"--dataset tfds:{spec} needs the package {error.name}: pip install {error.name}") from error
    except UsageError:
        raise
    except (ValueError, AssertionError) as error:  # nothing narrower for configurations and versions
        raise UsageError(f"--dataset tfds:{spec}: no such configuration or version; {_choices(name)}") from error


def _choices(name):
    """The configurations and the version that TFDS takes."""
    cls = tfds.builder_cls(name)
    configs = sorted(cls.builder_configs)
    return f"configurations: {', '.join(configs) or 'none'}; version {cls.VERSION or 'of the configuration'}"


def _announce(builder, name, offline, log):
    """Says what TFDS is about to fetch, and finds out within ten seconds whether it can.

    Raises:
        UsageError: offline, or no network; not where every file has been put into the folder of manual downloads.
    """
    manual = manual_folder(builder.data_dir_root)
    infos = {
        url: info
        for url, info in (builder.url_infos or {}).items()
        if not (info.filename and (manual / info.filename).exists())
    }
    if builder.url_infos and not infos:
        return
    remedy = f"prepare {name} where there is a network and copy it to {builder.data_dir}"
    if 0 < len(infos) <= LISTED_FILES and all(info.filename for info in infos.values()):
        files = ", ".join(f"{url} as {info.filename}" for url, info in infos.items())
        remedy = f"download elsewhere and put into {manual}: {files}"
    if offline:
        raise UsageError(f"--offline forbids fetching {name}: {remedy}")
    size = f"{sum(info.size for info in infos.values()) / 1e6:.1f} MB" if infos else "size unknown"
    log(f"fetching {name} ({', '.join(infos) or 'from where its builder says'}; {size}) to {builder.data_dir}")
    first = next(iter(infos), "")
    if first.startswith("http"):
        open_url(first, remedy).close()


def _fetch_and_prepare(make, builder, name):
    """Lets TFDS fetch and prepare; what the user can mend becomes one line."""
    patience, downloader.MAX_RETRIES = downloader.MAX_RETRIES, RETRIES
    try:
        return prepare(make)
    except (requests.RequestException, tfds.download.DownloadError) as error:
        raise UsageError(f"cannot fetch {name}: {_one_line(error)}; try again later") from error
    except NonMatchingChecksumError as error:
        raise UsageError(f"{name}: a file is not what TFDS expects: {_one_line(error)}") from error
    except ImportError as error:
        raise UsageError(f"{name} needs the package {error.name}: pip install {error.name}") from error
    except AssertionError as error:
        if not builder.MANUAL_DOWNLOAD_INSTRUCTIONS:
            raise
        raise UsageError(f"{name} must be fetched by hand: {_one_line(error)}") from error
    finally:
        downloader.MAX_RETRIES = patience


def _one_line(error):
    return " ".join(str(error).split())
