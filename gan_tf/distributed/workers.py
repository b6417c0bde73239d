"""The processes of a run on several machines: how they find each other, who decides, and what all agree on.

Every worker runs the same loop on its share of each batch; `tf.distribute` sums their gradients. What is decided by a
clock, a file or a score is decided by the chief, worker 0, and told to the others by a collective operation, so that
all take the same turn. Only the chief writes the run folder. When one is gone the others cannot go on alone; they end
(`heartbeats.end_process`), and all are started again.
"""

import hashlib
import secrets

import tensorflow as tf

import gan_tf
from gan_tf.config import settings as configuration
from gan_tf.distributed import devices
from gan_tf.distributed import rendezvous as roll_call
from gan_tf.distributed.cluster_spec import place_of_environment
from gan_tf.distributed.heartbeats import LOST_WORKER, Heartbeats, end_process
from gan_tf.distributed.watchdog import ends_process_after
from gan_tf.errors import UsageError

CONNECT_SECONDS = 40.0  # TensorFlow takes one or two to connect workers that are all there
FOLDER_SECONDS = 60.0  # after which any shared file system shows a new file
SAME = "same"  # key of what must be the same on all workers
# What may differ from worker to worker: where things lie.
OF_ONE_WORKER = ("dataset", "weights", "memory_gb")
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
OWN = (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError, tf.errors.UnimplementedError)


class Cluster:
    """The workers of this run; one alone is a cluster too.

    Args:
        strategy: tf.distribute.Strategy.
        why: the reason for that strategy.
        index, count: number of this worker, and how many there are.
        beats: Heartbeats; None for one alone.
    """

    def __init__(self, strategy, why, index=0, count=1, beats=None):
        self.strategy, self.why = strategy, why
        self.index, self.count, self.beats = index, count, beats
        self._sum = tf.function(self._summed, autograph=False)

    @property
    def is_chief(self) -> bool:
        """True for the one that decides and writes; True where there is one alone."""
        return self.index == 0

    def log(self, text):
        """Prints a line, once for all workers."""
        if self.is_chief:
            print(text, flush=True)

    def told(self, *values) -> list[float]:
        """The chief's values (floats), on every worker: all must call it together."""
        if self.count == 1:
            return [float(value) for value in values]
        own = values if self.is_chief else [0.0] * len(values)
        own = [1.0, *map(float, own)]  # never empty: to wait for each other is to be told nothing
        return [float(value) for value in self._sum(tf.constant(own, tf.float64))[1:]]

    def turn(self, signal, out_of_time) -> tuple[bool, bool]:
        """(whether a signal came to any worker, whether the chief's time is up): the same on all."""
        if self.count == 1:
            return bool(signal), out_of_time
        flags = [float(signal is not None), float(self.is_chief and out_of_time)]
        signals, ends = self._sum(tf.constant(flags, tf.float64))
        return bool(signals > 0), bool(ends > 0)

    def refuse_difference(self, name, value, remedy, shown=None):
        """Raises UsageError, on every worker alike, unless all have the same value.

        Args:
            name, value: a flag and what it came to, text.
            remedy: what to do.
            shown: the value for people.
        """
        if self.count == 1:
            return
        own = int(hashlib.sha256(value.encode()).hexdigest()[:12], 16)  # a float64 holds it
        [chief] = self.told(own)
        differ = float(self._sum(tf.constant([float(own != chief)], tf.float64))[0])
        if differ:
            here = "" if self.is_chief else f" on worker {self.index}"
            raise UsageError(f"{name} is {shown or value}{here}, and not the same on all workers; {remedy}")

    def listen(self, signals):
        """Lets the others know of a signal that comes to this worker while it waits for them."""
        if self.beats:
            self.beats.is_stopped = signals.has_come

    @property
    def others_stop(self) -> bool:
        """True if another worker has told of a signal."""
        return self.beats is not None and self.beats.others_stop

    def end(self):
        """Takes back this worker's sign of life, at a clean end."""
        if self.beats:
            self.beats.end()

    def _summed(self, values):
        """[K] float64 of every worker, added up over the workers."""
        per_worker = self.strategy.num_replicas_in_sync // self.count

        def share():
            own = tf.identity(values)  # on this replica's device
            return tf.distribute.get_replica_context().all_reduce("sum", own) / per_worker

        return self.strategy.experimental_local_results(self.strategy.run(share))[0]


def start(config, folder, log=print) -> Cluster:
    """Finds the other workers, if there are some, and makes the strategy for `--strategy`.

    A worker that is not there after `--wait-seconds` ends this process with `LOST_WORKER`, and so does one that falls
    silent later.

    Args:
        config: TrainConfig.
        folder: for the workers' signs of life, seen by all.

    Raises:
        UsageError: workers that were given different settings; a folder that cannot be written; see also
            `devices.choose_strategy`.
    """
    place = place_of_environment() if config.strategy in ("auto", "multi_worker") else None
    if place is None:
        return Cluster(*devices.choose_strategy(config.strategy))
    if config.micro_batch == "auto":
        raise UsageError("--micro-batch is auto, which tries out one process alone; give a number with several workers")
    count = len(place.addresses)
    log(f"worker {place.index} of {count}: waiting for the others, at most {config.wait_seconds:g} s")
    words = {"name": secrets.token_hex(4), SAME: settings_of_all(config)}
    try:
        met = roll_call.meet(place, words, config.wait_seconds)
    except roll_call.Missing as missing:
        end_process(str(missing))
    roll_call.refuse_differences(met, SAME)
    beats = Heartbeats(folder, place.index, {index: words["name"] for index, words in met.items()})
    beats.start()
    if silent := beats.missing_after(min(config.wait_seconds, FOLDER_SECONDS)):
        names = ", ".join(f"worker {index}" for index in silent)
        end_process(f"{names} left no sign in {folder}; see that this is on a file system that all workers share")
    return Cluster(*connected(config.strategy), place.index, count, beats)


def connected(name):
    """`devices.choose_strategy`, which connects this worker to the others; ends the process if one is not there."""
    again = "start all workers again: the run continues from its newest checkpoint"
    why = f"gan-tf: the workers were not connected within {CONNECT_SECONDS:g} s; {again}"
    try:
        with ends_process_after(CONNECT_SECONDS, LOST_WORKER, why):
            return devices.choose_strategy(name)
    except (tf.errors.OpError, RuntimeError) as error:
        end_process(f"the workers did not find each other ({first_line(error)})")


def settings_of_all(config) -> dict:
    """{flag or name: value} of what must be the same on all workers."""
    settings = configuration.stored_settings(config)
    named = {configuration.flag(name): value for name, value in settings.items() if name not in OF_ONE_WORKER}
    versions = {"the version of gan_tf": gan_tf.__version__, "the version of TensorFlow": tf.__version__}
    return {**named, "--run": config.run_name, "--dry-run": config.dry_run, **versions}


def is_of_another(error) -> bool:
    """True if an error of a collective operation says that another worker is gone."""
    words = str(error).lower()
    return isinstance(error, GONE) or (not isinstance(error, OWN) and ("collective" in words or "peer" in words))


def first_line(error) -> str:
    """What an error says, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
