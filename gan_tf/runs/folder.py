"""The run folder: the only file that knows its file names.

    config.json       settings, and the fingerprint of the data
    environment.json  versions and devices of the last start
    stats.jsonl       one record a line: {"images_seen", "kind": "train" | "epoch" | "change" | "rollback", ...}
    events.*          the same for TensorBoard
    samples/          grids by image count
    state/            checkpoints: everything needed to continue
    best/             the averaged generator with the best score, its score and the protocol, in one file
    snapshots/        the averaged generators with the best scores so far, each with its score and the protocol
    workers/          signs of life of several workers, while they train
    evaluations/      what `gan-tf evaluate` found, by the image count of the weights
    report.html       scores, samples and copy check, for a browser

A file is replaced by writing a new one beside it and renaming, so that a kill at any moment leaves one of the two.
"""

import contextlib
import json
import os
import re
import shlex
import shutil
from pathlib import Path

from gan_tf.config import settings as configuration
from gan_tf.errors import UsageError
from gan_tf.io.files import LOCK_IS_HELD, printable, read_lines, take_lock, write_atomically
from gan_tf.runs.run_files import NOT_JSON, exists, read_json, read_meta, read_npz, tells_images, write_npz

FORMAT = 1
MOST_DIGITS = 16  # of an image count in a file's name
CHECKPOINT = re.compile(r"ckpt-(\d{12})")  # what our checkpoints are called, without suffix
# Bytes of stats.jsonl. An epoch writes 20 records of losses, 0.3 KB each, and a score of 1.2 KB: three weeks at 100
# images a second, in epochs of 10,000, are 380,000 records in 140 MB.
MOST_RECORDS = 256 << 20
MOST_LINE = 64 << 10  # bytes of one record
OWN_FILE = re.compile(CHECKPOINT.pattern + r"(\..*|_temp)")  # TensorFlow writes into a folder `_temp`, then renames


