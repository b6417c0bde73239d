"""Run: reads and writes the files of a run folder.

    config.json       settings, and the fingerprint of the training images
    images.json       names and shortened digests of the training images, to name what has changed
    environment.json  versions and devices of the last start
    stats.jsonl       a record a line: {"images_seen", "kind": "train" | "epoch" | "final" | "change" | "rollback", ...}
    events.*          the same for TensorBoard
    samples/          grids of images, by image count
    state/            checkpoints: everything needed to continue
    best/             the EMA generator with the best score, that score and its protocol, in one file
    snapshots/        the EMA generators with the best scores so far, in the same format
    workers/          exists while the workers check that they share the folder
    evaluations/      results of `gan-tf evaluate`, by the image count of the weights
    report.html       scores, samples and copy check, for a browser
    lock              held by the process that trains

A file is replaced by writing a new one next to it and renaming, so a kill at any moment leaves the old or the new file.
"""

import contextlib
import errno
import glob
import json
import os
import re
import shutil
from pathlib import Path

from gan_tf.config.settings import from_stored_settings, stored_settings
from gan_tf.data.changes import describe_changes
from gan_tf.errors import UsageError
from gan_tf.io.content import reason_of
from gan_tf.io.files import exists, list_folder, naming, printable, raise_fault, remove_parts, write_atomically
from gan_tf.io.json_text import json_text
from gan_tf.io.locks import take_lock
from gan_tf.runs import files

