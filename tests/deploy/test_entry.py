"""deploy/entry.sh, with the variables that each platform sets."""

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
    run.send(signal.SIGTERM)
    assert run.end()[0] == 138
    assert len(run.starts()) == 1


def test_a_pod_of_the_tfjob(entry):
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    run = entry("saves", *CONTAINER["args"], TF_CONFIG=json.dumps(OPERATOR), **variables)
    run.wait_for("ready-1").send(signal.SIGTERM)  # the pod is evicted
    assert run.end()[0] >= 128, "retryable for restartPolicy ExitCode"
    command, *options = run.starts(1)[0]["argv"]
    config, _ = parse_arguments(options)
    mounts = [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert command == "train" and any(config.checkpoints.startswith(mount + "/") for mount in mounts)
