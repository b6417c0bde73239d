"""Which workers a run has, and which of them this process is: read from TF_CONFIG, or from SLURM's variables."""

import dataclasses
import json
import os

from gan_tf.errors import UsageError

TF_CONFIG_FORM = '{"cluster": {"worker": ["HOST:PORT", ...]}, "task": {"type": "worker", "index": 0}}'
FIRST_PORT, PORTS = 20000, 10000  # two jobs may share a node, so each has a port by its number


@dataclasses.dataclass(frozen=True)
class Place:
    """This process among the workers of a run.

    index: its number; 0 is the chief.
    addresses: HOST:PORT of each worker, by number.
    """

    index: int
    addresses: tuple[str, ...]


def cluster_of_environment() -> str | None:
    """Where this process is told which workers there are: "TF_CONFIG", "SLURM", or None where it works alone."""
    if os.environ.get("TF_CONFIG", "").strip() not in ("", "{}"):
        return "TF_CONFIG"
    return "SLURM" if int(os.environ.get("SLURM_STEP_NUM_TASKS") or 1) > 1 else None


def place_of_environment() -> Place | None:
    """This process's place; None where it works alone. SLURM's is put into TF_CONFIG too, for TensorFlow to read.

    Raises:
        UsageError: what the environment says cannot be read.
    """
    cluster = cluster_of_environment()
    if cluster is None:
        return None
    if cluster == "SLURM":
        os.environ["TF_CONFIG"] = json.dumps(tf_config_of_slurm())
    check_tf_config(os.environ["TF_CONFIG"])
    config = json.loads(os.environ["TF_CONFIG"])
    chiefs, workers = (config["cluster"].get(job, []) for job in ("chief", "worker"))
    index = 0 if config["task"]["type"] == "chief" else len(chiefs) + int(config["task"]["index"])
    addresses = (*chiefs, *workers)
    return Place(index, addresses) if len(addresses) > 1 else None


def check_tf_config(text):
    """Raises UsageError unless TF_CONFIG describes a cluster and this worker's place in it."""
    try:
        config = json.loads(text)
        task = config["task"]
        addresses = config["cluster"][task["type"]]
        fits = (
            task["type"] in ("chief", "worker")
            and 0 <= int(task["index"]) < len(addresses)
            and all(address.rpartition(":")[2].isdigit() for job in config["cluster"].values() for address in job)
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        fits = False
    if not fits:
        raise UsageError(f"TF_CONFIG is {text[:200]!r}; give {TF_CONFIG_FORM} with this worker's own index")


def tf_config_of_slurm() -> dict:
    """What TF_CONFIG would say in this task of a SLURM step.

    TensorFlow's resolver reads the names of the nodes and the number of tasks on each. It sorts nodes by name, n10
    before n9, while SLURM numbers its tasks in the order of its list: that order is restored here.

    Raises:
        UsageError: a variable is missing or cannot be read, or tasks are not dealt out node by node.
    """
    import tensorflow as tf
    from tensorflow.python.distribute.cluster_resolver.slurm_cluster_resolver import expand_hostlist

    try:
        rank, job = int(os.environ["SLURM_PROCID"]), int(os.environ["SLURM_JOB_ID"])
        tasks = int(os.environ["SLURM_STEP_NUM_TASKS"])
        # As many GPUs as tasks: the resolver deals both out together, and TensorFlow counts its GPUs by itself.
        resolver = tf.distribute.cluster_resolver.SlurmClusterResolver(
            port_base=FIRST_PORT + job % PORTS, gpus_per_node=tasks, gpus_per_task=1, auto_set_gpu=False
        )
        found = resolver.cluster_spec().job_tasks("worker")
        nodes = expand_hostlist(os.environ["SLURM_STEP_NODELIST"])
        addresses = sorted(found, key=lambda address: nodes.index(address.rpartition(":")[0]))
        own = addresses[rank].rpartition(":")[0]
    except (KeyError, ValueError, IndexError, RuntimeError) as error:
        raise UsageError(
            f"this SLURM step cannot be read ({type(error).__name__}: {error}); set TF_CONFIG, or use "
            "deploy/slurm/train.sbatch"
        ) from error
    here = os.environ.get("SLURMD_NODENAME", own)
    if here != own:
        raise UsageError(
            f"task {rank} of this SLURM step runs on {here} and not on {own}; give srun --distribution=block, or use "
            "deploy/slurm/train.sbatch"
        )
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
