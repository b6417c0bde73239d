"""deploy/entry.sh, run here with the variables that each platform sets."""

import json
import os
import signal
import subprocess
import sys

import pytest
import yaml

from gan_tf.cli.train_arguments import parse_arguments
from tests.deploy.stand_ins import DEPLOY, Started

TFJOB = yaml.safe_load((DEPLOY / "kubernetes" / "tfjob.yaml").read_text())
WORKER = TFJOB["spec"]["tfReplicaSpecs"]["Worker"]
[CONTAINER] = WORKER["template"]["spec"]["containers"]


@pytest.fixture
def entry(tmp_path):
    """Starts the script; afterwards nothing of it may live."""
    made = []

    def start(roles, *arguments, **variables):
        made.append(Started(tmp_path, [DEPLOY / "entry.sh", *arguments], roles, **variables))
        return made[-1]

    yield start
    for each in made:
        each.stop()


def operators_tf_config(index):
    """TF_CONFIG as Kubeflow's operator writes it for a worker of our TFJob."""
    name, replicas = TFJOB["metadata"]["name"], WORKER["replicas"]
    addresses = [f"{name}-worker-{number}.default.svc:2222" for number in range(replicas)]
    return {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}, "environment": "cloud"}


def test_without_variables_it_is_the_program(entry):
    run = entry("7", "train", "--dataset", "my photos")
    assert run.end()[0] == 7
    [start] = run.starts()
    assert start["argv"] == ["train", "--dataset", "my photos"] and start["place"] is None


@pytest.mark.parametrize("hosts", ["a,b:3000", "a b:3000", "a, b:3000"])
@pytest.mark.parametrize("index", [0, 1])
def test_hosts_become_a_cluster(entry, hosts, index):
    run = entry("0", "train", GAN_TF_HOSTS=hosts, GAN_TF_INDEX=str(index), GAN_TF_PORT="2500")
    assert run.end()[0] == 0
    task = {"type": "worker", "index": index}
    assert run.starts(index)[0]["place"] == {"cluster": {"worker": ["a:2500", "b:3000"]}, "task": task}


def test_a_single_host_is_no_cluster(entry):
    run = entry("0", "train", GAN_TF_HOSTS="a", GAN_TF_INDEX="0")
    assert run.end()[0] == 0
    assert "TF_CONFIG" not in run.starts()[0]["environment"]


def test_tf_config_of_the_platform_wins(entry):
    place = operators_tf_config(1)
    run = entry("0", "train", TF_CONFIG=json.dumps(place), GAN_TF_HOSTS="a,b,c", GAN_TF_INDEX="2")
    assert run.end()[0] == 0
    assert run.starts(1)[0]["place"] == place


@pytest.mark.parametrize("index", ["", "2", "-1", "x"])
def test_a_wrong_index_is_refused_in_a_line(entry, index):
    run = entry("0", "train", GAN_TF_HOSTS="a,b", GAN_TF_INDEX=index)
    code, _, err = run.end()
    assert code == 2 and not run.starts()
    assert err == (f"entry.sh: error: GAN_TF_INDEX is '{index}'; give 0 to 1, the place of this host in GAN_TF_HOSTS\n")


@pytest.mark.parametrize(
    "name, value, remedy",
    [
        ("GAN_TF_RESTARTS", "many", "a number such as 3"),
        ("GAN_TF_RESTARTS", "-1", "a number such as 3"),
        ("GAN_TF_RESTARTS", "9" * 20, "a number such as 3"),
        ("GAN_TF_PAUSE", "abc", "seconds such as 60"),
        ("GAN_TF_PAUSE", "1 2", "seconds such as 60"),
        ("GAN_TF_RETRY_CODE", "again", "an exit code such as 138"),
        ("GAN_TF_RETRY_CODE", "256", "an exit code such as 138"),
        ("GAN_TF_PORT", "x", "a number such as 2222"),
    ],
)
def test_a_wrong_value_is_refused_in_a_line(entry, name, value, remedy):
    run = entry("0", "train", **{"GAN_TF_HOSTS": "a,b", "GAN_TF_INDEX": "0", name: value})
    code, _, err = run.end()
    assert code == 2 and not run.starts()
    assert err.splitlines()[-1] == f"entry.sh: error: {name} is '{value}'; give {remedy}"


