"""The run folder: the only module that knows its file names and formats.

    config.json       settings, and the fingerprint of the training images
    environment.json  versions and devices of the last start
    stats.jsonl       a record a line: {"images_seen", "kind": "train" | "epoch" | "final" | "change" | "rollback", ...}
    events.*          the same for TensorBoard
    samples/          grids of images, by image count
    state/            checkpoints: everything needed to continue
    best/             the EMA generator with the best score, that score and its protocol, in one file
    snapshots/        the EMA generators with the best scores so far, in the same format
    workers/          a file at the start of a run on several machines, to check that the folder is shared
    evaluations/      results of `gan-tf evaluate`, by the image count of the weights
    report.html       scores, samples and copy check, for a browser

A file is replaced by writing a new one next to it and renaming, so a kill at any moment leaves the old or the new file.
Files may come from an untrusted source: nothing is unpickled, and an array is never larger than its file.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
import zipfile
from pathlib import Path

import numpy as np

from gan_tf.config import settings as configuration
from gan_tf.errors import UsageError
from gan_tf.io.arrays import DAMAGED, read_array
from gan_tf.io.files import LOCK_IS_HELD, part_file, printable, take_lock, write_atomically

FORMAT = 1
CHECKPOINT = re.compile(r"ckpt-(\d{12})")  # name of a checkpoint without its suffix
# The name of a file of a checkpoint. TensorFlow writes into a folder `_temp`, then renames.
CHECKPOINT_FILE = re.compile(CHECKPOINT.pattern + r"(\..*|_temp)")
IMAGE_COUNT = re.compile(r"[0-9]{1,15}")
META_KEY = "meta_json"  # entry of a weight file that holds the score, not an array of weights
USE_LAST = "use --which last"


class Run:
    """One run folder. The constructor creates nothing on the disk; `create` does."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.state = self.folder / "state"
        self.samples = self.folder / "samples"
        self.best = self.folder / "best" / "generator.npz"
        self.snapshots = self.folder / "snapshots"
        self.evaluations = self.folder / "evaluations"
        self.stats = self.folder / "stats.jsonl"
        self.report = self.folder / "report.html"
        self._config = self.folder / "config.json"
        self._environment = self.folder / "environment.json"
        self._lock = None

    # Folder and lock

    def exists(self) -> bool:
        """Returns True if a run was started here."""
        return os.path.exists(self._config)  # Path.exists raises an error in a folder without read permission

    def create(self, argument="--checkpoints"):
        """Creates the folders and locks the run for this process.

        Args:
            argument: the command-line argument that chose the folder, for error messages.

        Raises:
            UsageError: another process has the lock; the folder cannot be written or locked; a link leads out of it.
        """
        folders = self.state, self.samples, self.snapshots, self.best.parent
        lock = self.folder / "lock"
        self._refuse_links_out(*folders, self.stats, lock)
        try:
            for folder in folders:
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(lock, "w")  # noqa: SIM115 open until the process ends
            self._take_lock(argument)
            for part in self.folder.rglob("*.part"):  # unfinished files of a killed process
                part.unlink(missing_ok=True)
        except OSError as error:
            self.close()
            raise UsageError(
                f"{argument}: cannot write the run folder {self.folder} ({error.strerror}); choose another"
            ) from error

    def close(self):
        """Releases the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def workers_folder(self) -> Path:
        """Returns the folder for a check of the workers. Raises UsageError if a link leads it out of the run folder."""
        folder = self.folder / "workers"
        self._refuse_links_out(folder)
        return folder

    def evaluation_folder(self, images_seen: int) -> Path:
        """Returns the folder for scores of the weights at `images_seen`; raises as `workers_folder`."""
        folder = self.evaluations / f"{images_seen:09d}"
        self._refuse_links_out(folder)
        return folder

    def _contains(self, path) -> bool:
        """Returns True if `path` is in the run folder after links are followed. The run folder itself may be a link."""
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))

    def _refuse_links_out(self, *paths):
        """Raises UsageError if a link in the run folder would make us write outside of it."""
        for path in paths:
            if not self._contains(path):
                raise UsageError(
                    f"{path} leads out of the run folder, to {printable(os.path.realpath(path))}; remove that link "
                    "(only the run folder as a whole may be one)"
                )

    def _take_lock(self, argument):
        try:
            take_lock(self._lock, wait=False)
        except OSError as error:
            self.close()
            if error.errno in LOCK_IS_HELD:
                raise UsageError(
                    f"--run {self.folder.name}: another process trains in {self.folder}; stop it, or choose another "
                    "--run"
                ) from error
            raise UsageError(
                f"{argument}: the file system of {self.folder} does not support file locks ({error.strerror}), which "
                "keep two processes out of one run; choose a folder on another file system, or enable locks there"
            ) from error

    # Settings

    def read_settings(self):
        """Returns (TrainConfig, data dict).

        The data dict has "fingerprint", "images", "class_names" and "class_counts" (images of each class), and for a
        converted run also "converted_from".

        Raises:
            UsageError: there is no run here, or its config.json is damaged.
        """
        where = str(self._config)
        try:
            stored = read_json(self._config, {"settings": dict, "data": dict})
        except FileNotFoundError as error:
            raise UsageError(
                f"{self.folder} is no run folder (it has no config.json); give one such as checkpoints/demo"
            ) from error
        except (OSError, ValueError) as error:
            raise UsageError(f"{where} is damaged; restore it, or start another run with --run NAME") from error
        if stored.get("format", FORMAT) != FORMAT:
            raise UsageError(f"{where} has the format {stored['format']!r:.40}; it was written by another version")
        configuration.check_data(stored["data"], where)
        return configuration.from_stored_settings(stored["settings"], where), stored["data"]

    def write_settings(self, config, data):
        """Writes config.json: the TrainConfig, and the data dict that identifies the training images."""
        stored = {"format": FORMAT, "settings": configuration.stored_settings(config), "data": data}
        write_atomically(self._config, (json.dumps(stored, indent=2) + "\n").encode())

    def write_environment(self, environment):
        """Writes environment.json: versions and devices of this start."""
        write_atomically(self._environment, (json.dumps(environment, indent=2) + "\n").encode())

    def read_environment(self) -> dict:
        """Returns the versions and devices of the last start, or {}. Raises UsageError if the file is damaged."""
        try:
            return read_json(self._environment)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise UsageError(f"{self._environment} is damaged; the next start of the run replaces it") from error

    # Records

    def log(self, images_seen: int, kind: str, values: dict):
        """Appends one record to stats.jsonl."""
        with open(self.stats, "a") as file:
            file.write(json.dumps({"images_seen": images_seen, "kind": kind, **values}) + "\n")

    def records(self) -> list[dict]:
        """Returns all records. Lines that a kill or a full disk cut short are left out."""
        if not self.stats.is_file():
            return []
        records = []
        with open(self.stats, "rb") as file:
            for line in file:
                with contextlib.suppress(ValueError, RecursionError):  # RecursionError: nested brackets
                    record = json.loads(line)
                    if _has_image_count(record):
                        records.append(record)
        return records

    def trained_images(self) -> int:
        """Returns the largest image count of all records and checkpoints, damaged checkpoints included."""
        counts = [record["images_seen"] for record in self.records()] + [seen for seen, _ in self.checkpoints()]
        return max(counts, default=0)

    def cut(self, images_seen: int):
        """Removes records and grids after `images_seen`: a continued training writes them again."""
        kept = [record for record in self.records() if record["images_seen"] <= images_seen]
        write_atomically(self.stats, "".join(json.dumps(record) + "\n" for record in kept).encode())
        for path in self.samples.glob("*.png"):
            if (seen := _image_count(path)) is not None and seen > images_seen:
                path.unlink()

    # Sample grids

    def grid_path(self, images_seen: int, kind: str = "samples") -> Path:
        """Returns the path of a grid, such as samples/samples-000012000.png."""
        return self.samples / f"{kind}-{images_seen:09d}.png"

    def grids(self, kind: str = "samples") -> list[tuple[int, Path]]:
        """Returns (image count, path) of every grid of a kind, oldest first.

        Links that lead out of the run folder are left out: else the report could show private images of the user.
        """
        paths = [path for path in self.samples.glob(f"{kind}-*.png") if _image_count(path) is not None]
        return sorted((_image_count(path), path) for path in paths if self._contains(path))

    def newest_grid(self, kind: str = "samples") -> Path | None:
        """Returns the path of the newest grid of a kind, or None."""
        grids = self.grids(kind)
        return grids[-1][1] if grids else None

    # Checkpoints

    def checkpoint_prefix(self, images_seen: int) -> Path:
        """Returns the common prefix of the files of one checkpoint."""
        return self.state / f"ckpt-{images_seen:012d}"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """Returns (image count, prefix) of every checkpoint that has an index file, newest first."""
        matches = [(CHECKPOINT.fullmatch(path.stem), path) for path in self.state.glob("ckpt-*.index")]
        return sorted(((int(match[1]), path.with_suffix("")) for match, path in matches if match), reverse=True)

    def remove_checkpoint(self, prefix: Path):
        """Removes one checkpoint, its index file first, so that a half removed checkpoint is never read."""
        prefix.with_suffix(".index").unlink(missing_ok=True)
        for path in self.state.glob(prefix.name + ".data-*"):
            path.unlink()

    def tidy_checkpoints(self, newest: int, keep: int):
        """Keeps `keep` checkpoints up to `newest`. Later ones were damaged when the run was continued, and go too."""
        for seen, prefix in self.checkpoints():
            if seen > newest:
                self.remove_checkpoint(prefix)
        for _, prefix in self.checkpoints()[keep:]:
            self.remove_checkpoint(prefix)
        self.remove_leftovers()

    def remove_leftovers(self):
        """Removes files of interrupted writes: data files without an index, and TensorFlow's temporary folders."""
        complete = {prefix.name for _, prefix in self.checkpoints()}
        for path in self.state.glob("ckpt-*"):
            if CHECKPOINT_FILE.fullmatch(path.name) and path.name.split(".")[0] not in complete:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    # Best weights and snapshots

    def best_meta(self) -> dict | None:
        """Returns the meta dict of the best weights (score, images_seen, perhaps a final score), or None.

        Raises UsageError if the file is damaged.
        """
        return _read_weights(self.best, with_arrays=False)[1] if os.path.exists(self.best) else None

    def best_weights(self, remedy=USE_LAST):
        """Returns ({attribute path: array}, meta dict) of the best EMA generator.

        Raises UsageError, which offers `remedy`, if there is none yet or the file is damaged.
        """
        if not os.path.exists(self.best):
            raise UsageError(f"{self.folder} has no best weights yet; train until the first score, or {remedy}")
        return _read_weights(self.best, remedy)

    def replace_best(self, weights: dict, meta: dict):
        """Replaces the best weights and their meta dict in one step."""
        _write_weights(self.best, weights, meta)

    def snapshot_metas(self) -> list[dict]:
        """Returns the meta dicts of all snapshots, oldest first; damaged files are left out."""
        metas = []
        for path in sorted(self.snapshots.glob("*.npz")):
            with contextlib.suppress(UsageError):
                metas.append(_read_weights(path, with_arrays=False)[1])
        return metas

    def snapshot_weights(self, images_seen: int):
        """Returns ({attribute path: array}, meta dict) of one snapshot. Raises UsageError without one."""
        path = self._snapshot(images_seen)
        if not os.path.exists(path):
            counts = ", ".join(str(meta["images_seen"]) for meta in self.snapshot_metas()) or "none"
            raise UsageError(
                f"--which {images_seen}: {self.folder} has no snapshot of that many images; it has {counts}"
            )
        return _read_weights(path)

    def keep_snapshot(self, weights: dict, meta: dict):
        """Writes the weights of `meta["images_seen"]` as a snapshot."""
        _write_weights(self._snapshot(meta["images_seen"]), weights, meta)

    def remove_snapshot(self, images_seen: int):
        """Removes one snapshot, if it exists."""
        self._snapshot(images_seen).unlink(missing_ok=True)

    def _snapshot(self, images_seen):
        return self.snapshots / f"generator-{images_seen:09d}.npz"


