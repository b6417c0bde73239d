"""The scripts deploy/entry.sh and deploy/slurm/train.sbatch, with small scripts in place of Slurm's commands."""

import json
import os
import signal

import pytest
import yaml

from gan_tf.cli.train import parse_arguments
from gan_tf.distributed.cluster_spec import read_cluster_spec
from tests.programs import ROOT

TFJOB = yaml.safe_load((ROOT / "deploy" / "kubernetes" / "tfjob.yaml").read_text())
[CONTAINER] = TFJOB["spec"]["tfReplicaSpecs"]["Worker"]["template"]["spec"]["containers"]
# TF_CONFIG as Kubeflow's training operator sets it for the second worker.
ADDRESSES = [f"gan-tf-worker-{number}.default.svc:2222" for number in range(2)]
OPERATOR = {"cluster": {"worker": ADDRESSES}, "task": {"type": "worker", "index": 1}, "environment": "cloud"}


@pytest.fixture
def entry(start_command):
    """Returns a function that starts the script."""
    return lambda roles, *arguments, **variables: start_command(
        [ROOT / "deploy" / "entry.sh", *(arguments or ["train"])], roles, **variables
    )


def test_without_variables_the_program_is_started_directly(entry):
    run = entry("7", "train", "--dataset", "my photos")
    assert run.end()[0] == 7
    [start] = run.starts()
    assert start["argv"] == ["train", "--dataset", "my photos"] and start["config"] is None


@pytest.mark.parametrize(
    "hosts, port, addresses",
    [
        ("a,b:3000", None, ["a:2222", "b:3000"]),
        ("a b:3000", "2500", ["a:2500", "b:3000"]),
        ("a, b:3000", None, ["a:2222", "b:3000"]),
        ("10.0.0.1\n[fd00::2]\n[fd00::3]:30", None, ["10.0.0.1:2222", "[fd00::2]:2222", "[fd00::3]:30"]),
    ],
)
def test_hosts_become_tf_config(entry, monkeypatch, hosts, port, addresses):
    run = entry("0", GAN_TF_HOSTS=hosts, GAN_TF_INDEX="01", **({"GAN_TF_PORT": port} if port else {}))
    assert run.end()[0] == 0
    [start] = run.starts(1)
    assert start["config"] == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", start["environment"]["TF_CONFIG"])
    assert read_cluster_spec().addresses == tuple(addresses)


def test_tf_config_of_the_platform_has_priority(entry):
    run = entry("0", TF_CONFIG=json.dumps(OPERATOR), GAN_TF_HOSTS="a,b,c", GAN_TF_INDEX="2")
    assert run.end()[0] == 0 and run.starts(1)[0]["config"] == OPERATOR


@pytest.mark.parametrize(
    "name, value",
    [
        *(("GAN_TF_INDEX", value) for value in ("", "2", "-1", "x")),
        *(("GAN_TF_RESTARTS", value) for value in ("many", "-1", "9" * 20)),
        *(("GAN_TF_PAUSE", value) for value in ("abc", "1 2")),
        *(("GAN_TF_RETRY_CODE", value) for value in ("again", "256")),
        ("GAN_TF_PORT", "x"),
        *(("GAN_TF_HOSTS", f"b,{value}") for value in ('"a"', "a\\", "a:x", "a:", "*", "[a", "$(id)", "a:1:2")),
    ],
)
def test_wrong_values(entry, name, value):
    run = entry("0", **{"GAN_TF_HOSTS": "a,b", "GAN_TF_INDEX": "0", name: value})
    code, _, err = run.end()
    assert code == 2 and not run.starts()
    assert err.splitlines()[-1].startswith(f"entry.sh: error: {name} is '{value.removeprefix('b,')}'; give ")


@pytest.mark.parametrize(
    "roles, restarts, code, starts",
    [
        ("0", "3", 0, 1),
        ("2", "3", 2, 1),
        ("1", "2", 1, 3),
        ("1,43,0", "2", 0, 3),
        ("43", "1", 43, 2),
        ("42,42,42,0", "1", 0, 4),  # not a fault, so not counted
        ("1,2", "3", 2, 2),
        ("1,0", "08", 0, 2),
    ],
)
def test_restarts_after_faults(entry, roles, restarts, code, starts):
    run = entry(roles, GAN_TF_RESTARTS=restarts)
    assert run.end()[0] == code
    assert len(run.starts()) == starts


@pytest.mark.parametrize("code, expected", [(0, 0), (1, 1), (2, 2), (42, 138), (43, 138), (137, 137)])
def test_retry_code(entry, code, expected):
    run = entry(str(code), GAN_TF_RETRY_CODE="138")
    assert run.end()[0] == expected and len(run.starts()) == 1


@pytest.mark.parametrize("variables", [{}, {"GAN_TF_RESTARTS": "3"}, {"GAN_TF_RETRY_CODE": "138"}])
@pytest.mark.parametrize(
    "send, number", [(os.kill, signal.SIGTERM), (os.killpg, signal.SIGINT)], ids=["TERM", "Ctrl-C"]
)
def test_a_signal_reaches_the_program_once_and_ends_the_job(entry, variables, send, number):
    run = entry("saves", **variables).wait_for("ready-0")
    send(run.process.pid, number)
    assert run.end()[0] == int(variables.get("GAN_TF_RETRY_CODE", 42))
    assert len(run.signals()) == len(run.starts()) == 1