@pytest.mark.parametrize("host", ['"a"', "a\\", "a:x", "a:", "*", "[a", "$(id)", "a:1:2"])
def test_a_wrong_host_is_refused_in_a_line(entry, host):
    run = entry("0", "train", GAN_TF_HOSTS=f"b,{host}", GAN_TF_INDEX="0")
    code, _, err = run.end()
    assert code == 2 and not run.starts()
    assert err == f"entry.sh: error: GAN_TF_HOSTS is '{host}'; give hosts such as a,b or a:2222,b:2222\n"


def test_hosts_may_be_addresses_and_stand_on_lines(entry):
    run = entry("0", "train", GAN_TF_HOSTS="10.0.0.1\n[fd00::2]\n[fd00::3]:30", GAN_TF_INDEX="0")
    assert run.end()[0] == 0
    assert run.starts()[0]["place"]["cluster"]["worker"] == ["10.0.0.1:2222", "[fd00::2]:2222", "[fd00::3]:30"]


def test_numbers_may_begin_with_zeros(entry):
    run = entry("1,0", "train", GAN_TF_RESTARTS="08")
    code, _, err = run.end()
    assert code == 0 and len(run.starts()) == 2
    assert err == "entry.sh: ended with code 1; starting again in 0 s (1 of 8 restarts used)\n"


def test_tensorflow_reads_the_cluster(entry):
    run = entry("0", "train", GAN_TF_HOSTS="a,b,c", GAN_TF_INDEX="02")
    assert run.end()[0] == 0
    code = (
        "import tensorflow as tf\n"
        "found = tf.distribute.cluster_resolver.TFConfigClusterResolver()\n"
        "print(found.task_type, found.task_id, found.cluster_spec().as_dict()['worker'])"
    )
    variables = {**os.environ, "TF_CONFIG": run.starts(2)[0]["environment"]["TF_CONFIG"]}
    shown = subprocess.run([sys.executable, "-c", code], env=variables, capture_output=True, text=True, check=True)
    assert shown.stdout.split("\n")[0] == "worker 2 ['a:2222', 'b:2222', 'c:2222']"


@pytest.mark.parametrize(
    "roles, restarts, code, starts",
    [
        ("0", 3, 0, 1),
        ("2", 3, 2, 1),
        ("1", 2, 1, 3),
        ("1,43,0", 2, 0, 3),
        ("43", 1, 43, 2),
        ("42,42,42,0", 1, 0, 4),  # no fault, so not counted
        ("1,2", 3, 2, 2),
    ],
)
def test_restarts_after_faults(entry, roles, restarts, code, starts):
    run = entry(roles, "train", GAN_TF_RESTARTS=str(restarts))
    assert run.end()[0] == code
    assert len(run.starts()) == starts


@pytest.mark.parametrize("code, told", [(0, 0), (1, 1), (2, 2), (42, 138), (43, 138), (137, 137)])
def test_codes_in_the_platforms_words(entry, code, told):
    run = entry(str(code), "train", GAN_TF_RETRY_CODE="138")
    assert run.end()[0] == told and len(run.starts()) == 1


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
    run = entry("saves", *CONTAINER["args"], TF_CONFIG=json.dumps(operators_tf_config(index)), **variables)
    run.wait_for(f"ready-{index}")
    run.process.send_signal(signal.SIGTERM)  # the pod is evicted
    code, _, _ = run.end()
    assert code >= 128, "retryable for restartPolicy ExitCode"
    [start] = run.starts(index)
    assert start["place"]["task"]["index"] == index
    command, *options = start["argv"]
    config, _ = parse_arguments(options)
    mounts = [mount["mountPath"] for mount in CONTAINER["volumeMounts"]]
    assert command == "train" and any(config.checkpoints.startswith(mount + "/") for mount in mounts)