def read_json(path, fields=None) -> dict:
    """Reads a JSON object.

    Args:
        path: pathlib.Path of a regular file.
        fields: {name: type} that the object must have; others are allowed.

    Raises:
        OSError: the file cannot be read.
        ValueError: it is not a JSON object, or a field is missing or of another type.
    """
    if path.exists() and not path.is_file():
        raise ValueError("not a regular file")  # a read of a pipe blocks, that of a device never ends
    try:
        content = json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(content, dict):
        raise ValueError("not a JSON object")
    for name, kind in (fields or {}).items():
        if not isinstance(content.get(name), kind):
            raise ValueError(f"{name} is missing or not a {kind.__name__}")
    return content


def _image_count(path) -> int | None:
    """Returns the image count at the end of a file name, or None."""
    digits = path.stem.rpartition("-")[2]
    return int(digits) if IMAGE_COUNT.fullmatch(digits) else None


def _has_image_count(record) -> bool:
    count = record.get("images_seen") if isinstance(record, dict) else None
    return type(count) is int and 0 <= count < 10**15


def _write_weights(path, weights, meta):
    with part_file(path) as file:
        np.savez(file, **{META_KEY: np.array(json.dumps(meta))}, **weights)


def _read_weights(path, remedy=USE_LAST, with_arrays=True):
    """Reads a file of `_write_weights`: ({name: array}, meta dict). Without `with_arrays` the first is empty.

    Entries are not compressed, so all arrays together are not larger than the file.
    """
    try:
        if not path.is_file():
            raise ValueError("not a regular file")
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:
            entries = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            compressed = any(entry.compress_type != zipfile.ZIP_STORED for entry in entries.values())
            if compressed or sum(entry.file_size for entry in entries.values()) > size:
                raise ValueError("compressed or overlapping entries")
            meta = json.loads(str(read_array(archive, entries.pop(META_KEY), size)))
            names = entries if with_arrays else ()
            weights = {name: read_array(archive, entries[name], size) for name in names}
        if not _has_image_count(meta) or any(array.dtype.kind not in "fiub" for array in weights.values()):
            raise ValueError("no image count, or arrays that are not numbers")
        return weights, meta
    except (*DAMAGED, RecursionError) as error:
        raise UsageError(f"{path} is damaged; {remedy}, or train until the next better score") from error


