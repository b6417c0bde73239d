"""Workers: connects the worker processes of a run, and shares values and decisions between them.

Every worker runs the same loop on its share of each batch, and `tf.distribute` sums their gradients. A decision on a
clock, a file or a score that changes their steps is made by the chief, worker 0, and broadcast, so that all take the
same branch; a signal counts whichever worker receives it. Only the chief writes the run folder. If one worker is lost,
all end (`liveness.py`) and must be started again.
"""

import contextlib
import hashlib
import re
import secrets
import signal
import sys
import time

import tensorflow as tf
from tensorflow.compiler.xla.tsl.protobuf import coordination_config_pb2
from tensorflow.python.eager import context

import gan_tf
from gan_tf.config.settings import stored_settings
from gan_tf.config.validation import flag
from gan_tf.distributed import devices
from gan_tf.distributed.cluster_spec import read_cluster_spec
from gan_tf.distributed.liveness import StopSignals, WorkerMonitor, end_process, first_line
from gan_tf.errors import UsageError

FOLDER_SECONDS = 60.0  # within which any shared file system shows a new file
OTHER_SIGNAL = "another worker's signal"
LOCAL_SETTINGS = ("dataset", "weights", "memory_gb")  # may differ between workers


class Workers:
    """The worker processes of this run; a single process is a group of one.

    Args:
        strategy: tf.distribute.Strategy.
        reason: why that strategy was chosen, for the log.
        signals: StopSignals of this process.
        spec: ClusterSpec of connected workers; None for a single process.
    """

    def __init__(self, strategy, reason, signals=None, spec=None):
        self.strategy, self.reason, self.signals = strategy, reason, signals or StopSignals()
        self.index, self.count = (spec.index, len(spec.addresses)) if spec else (0, 1)
        self._monitor = WorkerMonitor(spec, self.signals) if spec else None

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
        # The first element is for an empty call, which is a collective operation too.
        return self._sum([1.0, *values] if self.is_chief else [0.0] * (1 + len(values)))[1:]

    def sync_flags(self, out_of_time) -> tuple[str | None, bool]:
        """Returns the same decision on all workers: (a signal that any worker received, the chief's `out_of_time`).

        The signal is named on the workers that received it, `OTHER_SIGNAL` on the others, and None without one.
        """
        signal_name = self.stop_requested()
        if self.count == 1:
            return signal_name, bool(out_of_time)
        stops, ends = self._sum([signal_name is not None, self.is_chief and out_of_time])
        return (signal_name or OTHER_SIGNAL) if stops else None, bool(ends)

    def require_equal(self, name, value, fix, shown=None):
        """Raises UsageError, on every worker, unless the text `value` of the flag `name` is the same on all.

        The error contains `shown` (default: `value`), and `fix`, how to correct it.
        """
        if self.count == 1:
            return
        digest = int(hashlib.sha256(value.encode()).hexdigest()[:12], 16)  # 48 bits: exact in float64
        [digest_of_chief] = self.broadcast(digest)
        [differing] = self._sum([digest != digest_of_chief])
        if differing:
            self.end()
            raise UsageError(f"{name} is {shown or value} on worker {self.index}, and differs between workers; {fix}")

    def require_shared_folder(self, folder, seconds):
        """Ends all workers unless a file that the chief writes to `folder` appears on all within `seconds`.

        Raises:
            UsageError: on every worker, if the chief cannot write the folder.
        """
        token, problem, created = secrets.randbits(32), "", [folder]
        if self.is_chief:
            try:
                created += [parent for parent in folder.parents if not parent.exists()]
                folder.mkdir(parents=True, exist_ok=True)
                (folder / str(token)).touch()
            except OSError as error:  # reads no file: it is written
                problem = f" ({error.strerror})"
        token, failed = self.broadcast(token, bool(problem))
        if failed:
            self.end()
            raise UsageError(f"--checkpoints: cannot write the run folder {folder.parent}{problem}; choose another")
        path, deadline = folder / str(int(token)), time.monotonic() + seconds
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        missing = self._sum([index == self.index and not path.exists() for index in range(self.count)])
        if self.is_chief:
            with contextlib.suppress(OSError):  # reads no file: not empty, it has other files
                for file in folder.iterdir():
                    if file.name.isdigit():  # also of a killed process
                        file.unlink()
                for parent in created:  # the deepest first
                    parent.rmdir()
        if any(missing):
            workers = ", ".join(f"worker {index}" for index, is_missing in enumerate(missing) if is_missing)
            end_process(f"{workers} cannot see a new file in {folder}; put it on a file system that all workers share")

    def stop_requested(self) -> str | None:
        """Returns the signal that this worker received, or `OTHER_SIGNAL` if another worker announced one."""
        announced = self._monitor and self._monitor.stop_announced
        return self.signals.received or (OTHER_SIGNAL if announced else None)

    def end(self):
        """Ends the monitoring of other workers after the run. All workers must call this."""
        if self._monitor:
            self._monitor.end_together()

    def _sum(self, values) -> list[float]:
        """Returns the sums of [K] numbers over the workers."""
        return self._all_reduce(tf.constant([float(value) for value in values], tf.float64)).numpy().tolist()

    @tf.function(autograph=False)
    def _all_reduce(self, values):
        replicas = self.strategy.num_replicas_in_sync // self.count  # of each worker, with equal values

        def share():
            on_replica = tf.identity(values)  # on this replica's device
            return tf.distribute.get_replica_context().all_reduce("sum", on_replica) / replicas

        return self.strategy.experimental_local_results(self.strategy.run(share))[0]