def test_a_signal_between_two_starts_ends_the_job(entry):
    run = entry("43,0", GAN_TF_RESTARTS="3", GAN_TF_PAUSE="600", GAN_TF_RETRY_CODE="138")
    while "starting again" not in run.process.stderr.readline():
        pass
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 138
    assert len(run.starts()) == 1


def test_a_pod_of_the_tfjob(entry):
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    run = entry("saves", *CONTAINER["args"], TF_CONFIG=json.dumps(OPERATOR), **variables)
    run.wait_for("ready-1").process.send_signal(signal.SIGTERM)  # the pod is evicted
    assert run.end()[0] >= 128, "retryable for restartPolicy ExitCode"
    command, *options = run.starts(1)[0]["argv"]
    config, _ = parse_arguments(options)
    mounts = [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert command == "train" and any(config.checkpoints.startswith(mount + "/") for mount in mounts)


# Slurm

SCRIPT = ROOT / "deploy" / "slurm" / "train.sbatch"
TOOLS = {
    # Runs the command once for each task, writes the process ids to a file, and returns the highest exit code.
    "srun": """
        tasks=${SLURM_NTASKS:-$NODES}
        while [[ $1 == --* ]]; do
            echo "$1" >>"$NOTES/options"
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
def batch(tmp_path, start_command):
    """Returns a function that starts a copy of the script, as Slurm does, in an allocation of some nodes."""
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
        return start_command(["bash", copy, *arguments], roles, **allocation, **variables)

    return start


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
def test_each_node_has_one_worker_with_all_cores_of_the_allocation(batch, cores):
    variables = {"SLURM_NTASKS": "4", "SLURM_NTASKS_PER_NODE": "2"}  # sbatch --ntasks-per-node=2
    run = batch("0", **variables, **({"SLURM_CPUS_PER_TASK": cores} if cores else {}))
    assert run.end()[0] == 0
    assert sorted(path.name for path in run.folder.glob("starts-*")) == ["starts-0", "starts-1"]
    assert run.starts()[0]["environment"].get("SRUN_CPUS_PER_TASK") == cores
    options = set((run.folder / "options").read_text().splitlines())
    assert {"--nodes=2", "--ntasks=2", "--ntasks-per-node=1"} <= options


@pytest.mark.parametrize("restarts", ["many", "-1"])
def test_wrong_restarts(batch, restarts):
    run = batch("1", GAN_TF_RESTARTS=restarts)
    code, out, err = run.end()
    assert code == 2 and not run.starts() and not out
    assert err.startswith(f"train.sbatch: error: GAN_TF_RESTARTS is '{restarts}'") and err.count("\n") == 1


def test_a_single_host_is_no_cluster(batch):
    run = batch("0", nodes=1)
    assert run.end()[0] == 0 and run.starts()[0]["config"] is None


def test_before_the_time_limit_all_save_and_the_job_is_requeued(batch):
    run = batch("saves").wait_for("ready-0", "ready-1", "pids")
    run.process.send_signal(signal.SIGUSR1)
    code, out, _ = run.end()
    assert code == 42
    assert calls(run) == ["scancel --signal=TERM 123456", "scontrol requeue 123456"]
    assert run.signals(0) == run.signals(1) == ["SIGTERM"]
    assert "warned: yes" in out


def test_a_cancelled_job_stays_cancelled(batch):
    run = batch("saves").wait_for("ready-0", "ready-1", "pids")
    run.process.send_signal(signal.SIGTERM)  # Slurm sends it to the script and to the workers
    for pid in (run.folder / "pids").read_text().split():
        os.kill(int(pid), signal.SIGTERM)
    assert run.end()[0] == 42
    assert not calls(run)
    assert run.signals(0) == run.signals(1) == ["SIGTERM"]


@pytest.mark.parametrize(
    "roles, restarts, code, starts",
    [
        ("1,0", None, 0, 2),
        ("43", "1", 43, 2),
        ("1", "0", 1, 1),
        ("2", None, 2, 1),
        ("1,0", "08", 0, 2),
        ("42", None, 42, 1),
    ],
)
def test_faults_are_restarted_in_the_allocation_and_a_saved_run_is_requeued(batch, roles, restarts, code, starts):
    run = batch(roles, **({"GAN_TF_RESTARTS": restarts} if restarts else {}))
    assert run.end()[0] == code
    assert len(run.starts(0)) == len(run.starts(1)) == starts
    assert calls(run) == (["scontrol requeue 123456"] if code == 42 else [])


def test_header():
    """The options that the script depends on are before its first command, where sbatch stops reading them."""
    header = SCRIPT.read_text().partition("\nset ")[0].splitlines()
    assert header.count("#SBATCH --ntasks-per-node=1") == 1, "a worker uses all GPUs of its node"
    assert {"#SBATCH --signal=B:USR1@120", "#SBATCH --requeue", "#SBATCH --open-mode=append"} <= set(header)