class Run:
    """One run folder. Opening it does not create it; `create` does."""

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

    def workers_folder(self) -> Path:
        """Where several workers leave their signs of life.

        Raises:
            UsageError: it leads out of the run folder.
        """
        folder = self.folder / "workers"
        self._refuse_links_out(folder)
        return folder

    # Settings

    def exists(self) -> bool:
        """True if a run was started here.

        Raises:
            UsageError: the folder cannot be read.
        """
        return exists(self._config)

    def create(self, argument="--checkpoints"):
        """Makes the folders and locks the run for this process. `argument` is what a message blames for their place.

        Raises:
            UsageError: another process trains here, or the folder cannot be written, or not locked, or leads elsewhere.
        """
        self._refuse_links_out(*self._written)
        try:
            for folder in (self.state, self.samples, self.snapshots, self.best.parent):
                folder.mkdir(parents=True, exist_ok=True)
            self._lock = open(self.folder / "lock", "w")  # noqa: SIM115 held until the process ends
            self._take_lock(argument)
            for part in self.folder.rglob("*.part"):  # what a killed process was writing
                part.unlink(missing_ok=True)
        except OSError as error:
            self.close()
            raise UsageError(
                f"{argument}: cannot write the run folder {self.folder} ({error.strerror}); choose another"
            ) from error

    @property
    def _written(self):
        """What training writes into, but for files that a rename replaces."""
        return self.state, self.samples, self.snapshots, self.best.parent, self.stats, self.folder / "lock"

    def _refuse_links_out(self, *places):
        """Refuses places that lead out of the run folder, as a link in a stranger's may: we would write where it says.

        Raises:
            UsageError: one does.
        """
        home = Path(os.path.realpath(self.folder))  # the folder itself may be a link, which the user gave
        for place in places:
            target = Path(os.path.realpath(place))
            if not target.is_relative_to(home):
                raise UsageError(
                    f"{place} leads out of the run folder, to {printable(target)}; remove that link (only the run "
                    "folder as a whole may be one)"
                )

    def _take_lock(self, argument):
        try:
            take_lock(self._lock, wait=False)
        except OSError as error:
            self.close()
            if error.errno in LOCK_IS_HELD:
                raise UsageError(
                    f"--run {self.folder.name}: another process trains in {self.folder}; stop it, or give another --run"
                ) from error
            raise UsageError(
                f"{argument}: the file system of {self.folder} does not let files be locked ({error.strerror}), "
                "which keeps two processes out of one run; choose a folder on another, or have locks enabled there"
            ) from error

    def close(self):
        """Gives the lock back."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def read_settings(self):
        """Returns (TrainConfig, data dict).

        The data dict has "fingerprint", "images", "class_names" and "class_counts" (images of each class), that of a
        converted run also "converted_from".

        Raises:
            UsageError: no run here, or its config.json is damaged.
        """
        where = str(self._config)
        try:
            stored = read_json(self._config)
            settings, data = stored["settings"], stored["data"]
            if not (isinstance(settings, dict) and isinstance(data, dict)):
                raise TypeError("no dicts")
            if stored.get("format", FORMAT) != FORMAT:
                raise UsageError(f"{where} has the format {stored['format']!r:.40}; it was written by another version")
            configuration.check_data(data, where)
            return configuration.from_stored_settings(settings, where), data
        except UsageError:
            raise
        except FileNotFoundError as error:
            raise UsageError(
                f"{self.folder} is no run folder (it has no config.json); give one such as checkpoints/demo"
            ) from error
        except (OSError, *NOT_JSON) as error:
            raise UsageError(f"{where} is damaged; restore it, or start another run with --run NAME") from error

    def write_settings(self, config, data):
        """Stores the settings and what identifies the data."""
        stored = {"format": FORMAT, "settings": configuration.stored_settings(config), "data": data}
        write_atomically(self._config, (json.dumps(stored, indent=2) + "\n").encode())

    def write_environment(self, environment):
        """Stores versions and devices of this start."""
        write_atomically(self._environment, (json.dumps(environment, indent=2) + "\n").encode())

    def read_environment(self) -> dict:
        """Versions and devices of the last start; empty if none was stored.

        Raises:
            UsageError: environment.json is damaged.
        """
        try:
            return dict(read_json(self._environment))
        except FileNotFoundError:
            return {}
        except (OSError, *NOT_JSON) as error:
            raise UsageError(f"{self._environment} is damaged; the next start of the run writes it anew") from error

    # Records

    def log(self, images_seen: int, kind: str, values: dict):
        """Appends one record to stats.jsonl."""
        record = {"images_seen": images_seen, "kind": kind, **values}
        with open(self.stats, "a") as file:
            file.write(json.dumps(record) + "\n")

    def records(self) -> list[dict]:
        """All whole records; a line that a kill or a full disk cut short is left out, and one too long for a record.

        Raises:
            UsageError: the file is larger than any run makes it.
        """
        if not self.stats.is_file():
            return []
        if (size := self.stats.stat().st_size) > MOST_RECORDS:
            raise UsageError(
                f"{self.stats} is damaged: it has {size >> 20:,} MB, more than the {MOST_RECORDS >> 20} of a run of "
                "weeks; remove its oldest lines, or restore it"
            )
        found = []
        with open(self.stats, "rb") as file:
            for line in read_lines(file, MOST_LINE):
                with contextlib.suppress(*NOT_JSON):
                    record = json.loads(line.decode(errors="replace"))
                    if tells_images(record):
                        found.append(record)
        return found

    def trained_images(self) -> int:
        """Most images that a record or a checkpoint, whole or damaged, tells of."""
        counts = [record["images_seen"] for record in self.records()] + [seen for seen, _ in self.checkpoints()]
        return max(counts, default=0)

    def cut(self, images_seen: int):
        """Forgets records, events and grids past `images_seen`: training will write them again."""
        kept = [record for record in self.records() if record["images_seen"] <= images_seen]
        write_atomically(self.stats, "".join(json.dumps(record) + "\n" for record in kept).encode())
        for path in self.samples.glob("*.png"):
            if (seen := _images_of(path)) is not None and seen > images_seen:
                path.unlink()

    def grid_path(self, images_seen: int, kind: str = "samples") -> Path:
        """Where the grid of one moment goes, such as samples/samples-000012000.png."""
        return self.samples / f"{kind}-{images_seen:09d}.png"

    def newest_grid(self, kind: str = "samples") -> Path | None:
        """The newest grid of a kind, or None."""
        grids = sorted(self.samples.glob(f"{kind}-*.png"))
        return grids[-1] if grids else None

    def grids(self, kind: str = "samples") -> list[tuple[int, Path]]:
        """(image count, path) of every grid of a kind, oldest first.

        Links that lead out of the run folder are left out: a picture of the user's would be shown as the run's.
        """
        home = Path(os.path.realpath(self.folder))
        paths = [path for path in self.samples.glob(f"{kind}-*.png") if _images_of(path) is not None]
        return sorted((_images_of(path), path) for path in paths if Path(os.path.realpath(path)).is_relative_to(home))

    # Checkpoints

    def checkpoint_prefix(self, images_seen: int) -> Path:
        """Prefix of one checkpoint's files."""
        return self.state / f"ckpt-{images_seen:012d}"

    def checkpoints(self) -> list[tuple[int, Path]]:
        """(image count, prefix) of every checkpoint that has an index file, newest first."""
        matches = [(CHECKPOINT.fullmatch(path.stem), path) for path in self.state.glob("ckpt-*.index")]
        return sorted(((int(match[1]), path.with_suffix("")) for match, path in matches if match), reverse=True)

    def remove_checkpoint(self, prefix: Path):
        """Removes one checkpoint; its index goes first, so that half of one is never taken for whole."""
        prefix.with_suffix(".index").unlink(missing_ok=True)
        for path in self.state.glob(prefix.name + ".data-*"):
            path.unlink()

    def tidy_checkpoints(self, newest: int, keep: int):
        """Keeps the checkpoint just written, at `newest` images, and those before it, `keep` in all.

        One that claims more images was found damaged when the run was continued: kept as the newest, it would push
        out the good ones.
        """
        for seen, prefix in self.checkpoints():
            if seen > newest:
                self.remove_checkpoint(prefix)
        for _, prefix in self.checkpoints()[keep:]:
            self.remove_checkpoint(prefix)
        self.remove_leftovers()

    def remove_leftovers(self):
        """Removes what interrupted writes left: data files without an index, TensorFlow's temporary folders."""
        whole = {prefix.name for _, prefix in self.checkpoints()}
        for path in self.state.glob("ckpt-*"):
            if OWN_FILE.fullmatch(path.name) and path.name.split(".")[0] not in whole:
                if path.is_dir():
                    shutil.rmtree(path)
                else:
                    path.unlink()

    # Evaluations

    def evaluation_folder(self, images_seen: int) -> Path:
        """Where `gan-tf evaluate` writes what it finds of the weights of one moment.

        Raises:
            UsageError: it is outside of the run folder.
        """
        folder = self.evaluations / f"{images_seen:09d}"
        self._refuse_links_out(folder)
        return folder

    # Best weights

    def best_meta(self) -> dict | None:
        """What is stored beside the best weights: score, images_seen, perhaps a last score; None if there are none."""
        if not exists(self.best):
            return None
        return read_meta(self.best)

    def best_weights(self, instead="use --which last"):
        """Returns ({attribute path: array}, meta) of the best averaged generator. `instead` is what a message offers.

        Raises:
            UsageError: there is none yet, or the file is damaged.
        """
        if not exists(self.best):
            raise UsageError(f"{self.folder} has no best weights yet; train until the first score, or {instead}")
        return read_npz(self.best, instead)

    def replace_best(self, weights: dict, meta: dict):
        """Replaces the best weights, their score and protocol in one rename."""
        write_npz(self.best, weights, meta)

    def snapshot_metas(self) -> list[dict]:
        """What is stored beside the weights of each snapshot, oldest first; damaged ones are left out."""
        found = []
        for path in sorted(self.snapshots.glob("*.npz")):
            with contextlib.suppress(UsageError):
                found.append(read_meta(path))
        return [meta for meta in found if tells_images(meta)]

    def snapshot_weights(self, images_seen: int):
        """Returns ({attribute path: array}, meta) of one snapshot.

        Raises:
            UsageError: there is none of that moment, or the file is damaged.
        """
        path = self._snapshot(images_seen)
        if not exists(path):
            kept = ", ".join(str(meta["images_seen"]) for meta in self.snapshot_metas()) or "none"
            raise UsageError(f"--which {images_seen}: {self.folder} has no snapshot of that many images; it has {kept}")
        return read_npz(path)

    def keep_snapshot(self, weights: dict, meta: dict):
        """Stores the weights of one moment, with their score."""
        write_npz(self._snapshot(meta["images_seen"]), weights, meta)

    def remove_snapshot(self, images_seen: int):
        """Forgets the weights of one moment."""
        self._snapshot(images_seen).unlink(missing_ok=True)

    def _snapshot(self, images_seen):
        return self.snapshots / f"generator-{images_seen:09d}.npz"