def refuse_converted(data: dict, folder):
    """Raises UsageError if a run was converted from another program's file: it has no images to train on."""
    if origin := data.get("converted_from"):
        raise UsageError(
            f"--run: {folder} was converted from {origin} and has no training images, so it cannot be continued; start "
            f"a run from it: --init-from {shlex.quote(str(folder))} --run NAME"
        )


def describe_change(before, after) -> list[str]:
    """Returns a line for each setting that changed between two starts of a run."""
    pairs = configuration.changed(before, after, "run")
    return [f"{configuration.flag(name)}: {old} -> {new}" for name, (old, new) in pairs.items()]


def refuse_identity_change(before, after, folder):
    """Raises UsageError if `after` changes a setting that must stay the same for the whole run in `folder`."""
    pairs = configuration.changed(before, after, "identity")
    if "classes" in pairs:  # not a flag: it follows from --conditional and the images
        old, new = pairs.pop("classes")
        if "conditional" not in pairs:
            raise UsageError(
                f"--dataset has {new} classes, and had {old} when the run {folder} was started; restore them, or give "
                "--run NAME to start another run"
            )
    if pairs:
        changes = [f"{configuration.flag(name)} is {new!r} and was {old!r}" for name, (old, new) in pairs.items()]
        flags = " ".join(configuration.as_argument(name, old) for name, (old, _) in pairs.items())
        raise UsageError(
            f"{', '.join(changes)}: give {flags} to continue the run {folder}, or --run NAME to start another"
        )


def refuse_data_change(before: dict, after: dict, folder):
    """Raises UsageError if the images are not those that the run was started with."""
    if before["fingerprint"] != after["fingerprint"]:
        raise UsageError(
            f"--dataset: its images changed since the run {folder} was started ({before['images']} images, fingerprint "
            f"{before['fingerprint'][:12]}, now {after['images']}, {after['fingerprint'][:12]}); "
            "restore them, or give --run NAME to start another run"
        )