FORMAT = 1  # of config.json
CHECKPOINT = re.compile(r"ckpt-(\d{12})")  # name of a checkpoint without its suffix
# Name of a checkpoint's file. TensorFlow writes into other files and into a folder ckpt-N_temp, then renames.
CHECKPOINT_FILE = re.compile(CHECKPOINT.pattern + r"(\.(index|data-\d{5}-of-\d{5})(\.tempstate\d+)?|_temp)")
GRID = re.compile(r"(?:samples|copies|phases)-(\d{9,15})\.png")
SNAPSHOT = re.compile(r"generator-\d{9,15}\.npz")
IMAGE_COUNT = re.compile(r"[0-9]{1,15}")
# Files that are written under another name first, and left there by a kill.
WRITTEN = (
    rf"(config|environment|images)\.json|stats\.jsonl|report\.html|generator\.npz|{GRID.pattern}|{SNAPSHOT.pattern}"
)


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
        self.images = self.folder / "images.json"
        self._config = self.folder / "config.json"
        self._environment = self.folder / "environment.json"
        self._lock_path = self.folder / "lock"
        self._lock, self._is_locked = None, False

    # Folder and lock

    def exists(self) -> bool:
        """Returns True if a run was started here."""
        return exists(self._config)

    def create(self, argument="--checkpoints", writes=True) -> bool:
        """Creates the folders and locks the run for this process.

        Args:
            argument: the flag that error messages name.
            writes: False only raises the errors, and locks an existing run.

        Returns:
            False if the run is not locked: the file system has no locks, or there is no run yet.

        Raises:
            UsageError: another process has the lock; the folder cannot be written, has files that are not of a run, or
                a link leads out of it.
        """
        folders = self.state, self.samples, self.snapshots, self.best.parent
        for path in (*folders, self.stats, self._lock_path):
            self.inside(path)
        try:
            if not self.exists():
                self._refuse_other_files(folders)
            for folder in folders:
                existing = next(path for path in (folder, *folder.parents) if path.exists())
                if not existing.is_dir():
                    raise NotADirectoryError(errno.ENOTDIR, f"{existing} is not a folder")
                if not os.access(existing, os.W_OK | os.X_OK):
                    raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
                if writes:
                    folder.mkdir(parents=True, exist_ok=True)
            if self._lock is None and (writes or self._lock_path.exists()):
                self._lock = open(self._lock_path, "ab")  # noqa: SIM115 open until the process ends
                self._is_locked = take_lock(self._lock)
            for folder in (self.folder, *folders) if writes else ():
                remove_parts(folder, WRITTEN)
        except BlockingIOError as error:
            self.close()
            raise UsageError(
                f"--run {self.folder.name}: another process trains in {self.folder}; stop it, or choose another --run"
            ) from error
        except OSError as error:
            self.close()
            raise_fault(error, self.folder)
            raise UsageError(
                f"{argument}: cannot write the run folder {self.folder} ({error.strerror}); choose another"
            ) from error
        return self._is_locked

    def _refuse_other_files(self, folders):
        """Raises UsageError if there are files that a new run would replace, or mix with its own."""
        found = [path for folder in folders if folder.is_dir() for path in folder.iterdir()]
        found += [path for path in (self.stats, self.report, self._environment) if path.exists()]
        if found:
            raise UsageError(
                f"--run {self.folder.name}: {printable(found[0])} is in the way, and {self.folder} is not a run (it "
                "has no config.json); restore its config.json, or choose another --run"
            )

    def close(self):
        """Releases the lock."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def evaluation_folder(self, images_seen: int) -> Path:
        """Returns the folder for scores of the weights at `images_seen`; raises as `inside`."""
        return self.inside(self.evaluations / f"{images_seen:09d}")

    def _contains(self, path) -> bool:
        """Returns True if `path`, with links resolved, is in the run folder, which may be a link itself."""
        return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(self.folder))

    def inside(self, path) -> Path:
        """Returns the path of a file or folder in the run. Raises UsageError if a link leads it out of the run."""
        if not self._contains(path):
            raise UsageError(
                f"{path} leads out of the run folder, to {printable(os.path.realpath(path))}; remove that link (only "
                "the run folder as a whole may be one)"
            )
        return path

    # Settings

    def read_settings(self):
        """Returns (TrainConfig, data dict). Raises UsageError if there is no run here, or config.json is damaged.

        The data dict has "fingerprint", "images", "class_names" and "class_counts" (images of each class), and for a
        converted run also "converted_from".
        """
        where = str(self._config)
        try:
            stored = files.read_json(self._config)
            if not all(isinstance(stored.get(name), dict) for name in ("settings", "data")):
                raise ValueError("no settings or data")
        except (FileNotFoundError, NotADirectoryError) as error:
            raise UsageError(
                f"{self.folder} is no run folder (it has no config.json); give one such as checkpoints/demo"
            ) from error
        except (OSError, ValueError) as error:
            raise _unreadable(self._config, error, "restore it from a backup, or train another run") from error
        if stored.get("format", FORMAT) != FORMAT:
            raise UsageError(
                f"{where} has the format {stored['format']!r:.40}; use the version of gan_tf that wrote it"
            )
        files.check_data(stored["data"], where)
        return from_stored_settings(stored["settings"], where), stored["data"]

    def write_settings(self, config, data):
        """Writes config.json: the TrainConfig, and the data dict that identifies the training images."""
        files.write_json(self._config, {"format": FORMAT, "settings": stored_settings(config), "data": data})

    def describe_changes(self, count, image_set) -> str:
        """Returns what differs between an ImageSet and the `count` images that the run was started with.

        Only numbers for runs of earlier versions, and if images.json is damaged.
        """
        unreadable = image_set.report.unreadable
        if before := files.read_images(self.images):
            return describe_changes(before, image_set.contents, unreadable)
        name = next(iter(unreadable), None)
        failed = f", {len(unreadable)} not readable, such as {name} ({unreadable[name]})" if unreadable else ""
        return f"{count} images then, {len(image_set.images)} now{failed}"

    def write_environment(self, environment):
        """Writes environment.json: versions and devices of this start."""
        files.write_json(self._environment, environment)

    def read_environment(self) -> dict:
        """Returns the versions and devices of the last start, or {}. Raises UsageError if the file is damaged."""
        try:
            return files.read_json(self._environment)
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise _unreadable(self._environment, error, "the next start of the run replaces it") from error

    # Records

    def log(self, images_seen: int, kind: str, values: dict):
        """Appends one record to stats.jsonl."""
        with open(self.stats, "a", encoding="utf-8") as file:
            file.write(json_text({"images_seen": images_seen, "kind": kind, **values}) + "\n")

    def records(self) -> list[dict]:
        """Returns all records. Lines that a kill or a full disk cut short are left out."""
        records = []
        with naming(self.stats):
            lines = self.stats.read_bytes().split(b"\n") if self.stats.is_file() else ()
        for line in lines:
            with contextlib.suppress(ValueError, RecursionError):  # RecursionError: nested brackets
                record = json.loads(line)
                if files.has_image_count(record):
                    records.append(record)
        return records

    def trained_images(self) -> int:
        """Returns the largest image count of all records and checkpoints, damaged checkpoints included."""
        counts = [record["images_seen"] for record in self.records()] + [seen for seen, _ in self.checkpoints()]
        return max(counts, default=0)

    def cut(self, images_seen: int):
        """Removes records and grids after `images_seen`: a continued run writes them again."""
        kept = [record for record in self.records() if record["images_seen"] <= images_seen]
        write_atomically(self.stats, "".join(json_text(record) + "\n" for record in kept).encode())
        for path in list_folder(self.samples, "*.png"):
            if (match := GRID.fullmatch(path.name)) and int(match[1]) > images_seen:
                path.unlink()

    # Sample grids

    def grid_path(self, images_seen: int, kind: str = "samples") -> Path:
        """Returns the path of a grid, such as samples/samples-000012000.png."""
        return self.samples / f"{kind}-{images_seen:09d}.png"

    def grids(self, kind: str = "samples") -> list[tuple[int, Path]]:
        """Returns (image count, path) of every grid of a kind, oldest first.

        Links that lead out of the run folder are left out, so that the report shows no other images of the user.
        """
        paths = [(GRID.fullmatch(path.name), path) for path in list_folder(self.samples, f"{glob.escape(kind)}-*.png")]
        return sorted((int(match[1]), path) for match, path in paths if match and self._contains(path))

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
        matches = [(CHECKPOINT.fullmatch(path.stem), path) for path in list_folder(self.state, "ckpt-*.index")]
        return sorted(((int(match[1]), path.with_suffix("")) for match, path in matches if match), reverse=True)

    def remove_checkpoints(self, prefixes=()):
        """Removes checkpoints, and files of interrupted writes: those without an index, and temporary folders.

        Index files are removed first, so that a half removed checkpoint is never read.
        """
        for prefix in prefixes:
            prefix.with_suffix(".index").unlink(missing_ok=True)
        complete = {prefix.name for _, prefix in self.checkpoints()}
        for path in list_folder(self.state, "ckpt-*"):
            if CHECKPOINT_FILE.fullmatch(path.name) and path.name.split(".")[0] not in complete:
                shutil.rmtree(path) if path.is_dir() else path.unlink()

    def tidy_checkpoints(self, newest: int, keep: int):
        """Removes all but the last `keep` checkpoints up to image `newest`. Later ones, which are damaged, go too."""
        kept = [prefix for seen, prefix in self.checkpoints() if seen <= newest][:keep]
        self.remove_checkpoints([prefix for _, prefix in self.checkpoints() if prefix not in kept])

    # Best weights and snapshots

    def best_meta(self) -> dict | None:
        """Returns the meta dict of the best weights (score, images_seen, perhaps a final score), or None.

        Raises UsageError if the file is damaged.
        """
        return files.read_weights(self.best, with_arrays=False)[1] if exists(self.best) else None

    def best_weights(self):
        """Returns ({attribute path: array}, meta dict) of the best EMA generator.

        Raises UsageError if there is none yet or the file is damaged.
        """
        if not exists(self.best):
            raise UsageError(f"{self.folder} has no best weights yet; train until the first score")
        return files.read_weights(self.best)

    def replace_best(self, weights: dict, meta: dict):
        """Replaces the best weights and their meta dict in one step."""
        files.write_weights(self.best, weights, meta)

    def snapshot_metas(self) -> list[dict]:
        """Returns the meta dicts of all snapshots, oldest first; damaged files are left out."""
        metas = []
        for path in filter(lambda path: SNAPSHOT.fullmatch(path.name), list_folder(self.snapshots, "*.npz")):
            with contextlib.suppress(UsageError):
                metas.append(files.read_weights(path, with_arrays=False)[1])
        return metas

    def snapshot_weights(self, images_seen: int):
        """Returns ({attribute path: array}, meta dict) of one snapshot. Raises UsageError without one."""
        path = self._snapshot(images_seen)
        if not exists(path):
            counts = ", ".join(str(meta["images_seen"]) for meta in self.snapshot_metas()) or "none"
            raise UsageError(
                f"--which {images_seen}: {self.folder} has no snapshot of that many images; it has {counts}"
            )
        return files.read_weights(path)

    def keep_snapshot(self, weights: dict, meta: dict):
        """Writes the weights of `meta["images_seen"]` as a snapshot."""
        files.write_weights(self._snapshot(meta["images_seen"]), weights, meta)

    def remove_snapshot(self, images_seen: int):
        """Removes one snapshot, if it exists."""
        self._snapshot(images_seen).unlink(missing_ok=True)

    def _snapshot(self, images_seen):
        return self.snapshots / f"generator-{images_seen:09d}.npz"


def _unreadable(path, error, remedy):
    """Returns the UsageError for a JSON file that `error` prevents from being read; raises that of a failing disk."""
    problem = "cannot be read" if isinstance(error, OSError) else "is damaged"
    return UsageError(f"{path} {problem} ({reason_of(error, path)}); {remedy}")
