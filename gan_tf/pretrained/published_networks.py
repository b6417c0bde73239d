"""NVIDIA's published StyleGAN2-ADA networks, by the names that `train --init-from` accepts (`ffhq256`).

Each is a pickle of the PyTorch program, which `--init-from` converts once into a run folder in the cache. NVIDIA states
no checksums: that of the first converted file is recorded, see `downloads.checksums_path`.

Source: the official program's list of transfer learning networks; Karras et al. 2020 (Training Generative Adversarial
Networks with Limited Data), section 4.2.
"""

from gan_tf.io.files import user_path
from gan_tf.pretrained import downloads
from gan_tf.pretrained.downloads import Download, Obtained, pretrained_folder

SITE = "https://nvlabs-fi-cdn.nvidia.com/stylegan2-ada-pytorch/pretrained/transfer-learning-source-nets/"
LICENCE = "NVIDIA Source Code License, which allows non-commercial use only"
# Megabytes: the weights of two generators and a discriminator, four bytes per weight.
SOURCES = {
    name: Download(file, SITE + file, "", megabytes, "give --init-from the folder of a run")
    for name, file, megabytes in (
        ("ffhq256", "ffhq-res256-mirror-paper256-noaug.pkl", 296),
        ("ffhq512", "ffhq-res512-mirror-stylegan2-noaug.pkl", 364),
        ("ffhq1024", "ffhq-res1024-mirror-stylegan2-noaug.pkl", 381),
        ("celebahq256", "celebahq-res256-mirror-paper256-kimg100000-ada-target0.5.pkl", 296),
        ("lsundog256", "lsundog-res256-paper256-kimg100000-noaug.pkl", 296),
    )
}


def folder_of(init_from):
    """Returns the path of the run that `--init-from` names: a folder, or the cached run of a published network."""
    if init_from in SOURCES:
        return pretrained_folder() / "runs" / init_from
    return user_path(init_from)


def obtain_source(name, *, offline=False, log=print) -> Obtained:
    """Returns the file of a published network, downloaded if it is not in the cache.

    Raises:
        UsageError: as `downloads.obtain`, or the SHA-256 differs from the recorded one.
    """
    source = SOURCES[name]
    if not (pretrained_folder() / source.name).exists() and not offline:
        log(f"{name}: networks by NVIDIA, about {source.megabytes:g} MB")
    obtained = downloads.obtain(source, offline=offline, log=log)
    log(f"{name}: under the {LICENCE}")
    recorded = downloads.read_checksums(downloads.checksums_path()).get(source.name)
    downloads.require_checksum(obtained.path, obtained.sha256, recorded)
    return obtained


def record_source(name, obtained, log=print):
    """Records the checksum of a file that has been converted, unless there is a record."""
    source = SOURCES[name]
    if source.name not in downloads.read_checksums(downloads.checksums_path()):
        downloads.record_checksum(source.url, obtained.path, obtained.sha256, source.name, log)
