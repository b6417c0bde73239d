"""Reads the addresses of all workers from TF_CONFIG or from the variables of a SLURM step."""

import dataclasses
import json
import os

from gan_tf.errors import UsageError
from gan_tf.io.json_text import json_text

TF_CONFIG_FORM = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'


@dataclasses.dataclass(frozen=True)
class ClusterSpec:
    """The workers of a run.

    index: number of this process; worker 0 is the chief.
    addresses: HOST:PORT of each worker.
    jobs: (job name, number of tasks) in TensorFlow's order, which is that of the addresses.
    """

    index: int
    addresses: tuple[str, ...]
    jobs: tuple[tuple[str, int], ...]

    @property
    def task_names(self) -> list[str]:
        """TensorFlow's name of each worker."""
        return [f"/job:{job}/replica:0/task:{index}" for job, count in self.jobs for index in range(count)]


def cluster_source() -> str | None:
    """Returns "TF_CONFIG" if that is set, else "SLURM" in a step of several tasks; None for a single process."""
    if os.environ.get("TF_CONFIG", "").strip() not in ("", "{}"):
        return "TF_CONFIG"
    return "SLURM" if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 else None


def read_cluster_spec() -> ClusterSpec | None:
    """Returns the ClusterSpec that environment variables describe; None for a single worker.

    That of a SLURM step is also written to TF_CONFIG, which TensorFlow reads.

    Raises:
        UsageError: invalid TF_CONFIG or SLURM variables.
    """
    source = cluster_source()
    if source is None:
        return None
    if source == "SLURM":
        os.environ["TF_CONFIG"] = json_text(tf_config_of_slurm())
    text = os.environ["TF_CONFIG"]
    try:
        config = json.loads(text)
        job, index = config["task"]["type"], int(config["task"]["index"])
        tasks = {name: tuple(config["cluster"].get(name, ())) for name in ("chief", "worker")}
        addresses = tasks["chief"] + tasks["worker"]
        valid = 0 <= index < len(tasks[job]) and all(a.rpartition(":")[2].isdigit() for a in addresses)
    except (KeyError, TypeError, ValueError, AttributeError):
        valid = False
    if not valid:
        raise UsageError(f"TF_CONFIG is {text[:200]!r}; give {TF_CONFIG_FORM} with the index of this worker")
    if len(addresses) == 1:
        return None
    index += len(tasks["chief"]) if job == "worker" else 0
    return ClusterSpec(index, addresses, tuple((name, len(hosts)) for name, hosts in tasks.items() if hosts))


def tf_config_of_slurm() -> dict:
    """Returns the TF_CONFIG of this task of a SLURM step.

    SLURM numbers tasks in the order of its node list, but TensorFlow's SlurmClusterResolver sorts the nodes by name
    (n10 before n9). So only the parsers of the resolver are used.
    """
    from tensorflow.python.distribute.cluster_resolver import slurm_cluster_resolver as slurm

    try:
        rank = int(os.environ["SLURM_PROCID"])
        port = 20000 + int(os.environ["SLURM_JOB_ID"]) % 10000  # two jobs may share a node
        nodes = slurm.expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
        tasks = slurm.expand_tasks_per_node(os.environ["SLURM_STEP_TASKS_PER_NODE"])
        hosts = [(node, port + task) for node, count in zip(nodes, tasks, strict=True) for task in range(count)]
        expected = hosts[rank][0]
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise UsageError(
            f"invalid variables of a SLURM step ({type(error).__name__}: {error}); set TF_CONFIG, or use "
            "deploy/slurm/train.sbatch"
        ) from error
    node = os.environ.get("SLURMD_NODENAME", expected)
    if node != expected:  # the tasks are not distributed node by node
        raise UsageError(
            f"task {rank} of this SLURM step runs on {node}, expected {expected}; give srun --distribution=block, or "
            "use deploy/slurm/train.sbatch"
        )
    addresses = [f"{node}:{port}" for node, port in hosts]
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