def start_workers(config, folder, signals, log=print) -> Workers:
    """Connects to the other workers, if there are any, and creates the strategy for `--strategy`.

    Ends the process with exit code `LOST_WORKER` if a worker does not start within `--wait-seconds`, or is lost later.

    Args:
        config: TrainConfig.
        folder: temporary folder in the run folder, to check that all workers share it.
        signals: StopSignals; a signal is announced to the other workers.

    Raises:
        UsageError: the settings differ between workers or need a single process, the folder cannot be written, or
            `devices.choose_strategy` raises it.
    """
    spec = read_cluster_spec() if config.strategy in ("auto", "multi_worker") else None
    if spec is None:
        return Workers(*devices.choose_strategy(config.strategy), signals)
    if config.micro_batch == "auto":
        raise UsageError("--micro-batch is auto, which needs a single process; give a number with several workers")
    count = len(spec.addresses)
    log(f"worker {spec.index} of {count}: waiting for the others, at most {config.wait_seconds:g} s")
    workers = Workers(connect(spec, config.wait_seconds), f"{count} workers", signals, spec)
    # The versions first: another version may have other settings.
    values = {"the version of gan_tf": gan_tf.__version__, "the version of TensorFlow": tf.__version__}
    values |= {"--run": config.run_name, "--dry-run": config.dry_run}
    values |= {flag(name): value for name, value in stored_settings(config).items() if name not in LOCAL_SETTINGS}
    for name, value in values.items():
        workers.require_equal(name, str(value), "give all workers the same command and the same versions")
    workers.require_shared_folder(folder, min(config.wait_seconds, FOLDER_SECONDS))
    return workers


def connect(spec, seconds):
    """Returns a MultiWorkerMirroredStrategy of all workers, once they have started.

    Ends the process with exit code `LOST_WORKER` if one is missing after `seconds`.

    By default, worker 0 of TensorFlow 2.21 waits without a limit for missing workers. Registration at a barrier has a
    timeout, and its error names them. TensorFlow waits with the GIL held, so no Python signal handler runs: meanwhile
    SIGINT has its default action. TensorFlow then installs a SIGTERM handler that ignores the signal; the previous one
    is restored.
    """
    service = context.context()
    service.configure_coordination_service(
        "standalone",
        service_leader=spec.task_names[0],
        cluster_register_timeout_in_ms=int(1000 * seconds),
        coordinated_jobs=[coordination_config_pb2.CoordinatedJob(name=name, num_tasks=n) for name, n in spec.jobs],
    )
    service.coordination_service.cluster_register_with_barrier = True
    sys.stdout.flush()
    handlers = {number: signal.getsignal(number) for number in StopSignals.HANDLED}
    if handlers[signal.SIGINT] is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except (tf.errors.OpError, RuntimeError) as error:
        end_process(connection_problem(error, spec, seconds))
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def connection_problem(error, spec, seconds) -> str:
    """Returns the reason why the workers did not connect, from an error of TensorFlow."""
    if isinstance(error, tf.errors.UnknownError):  # "Could not start gRPC server"
        return f"this worker cannot listen on {spec.addresses[spec.index]}; stop the program that uses the port"
    if not isinstance(error, (tf.errors.DeadlineExceededError, tf.errors.UnavailableError)):
        return f"the workers did not connect ({first_line(error)})"
    _, _, names = str(error).partition("timed out task names:")
    missing = set(re.findall(r"/job:\w+/replica:\d+/task:\d+", names)) or {spec.task_names[0]}
    workers = [index for index, name in enumerate(spec.task_names) if name in missing]
    described = ", ".join(f"worker {index} at {spec.addresses[index]}" for index in workers)
    return f"{described} did not start within {seconds:g} s; check its log, and that its port can be reached"