def _images_of(path):
    digits = path.stem.split("-")[-1]
    return int(digits) if digits.isdecimal() and len(digits) < MOST_DIGITS else None


def refuse_converted(data: dict, folder):
    """Raises UsageError if a run was converted from a file of another program: it has no images to train on."""
    if origin := data.get("converted_from"):
        raise UsageError(
            f"--run: {folder} was converted from {origin}, and has no images of its own to be continued on; start a "
            f"run from it: --init-from {shlex.quote(str(folder))} --run NAME"
        )


def describe_change(before, after) -> list[str]:
    """One line for each run field that differs between two starts."""
    pairs = configuration.changed(before, after, "run")
    return [f"{configuration.flag(name)}: {old} -> {new}" for name, (old, new) in pairs.items()]


def refuse_identity_change(before, after, folder):
    """Raises UsageError if `after` would make another run out of the one in `folder`."""
    pairs = configuration.changed(before, after, "identity")
    if "classes" in pairs:  # which is no flag: it follows from --conditional and the images
        old, new = pairs.pop("classes")
        if "conditional" not in pairs:
            raise UsageError(
                f"--dataset has {new} classes, and had {old} when the run {folder} was started; restore them, or give "
                "--run NAME to start another run"
            )
    if pairs:
        changes = ", ".join(
            f"{configuration.flag(name)} is {new!r} and was {old!r}" for name, (old, new) in pairs.items()
        )
        remedies = " ".join(configuration.as_argument(name, old) for name, (old, _) in pairs.items())
        raise UsageError(f"{changes}: give {remedies} to continue the run {folder}, or --run NAME to start another")


def refuse_data_change(before: dict, after: dict, folder):
    """Raises UsageError if the images are not those that the run was started with."""
    if before["fingerprint"] != after["fingerprint"]:
        raise UsageError(
            f"--dataset: its images changed since the run {folder} was started ({before['images']} images, fingerprint "
            f"{before['fingerprint'][:12]}, now {after['images']}, {after['fingerprint'][:12]}); "
            "restore them, or give --run NAME to start another run"
        )
