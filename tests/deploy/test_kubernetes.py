"""deploy/kubernetes: the TFJob and its volume say what Kubernetes and Kubeflow's training operator understand."""

import pytest
import yaml

from tests.deploy.shapes import CLAIM, TFJOB, misfits
from tests.deploy.stand_ins import DEPLOY

FOLDER = DEPLOY / "kubernetes"
JOB = yaml.safe_load((FOLDER / "tfjob.yaml").read_text())
VOLUME = yaml.safe_load((FOLDER / "volume.yaml").read_text())
WORKER = JOB["spec"]["tfReplicaSpecs"]["Worker"]
POD = WORKER["template"]["spec"]
[CONTAINER] = POD["containers"]


def test_keys_and_values_are_known():
    assert not misfits(JOB, TFJOB, "tfjob")
    assert not misfits(VOLUME, CLAIM, "volume")


@pytest.mark.parametrize(
    "change, told",
    [
        ({"spec": {"runPolicy": {"cleanpodpolicy": "All"}}}, "x.spec.runPolicy.cleanpodpolicy is unknown"),
        ({"spec": {"tfReplicaSpecs": {"Worker": {"replicas": "2"}}}}, "x.spec.tfReplicaSpecs.Worker.replicas is '2'"),
        ({"spec": {"tfReplicaSpecs": {"Worker": {"restartPolicy": "Exit"}}}}, "restartPolicy is 'Exit'"),
        ({"kind": "Job"}, "x.kind is 'Job'"),
    ],
)
def test_a_wrong_key_is_found(change, told):
    [line] = misfits(change, TFJOB, "x")
    assert told in line


def test_names_are_those_the_operator_looks_for():
    assert CONTAINER["name"] == "tensorflow"
    assert [port["containerPort"] for port in CONTAINER["ports"] if port["name"] == "tfjob-port"] == [2222]


def test_istio_keeps_out_of_the_pods():
    """Kubeflow's page on TFJob asks for it in the namespaces of users."""
    assert WORKER["template"]["metadata"]["annotations"] == {"sidecar.istio.io/inject": "false"}


def test_codes_are_retried_by_number():
    variables = {each["name"]: each["value"] for each in CONTAINER["env"]}
    assert WORKER["restartPolicy"] == "ExitCode" and 128 <= int(variables["GAN_TF_RETRY_CODE"]) <= 255
    assert "restartPolicy" not in POD, "the operator sets it"
    assert JOB["spec"]["successPolicy"] == "AllWorkers" and POD["terminationGracePeriodSeconds"] >= 120


def test_all_workers_write_one_volume():
    claims = {
        each["name"]: each["persistentVolumeClaim"]["claimName"] for each in POD["volumes"] if "emptyDir" not in each
    }
    assert list(claims.values()) == [VOLUME["metadata"]["name"]]
    assert VOLUME["spec"]["accessModes"] == ["ReadWriteMany"]
    assert {mount["name"] for mount in CONTAINER["volumeMounts"]} == {each["name"] for each in POD["volumes"]}


def test_the_pods_user_is_the_images():
    dockerfile = (DEPLOY / "docker" / "Dockerfile").read_text()
    assert f"--uid {POD['securityContext']['runAsUser']} " in dockerfile
