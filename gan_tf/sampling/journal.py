"""A file that tells what a job is and how far it has come, so that a job that was killed goes on where it was.

Its first line is what the job is, every other one a part that is done, all of them JSON. A job goes on only if it is
the same in everything that the first line names; whoever wants another one is told what differs.
"""

import json
import os

from gan_tf.errors import UsageError
from gan_tf.io.files import LOCK_IS_HELD, naming_file, printable, take_lock

WORDS = {  # what the user changed, where a key of a job differs
    "seeds": "the seeds (--seeds, --count)",
    "batch_size": "--batch-size",
    "truncation": "--truncation",
    "class": "--class",
    "precision": "--precision",
    "weights": "the weights (--which, or the run has gone on)",
    "versions": "the version of gan_tf or TensorFlow",
    "about": "what was chosen (--best)",
    "ways": "--by",
    "checkpoint": "the discriminator (the run has gone on)",
    "reals": "the real images (--dataset)",
    "network": "Inception's weights (--weights)",
}
FOLLOW = {  # what differs because something else does
    "about": ("seeds", "batch_size"),
    "seeds": ("batch_size",),
    "ways": ("checkpoint", "reals", "network"),
    "weights": ("images_seen", "about"),
}


class Journal:
    """The journal of one job; a context that holds its lock.

    Args:
        path: pathlib.Path of the file.
        job: dict for JSON: all that what is made depends on.
        out: what the user called the place, for messages.
        rest: what has to be deleted to give up an unfinished job, for messages; default the journal.

    Attributes:
        done: what `add` was given before, by this process and killed ones; a part that was cut short is none.

    Raises:
        UsageError: another process holds it, it is none, or it is that of another job.
        OSError: it cannot be written.
    """

    def __init__(self, path, job, out, rest=None):
        self.path, self.job, self.out, self.rest = path, job, out, rest or path
        self.done = []

    def __enter__(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(self.path, "a+b")
        try:
            self._lock()
            self._read()
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(self, *error):
        self._file.close()

    def add(self, part):
        """Notes that a part is done; what it vouches for has to be on the disk."""
        with naming_file(self.path):
            self._file.write(json.dumps(part).encode() + b"\n")
            self._file.flush()
        self.done.append(part)

    def remove(self):
        """Forgets the job: the last step of it."""
        if os.name == "nt":  # where no open file can be removed
            self._file.close()
        self.path.unlink(missing_ok=True)
        self._file.close()

    def _lock(self):
        try:
            take_lock(self._file, wait=False)
        except OSError as error:
            if error.errno in LOCK_IS_HELD:
                raise UsageError(f"--out {self.out}: another process writes there; give another --out") from error
            # Else the file system knows no locks. Two processes in one folder are then the user's to avoid.

    def _read(self):
        """Parts that an earlier process of the same job did; begins anew if not even its first line was whole."""
        self._file.seek(0)
        *lines, rest = self._file.read().split(b"\n")
        if lines:
            self._refuse_another_job(lines[0])
            self.done = [self._parsed(line) for line in lines[1:]]
            self._file.truncate(sum(len(line) + 1 for line in lines))  # without a line that was cut short
            return
        with naming_file(self.path):
            self._file.truncate(0)
            self._file.write(json.dumps(self.job).encode() + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def _parsed(self, line):
        try:
            return json.loads(line)
        except ValueError as error:
            raise UsageError(f"{self.path} is damaged ({printable(error)}); delete {self.rest}") from error

    def _refuse_another_job(self, line):
        before, now = self._parsed(line), json.loads(json.dumps(self.job))
        if before == now:
            return
        keys = {*before, *now} if isinstance(before, dict) else {"job"}
        differ = [key for key in sorted(keys) if not isinstance(before, dict) or before.get(key) != now.get(key)]
        followed = {after for key in differ for after in FOLLOW.get(key, ())}
        shown = [key for key in differ if key not in followed]
        raise UsageError(
            f"--out {self.out} holds an unfinished job of other settings; other is: "
            f"{', '.join(WORDS.get(key, key) for key in shown)}; finish it with the old ones, give another --out, or "
            f"delete {self.rest}"
        )
