"""NVIDIA's networks for transfer learning, by the names that its program gives them: `train --init-from ffhq256`.

They are files of the PyTorch program of StyleGAN2-ADA, which are converted once into a run folder in the cache. Their
publisher states no checksums: the first file that could be converted is recorded, and later ones must be equal to it.

Source: the official program's list of networks to resume from; Karras et al. 2020 (Training Generative Adversarial
Networks with Limited Data), section 4.2.
"""

from gan_tf.io.files import user_path
from gan_tf.pretrained import checksums
from gan_tf.pretrained.files import Download, Obtained, obtain, pretrained_folder

SITE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/"
LICENCE = "NVIDIA Source Code License, which allows non-commercial use only"
ELSE = "give --init-from the folder of a run"


def _published(file, megabytes):
    return Download(file, SITE + file, "", megabytes, ELSE)


# Megabytes by the number of their weights, two generators and a discriminator of four bytes each.
SOURCES = {
    "ffhq256": _published("ffhq-res256-mirror-paper256-noaug.pkl", 296),
    "ffhq512": _published("ffhq-res512-mirror-stylegan2-noaug.pkl", 364),
    "ffhq1024": _published("ffhq-res1024-mirror-stylegan2-noaug.pkl", 381),
    "celebahq256": _published("celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl", 296),
    "lsundog256": _published("lsundog-res256-paper256-kimg100000-noaug.pkl", 296),
}


def folder_of(init_from):
    """Path of the run that `--init-from` speaks of: a folder, or the one that a known name is converted into."""
    if init_from in SOURCES:
        return pretrained_folder() / "runs" / init_from
    return user_path(init_from)


def obtain_source(name, *, offline=False, log=print) -> Obtained:
    """The file of a known name, fetched if it is not in the cache.

    Raises:
        UsageError: as files.obtain; or it is another one than the file that was recorded.
    """
    source = SOURCES[name]
    if not (pretrained_folder() / source.name).exists() and not offline:
        log(f"{name}: networks by NVIDIA, about {source.megabytes:g} MB")
    found = obtain(source, offline=offline, log=log)
    log(f"{name}: under the {LICENCE}")
    known = checksums.read_table(checksums.record_path()).get(source.name)
    checksums.refuse_other(found.path, found.sha256, known)
    return found


def record_source(name, found, log=print):
    """Records a file that has been converted, unless it is known."""
    source = SOURCES[name]
    if source.name not in checksums.read_table(checksums.record_path()):
        checksums.record(source.url, found.path, found.sha256, source.name, log)
