"""deploy/slurm/train.sbatch, with small scripts in place of srun, scancel and scontrol."""

import os
import re
import signal

import pytest

from tests.deploy.script import DEPLOY, ROOT, Script

SCRIPT = DEPLOY / "slurm" / "train.sbatch"
TOOLS = {
    # Runs the command once for each task, writes the process ids to a file, and returns the highest exit code.
    "srun": """
        echo "srun cpus ${SRUN_CPUS_PER_TASK:-1}" >>"$NOTES/steps"
        tasks=${SLURM_NTASKS:-$NODES}
        while [[ $1 == --* ]]; do
            echo "$1" >>"$NOTES/steps"
            [[ $1 != --ntasks=* ]] || tasks=${1#*=}
            shift
        done
        for ((rank = 0; rank < tasks; rank++)); do SLURM_PROCID=$rank "$@" & pids+=($!); done
        echo "${pids[@]}" >"$NOTES/pids"
        worst=0
        for pid in "${pids[@]}"; do wait "$pid"; code=$?; ((code <= worst)) || worst=$code; done
        exit $worst
    """,
    "scancel": 'echo "scancel $*" >>"$NOTES/calls"; kill -TERM $(<"$NOTES/pids")',
    # The hosts in Slurm's order, which is not that of their names.
    "scontrol": """
        if [[ $1 == show ]]; then for ((n = 9; n < 9 + NODES; n++)); do echo "n$n"; done
        else echo "scontrol $*" >>"$NOTES/calls"; fi
    """,
}


@pytest.fixture
def batch(tmp_path):
    """Returns a function that starts a copy of the script, as Slurm does, in an allocation of some nodes."""
    started = []
    tools = tmp_path / "bin"
    tools.mkdir()
    for name, text in TOOLS.items():
        (tools / name).write_text(f"#!/usr/bin/env bash\n{text}\n")
        (tools / name).chmod(0o755)
    copy = tmp_path / "slurm_script"
    copy.write_text(SCRIPT.read_text())

    def start(roles, *arguments, nodes=2, **variables):
        allocation = {
            "PATH": f"{tools}:{os.environ['PATH']}",
            "NOTES": str(tmp_path),
            "NODES": str(nodes),
            "SLURM_JOB_ID": "123456",
            "SLURM_JOB_NODELIST": f"n[9-{8 + nodes}]",
            "SLURM_SUBMIT_DIR": str(ROOT),
        }
        started.append(Script(tmp_path, ["bash", copy, *arguments], roles, **allocation, **variables))
        return started[-1]

    yield start
    for run in started:
        run.stop()


def calls(run):
    path = run.folder / "calls"
    return path.read_text().splitlines() if path.exists() else []


def test_each_node_gets_tf_config_and_the_options(batch):
    run = batch("0", "--dataset", "my photos", "--resolution", "64", nodes=3)
    assert run.end()[0] == 0
    for index in range(3):
        [start] = run.starts(index)
        assert start["argv"] == ["train", "--dataset", "my photos", "--resolution", "64"]
        addresses = ["n9:23456", "n10:23456", "n11:23456"]  # 20000 + the job's number modulo 10000
        assert start["config"] == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
    assert not calls(run)


@pytest.mark.parametrize("cores", [None, "16"])
def test_a_worker_gets_all_cores_of_the_allocation(batch, cores):
    run = batch("0", **({"SLURM_CPUS_PER_TASK": cores} if cores else {}))
    assert run.end()[0] == 0
    assert run.starts()[0]["environment"].get("SRUN_CPUS_PER_TASK") == cores


def test_there_is_one_worker_for_each_node(batch):
    run = batch("0", SLURM_NTASKS="4", SLURM_NTASKS_PER_NODE="2")  # sbatch --ntasks-per-node=2
    assert run.end()[0] == 0
    steps = (run.folder / "steps").read_text().splitlines()
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= set(steps)
    assert sorted(path.name for path in run.folder.glob("starts-*")) == ["starts-0", "starts-1"]


@pytest.mark.parametrize("restarts", ["many", "-1", "3x"])
def test_wrong_restarts(batch, restarts):
    run = batch("1", GAN_TF_RESTARTS=restarts)
    code, out, err = run.end()
    assert code == 2 and not run.starts() and not out
    assert err.startswith(f"train.sbatch: error: GAN_TF_RESTARTS is '{restarts}'") and err.count("\n") == 1


def test_one_node_is_no_cluster(batch):
    run = batch("0", nodes=1)
    assert run.end()[0] == 0
    assert "TF_CONFIG" not in run.starts()[0]["environment"]


def test_before_the_time_limit_all_save_and_the_job_is_requeued(batch):
    run = batch("saves")
    run.wait_for("ready-0", "ready-1", "pids")
    run.process.send_signal(signal.SIGUSR1)
    code, out, _ = run.end()
    assert code == 42
    assert calls(run) == ["scancel --signal=TERM 123456", "scontrol requeue 123456"]
    assert run.signals(0) == run.signals(1) == ["SIGTERM"]
    assert "warned: yes" in out


def test_a_cancelled_job_stays_cancelled(batch):
    run = batch("saves")
    run.wait_for("ready-0", "ready-1", "pids")
    run.process.send_signal(signal.SIGTERM)  # Slurm sends it to the script and to the workers
    for pid in (run.folder / "pids").read_text().split():
        os.kill(int(pid), signal.SIGTERM)
    assert run.end()[0] == 42
    assert not calls(run)
    assert run.signals(0) == run.signals(1) == ["SIGTERM"]


def test_a_saved_run_is_requeued_without_a_warning(batch):
    run = batch("42")
    assert run.end()[0] == 42
    assert calls(run) == ["scontrol requeue 123456"]


@pytest.mark.parametrize(
    "roles, restarts, code, starts",
    [("1,0", None, 0, 2), ("43", "1", 43, 2), ("1", "0", 1, 1), ("2", None, 2, 1), ("1,0", "08", 0, 2)],
)
def test_faults_are_restarted_in_the_allocation(batch, roles, restarts, code, starts):
    run = batch(roles, **({"GAN_TF_RESTARTS": restarts} if restarts else {}))
    assert run.end()[0] == code
    assert len(run.starts(0)) == len(run.starts(1)) == starts
    assert not calls(run)


def test_header():
    """The options that the script depends on, all before its first command, where sbatch stops reading them."""
    header = SCRIPT.read_text().partition("\nset ")[0]
    options = dict(re.findall(r"^#SBATCH (--[\w-]+)(?:=(\S+))?$", header, re.M))
    assert len(options) == SCRIPT.read_text().count("#SBATCH --")
    assert options["--ntasks-per-node"] == "1", "a worker uses all GPUs of its node"
    assert options["--signal"] == "B:USR1@120" and "--requeue" in options and options["--open-mode"] == "append"
