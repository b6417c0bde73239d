"""deploy/entry.sh, with the variables that each platform sets."""

import json
import os
import signal

import pytest
import yaml

from gan_tf.cli.train import parse_arguments
from gan_tf.distributed.cluster_spec import read_cluster_spec
from tests.deploy.script import DEPLOY, Script

TFJOB = yaml.safe_load((DEPLOY / "kubernetes" / "tfjob.yaml").read_text())
WORKER = TFJOB["spec"]["tfReplicaSpecs"]["Worker"]
[CONTAINER] = WORKER["template"]["spec"]["containers"]


@pytest.fixture
def entry(tmp_path):
    """Returns a function that starts the script; its processes are killed at the end."""
    started = []

    def start(roles, *arguments, **variables):
        started.append(Script(tmp_path, [DEPLOY / "entry.sh", *arguments], roles, **variables))
        return started[-1]

    yield start
    for run in started:
        run.stop()


def tf_config_of_operator(index):
    """Returns TF_CONFIG as Kubeflow's training operator sets it for a worker of the TFJob."""
    name, replicas = TFJOB["metadata"]["name"], WORKER["replicas"]
    addresses = [f"{name}-worker-{number}.default.svc:2222" for number in range(replicas)]
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}, "environment": "cloud"}


def test_without_variables_the_program_is_started_directly(entry):
    run = entry("7", "train", "--dataset", "my photos")
    assert run.end()[0] == 7
    [start] = run.starts()
    assert start["argv"] == ["train", "--dataset", "my photos"] and start["config"] is None


@pytest.mark.parametrize(
    "hosts, addresses",
    [
        ("a,b:3000", ["a:2222", "b:3000"]),
        ("a b:3000", ["a:2222", "b:3000"]),
        ("a, b:3000", ["a:2222", "b:3000"]),
        ("10.0.0.1\n[fd00::2]\n[fd00::3]:30", ["10.0.0.1:2222", "[fd00::2]:2222", "[fd00::3]:30"]),
    ],
)
def test_hosts_become_tf_config(entry, monkeypatch, hosts, addresses):
    run = entry("0", "train", GAN_TF_HOSTS=hosts, GAN_TF_INDEX="01")
    assert run.end()[0] == 0
    [start] = run.starts(1)
    assert start["config"] == {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": 1}}
    monkeypatch.setenv("TF_CONFIG", start["environment"]["TF_CONFIG"])
    assert read_cluster_spec().addresses == tuple(addresses)


def test_port(entry):
    run = entry("0", "train", GAN_TF_HOSTS="a,b:3000", GAN_TF_INDEX="0", GAN_TF_PORT="2500")
    assert run.end()[0] == 0
    assert run.starts()[0]["config"]["cluster"]["worker"] == ["a:2500", "b:3000"]


def test_a_single_host_is_no_cluster(entry):
    run = entry("0", "train", GAN_TF_HOSTS="a", GAN_TF_INDEX="0")
    assert run.end()[0] == 0
    assert "TF_CONFIG" not in run.starts()[0]["environment"]


def test_tf_config_of_the_platform_has_priority(entry):
    config = tf_config_of_operator(1)
    run = entry("0", "train", TF_CONFIG=json.dumps(config), GAN_TF_HOSTS="a,b,c", GAN_TF_INDEX="2")
    assert run.end()[0] == 0
    assert run.starts(1)[0]["config"] == config


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
    run = entry("0", "train", **{"GAN_TF_HOSTS": "a,b", "GAN_TF_INDEX": "0", name: value})
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
    run = entry(roles, "train", GAN_TF_RESTARTS=restarts)
    assert run.end()[0] == code
    assert len(run.starts()) == starts


@pytest.mark.parametrize("code, expected", [(0, 0), (1, 1), (2, 2), (42, 138), (43, 138), (137, 137)])
def test_retry_code(entry, code, expected):
    run = entry(str(code), "train", GAN_TF_RETRY_CODE="138")
    assert run.end()[0] == expected and len(run.starts()) == 1


@pytest.mark.parametrize("variables", [{}, {"GAN_TF_RESTARTS": "3"}, {"GAN_TF_RETRY_CODE": "138"}])
def test_sigterm_reaches_the_program_once_and_ends_the_job(entry, variables):
    run = entry("saves", "train", **variables)
    run.wait_for("ready-0")
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == int(variables.get("GAN_TF_RETRY_CODE", 42))
    assert run.signals() == ["SIGTERM"] and len(run.starts()) == 1


def test_ctrl_c_in_a_terminal_reaches_the_program_once(entry):
    run = entry("saves", "train", GAN_TF_RESTARTS="3")
    run.wait_for("ready-0")
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end()[0] == 42
    assert len(run.signals()) == 1


def test_a_signal_between_two_starts_ends_the_job(entry):
    run = entry("43,0", "train", GAN_TF_RESTARTS="3", GAN_TF_PAUSE="600", GAN_TF_RETRY_CODE="138")
    while "starting again" not in run.process.stderr.readline():
        pass
    run.process.send_signal(signal.SIGTERM)
    assert run.end()[0] == 138
    assert len(run.starts()) == 1


@pytest.mark.parametrize("index", range(WORKER["replicas"]))
def test_a_pod_of_the_tfjob(entry, index):
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    run = entry("saves", *CONTAINER["args"], TF_CONFIG=json.dumps(tf_config_of_operator(index)), **variables)
    run.wait_for(f"ready-{index}")
    run.process.send_signal(signal.SIGTERM)  # the pod is evicted
    assert run.end()[0] >= 128, "retryable for restartPolicy ExitCode"
    command, *options = run.starts(index)[0]["argv"]
    config, _ = parse_arguments(options)
    mounts = [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert command == "train" and any(config.checkpoints.startswith(mount + "/") for mount in mounts)
