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
from gan_tf.distributed.stop_signals import StopSignals
from gan_tf.distributed.watchdog import ends_process_after
from gan_tf.errors import UsageError

CONNECT_SECONDS = 40.0  # TensorFlow takes one or two to connect workers that are all there
FOLDER_SECONDS = 60.0  # after which any shared file system shows a new file
OTHER_SIGNAL = "another worker's signal"
SAME = "same"  # key of what must be the same on all workers
# What may differ from worker to worker: where things lie.
OF_ONE_WORKER = ("dataset", "weights", "memory_gb")
GONE = (tf.errors.UnavailableError, tf.errors.AbortedError, tf.errors.CancelledError, tf.errors.DeadlineExceededError)
OWN = (tf.errors.InvalidArgumentError, tf.errors.ResourceExhaustedError, tf.errors.UnimplementedError)


class Workers:
    """The worker processes of this run; a single process is a group of one.

    Args:
        strategy: tf.distribute.Strategy.
        reason: why that strategy was chosen, for the log.
        signals: StopSignals of this process.
        index, count: number of this worker, and of all workers.
        heartbeats: Heartbeats; None for a single process.
    """

    def __init__(self, strategy, reason, signals=None, index=0, count=1, heartbeats=None):
        self.strategy, self.reason, self.signals = strategy, reason, signals or StopSignals()
        self.index, self.count, self._heartbeats = index, count, heartbeats
        self._sum = tf.function(self._sum_over_workers, autograph=False)

    @property
    def is_chief(self) -> bool:
        """True for worker 0, which decides and writes; True for a single process."""
        return self.index == 0

    def log(self, text):
        """Prints a line on the chief only."""
        if self.is_chief:
            print(text, flush=True)

    def broadcast(self, *values) -> list[float]:
        """Returns the chief's values on every worker. All must call it together; an empty call acts as a barrier."""
        if self.count == 1:
            return [float(value) for value in values]
        shared = values if self.is_chief else [0.0] * len(values)
        shared = [1.0, *map(float, shared)]  # never empty, so that an empty broadcast is a collective operation too
        return [float(value) for value in self._sum(tf.constant(shared, tf.float64))[1:]]

    def sync_flags(self, out_of_time) -> tuple[str | None, bool]:
        """Returns the same decision on all workers: (a signal that any worker received, the chief's `out_of_time`).

        The signal is named on the workers that received it, `OTHER_SIGNAL` on the others, and None without one.
        """
        signal = self.stop_requested()
        if self.count == 1:
            return signal, bool(out_of_time)
        flags = [float(signal is not None), float(self.is_chief and bool(out_of_time))]
        stops, ends = self._sum(tf.constant(flags, tf.float64))
        return (signal or OTHER_SIGNAL) if stops > 0 else None, bool(ends > 0)

    def require_equal(self, name, value, fix, shown=None):
        """Raises UsageError, on every worker, unless all workers have the same value.

        Args:
            name, value: a flag and its value as text.
            fix: how to correct it.
            shown: the value as the message shows it.
        """
        if self.count == 1:
            return
        digest = int(hashlib.sha256(value.encode()).hexdigest()[:12], 16)  # 48 bits: exact in float64
        [chief] = self.broadcast(digest)
        if float(self._sum(tf.constant([float(digest != chief)], tf.float64))[0]):
            here = "" if self.is_chief else f" on worker {self.index}"
            raise UsageError(f"{name} is {shown or value}{here}, and differs between the workers; {fix}")

    def stop_requested(self) -> str | None:
        """Returns the signal that this worker received, or `OTHER_SIGNAL` if the heartbeat of another reports one."""
        if self._heartbeats and self._heartbeats.others_stop:
            return self.signals.received or OTHER_SIGNAL
        return self.signals.received

    def end(self):
        """Stops the heartbeats after a run without a fault."""
        if self._heartbeats:
            self._heartbeats.end()

    def _sum_over_workers(self, values):
        """Sums float64 [K] over the workers."""
        per_worker = self.strategy.num_replicas_in_sync // self.count

        def share():
            on_replica = tf.identity(values)  # on this replica's device
            return tf.distribute.get_replica_context().all_reduce("sum", on_replica) / per_worker

        return self.strategy.experimental_local_results(self.strategy.run(share))[0]


def start_workers(config, folder, signals, log=print) -> Workers:
    """Connects to the other workers, if there are any, and creates the strategy for `--strategy`.

    Ends the process with exit code `LOST_WORKER` if a worker does not start within `--wait-seconds`, or stops later.

    Args:
        config: TrainConfig.
        folder: for the heartbeat files, shared by all workers.
        signals: StopSignals; the other workers learn of its signal by the heartbeat.

    Raises:
        UsageError: the workers' settings differ, the folder cannot be written, or see `devices.choose_strategy`.
    """
    place = place_of_environment() if config.strategy in ("auto", "multi_worker") else None
    if place is None:
        return Workers(*devices.choose_strategy(config.strategy), signals)
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
    names = {index: words["name"] for index, words in met.items()}
    beats = Heartbeats(folder, place.index, names, lambda: signals.received is not None)
    beats.start()
    if silent := beats.missing_after(min(config.wait_seconds, FOLDER_SECONDS)):
        names = ", ".join(f"worker {index}" for index in silent)
        end_process(f"{names} left no sign in {folder}; see that this is on a file system that all workers share")
    return Workers(*connected(config.strategy), signals, place.index, count, beats)


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


def is_lost_worker_error(error) -> bool:
    """True if an error of a collective operation says that another worker is gone."""
    words = str(error).lower()
    return isinstance(error, GONE) or (not isinstance(error, OWN) and ("collective" in words or "peer" in words))


def first_line(error) -> str:
    """What an error says, in short."""
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
