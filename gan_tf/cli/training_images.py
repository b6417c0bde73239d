"""Opens the training images of a run, for commands that compare with them."""

from gan_tf.cli.datasets import resolve
from gan_tf.errors import UsageError
from gan_tf.io.shell import quote


def of_run(run, dataset=None, fit=None, *, offline=False, memory_gb=4.0, log=print):
    """Opens and prepares the training images with the settings of the run.

    Args:
        run: runs.folder.Run.
        dataset: a name or path that replaces that of the run. If its images are different, a line is logged.
        fit: replaces the setting of the run.
        offline, log: as for `resolve`.
        memory_gb: larger datasets are kept in a file on disk, not in memory.

    Returns:
        data.prepare.ImageSet.

    Raises:
        UsageError: the data does not exist, or, without `dataset`, the images have changed since the training.
    """
    from gan_tf.data.prepare import prepare

    config, data = run.read_settings()
    name = dataset or config.dataset
    if not name:
        raise UsageError(f"--dataset is missing: {run.folder} was converted and has no training images; give them")
    try:
        source = resolve(name, size=config.image_size, offline=offline, log=log)
    except UsageError as error:
        if dataset is not None:
            raise
        raise UsageError(f"{error} (the data of the run; give --dataset if it has moved)") from error
    if config.conditional:
        source.read_label_file(data["fingerprint"])
    images = prepare(
        source,
        size=config.image_size,
        channels=config.channels,
        fit=fit or config.fit,
        background=config.background,
        bits=config.bits,
        # The limit belongs to the images of the run; other images are all used.
        limit=config.limit if source.fingerprint == data["fingerprint"] or dataset is None else None,
        memory_gb=memory_gb,
        log=log,
    )
    if images.fingerprint != data["fingerprint"]:
        changed = f"the images in {name} are not those of the training"
        if data["fingerprint"]:  # not of a converted run
            changed += f" ({run.describe_changes(data['images'], images)})"
        if dataset is None:
            raise UsageError(
                f"--dataset: {changed}; restore them, or give --dataset {quote(name)} to compare with them anyway"
            )
        if data.get("converted_from"):
            log(f"{run.folder} was converted, and its training images are not recorded: comparing with {name}")
        else:
            log(f"{changed}: comparing with them anyway, so copies of training images are not found")
    if images.report.unreadable:
        log(f"{name}: {len(images.report.unreadable)} unreadable images left out")
    return images


def may_be_mirrored(run) -> bool:
    """Returns True if copies may be mirrored: it was trained on mirrored images, or converted, which leaves it open."""
    config, data = run.read_settings()
    return config.mirror or bool(data.get("converted_from"))
