"""The images that a run was trained on, for commands that look at them again."""

from gan_tf.cli.datasets import resolve
from gan_tf.errors import UsageError


def of_run(run, dataset=None, fit=None, *, offline=False, memory_gb=4.0, log=print):
    """Opens and prepares the training images as the run did.

    Args:
        run: run.Run.
        dataset: a name or path in place of the one in the run's settings, where the data has moved. Its images need not
            be the same; where they are not, that is said.
        fit: how they become square, in place of the run's own.
        offline, say: as for `resolve`.
        memory_gb: larger sets are kept in a file on disk.

    Returns:
        data.prepare.ImageSet.

    Raises:
        UsageError: no such data, or, where no `dataset` is given, other images than the run was trained on.
    """
    from gan_tf.data.prepare import prepare

    config, data = run.read_settings()
    name = dataset or config.dataset
    if not name:
        raise UsageError(f"--dataset is missing: {run.folder} was converted, and has no images of its own; name them")
    try:
        source = resolve(name, resolution=config.resolution, offline=offline, log=log)
    except UsageError as error:
        if dataset is not None:
            raise
        raise UsageError(f"{error} (the run's own data; give --dataset if it has moved)") from error
    images = prepare(
        source,
        resolution=config.resolution,
        fit=fit or config.fit,
        background=config.background,
        limit=config.limit if source.fingerprint == data["fingerprint"] or dataset is None else None,
        memory_gb=memory_gb,
        log=log,
    )
    if images.fingerprint != data["fingerprint"]:
        changed = f"the images in {name} are not those that the run was trained on"
        if dataset is None:
            raise UsageError(
                f"--dataset: {changed}; restore them, or give --dataset {name} to compare with them as they are"
            )
        log(f"{changed}: comparing with them as they are")
    if images.report.unreadable:
        log(f"{name}: {len(images.report.unreadable)} unreadable images left out")
    return images
