"""The keys that job files may have, as far as they are used or likely: written down from what the tools document.

A shape is a dict of known keys, a list with the shape of its items, a set of allowed values, a type, or ANY.
"""

ANY = object()

TEXTS = {"*": str}  # a map with keys of one's own
METADATA = {"name": str, "namespace": str, "labels": TEXTS, "annotations": TEXTS}
QUANTITIES = {"requests": {"*": (str, int)}, "limits": {"*": (str, int)}}

# Kubernetes, core/v1.
CLAIM = {
    "apiVersion": {"v1"},
    "kind": {"PersistentVolumeClaim"},
    "metadata": METADATA,
    "spec": {
        "accessModes": [{"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"}],
        "storageClassName": str,
        "volumeName": str,
        "volumeMode": {"Filesystem", "Block"},
        "resources": QUANTITIES,
    },
}
CONTAINER = {
    "name": str,
    "image": str,
    "imagePullPolicy": {"Always", "IfNotPresent", "Never"},
    "command": [str],
    "args": [str],
    "workingDir": str,
    "env": [{"name": str, "value": str, "valueFrom": ANY}],
    "ports": [{"name": str, "containerPort": int, "protocol": {"TCP", "UDP", "SCTP"}}],
    "resources": QUANTITIES,
    "volumeMounts": [{"name": str, "mountPath": str, "subPath": str, "readOnly": bool}],
    "securityContext": ANY,
}
POD = {
    "metadata": METADATA,
    "spec": {
        "containers": [CONTAINER],
        "initContainers": [CONTAINER],
        "volumes": [
            {
                "name": str,
                "persistentVolumeClaim": {"claimName": str, "readOnly": bool},
                "emptyDir": {"medium": {"", "Memory"}, "sizeLimit": (str, int)},
            }
        ],
        "terminationGracePeriodSeconds": int,
        "securityContext": {"runAsNonRoot": bool, "runAsUser": int, "runAsGroup": int, "fsGroup": int},
        "nodeSelector": TEXTS,
        "tolerations": [ANY],
        "affinity": ANY,
        "serviceAccountName": str,
        "imagePullSecrets": [{"name": str}],
        "schedulerName": str,
        "priorityClassName": str,
    },
}

# Kubeflow's training operator, kubeflow.org/v1.
REPLICAS = {"replicas": int, "restartPolicy": {"Always", "OnFailure", "Never", "ExitCode"}, "template": POD}
TFJOB = {
    "apiVersion": {"kubeflow.org/v1"},
    "kind": {"TFJob"},
    "metadata": METADATA,
    "spec": {
        "runPolicy": {
            "cleanPodPolicy": {"All", "Running", "None"},
            "ttlSecondsAfterFinished": int,
            "activeDeadlineSeconds": int,
            "backoffLimit": int,
            "suspend": bool,
            "schedulingPolicy": {
                "minAvailable": int,
                "queue": str,
                "minResources": {"*": (str, int)},
                "priorityClass": str,
                "scheduleTimeoutSeconds": int,
            },
        },
        "successPolicy": {"", "AllWorkers"},
        "enableDynamicWorker": bool,
        "tfReplicaSpecs": {name: REPLICAS for name in ("Chief", "Master", "Worker", "PS", "Evaluator")},
    },
}

# Azure Machine Learning's command job, version 2 of its command line.
MODES = {"ro_mount", "rw_mount", "download", "upload", "direct", "eval_mount", "eval_download"}
DATA = {"uri_file", "uri_folder", "mltable", "mlflow_model", "custom_model", "triton_model"}
COMMAND_JOB = {
    "$schema": {"https://azuremlschemas.azureedge.net/latest/commandJob.schema.json"},
    "type": {"command"},
    "name": str,
    "display_name": str,
    "experiment_name": str,
    "description": str,
    "tags": TEXTS,
    "command": str,
    "code": str,
    "inputs": {"*": ({"type": DATA, "path": str, "mode": MODES}, str, int, float, bool)},
    "outputs": {"*": {"type": DATA, "path": str, "mode": MODES, "name": str, "version": str}},
    "environment": ({"image": str, "conda_file": (str, ANY), "build": {"path": str, "dockerfile_path": str}}, str),
    "environment_variables": TEXTS,
    "compute": str,
    "resources": {
        "instance_count": int,
        "instance_type": str,
        "shm_size": str,
        "docker_args": str,
        "properties": ANY,
    },
    "distribution": {"type": {"tensorflow"}, "worker_count": int, "parameter_server_count": int},
    "limits": {"timeout": int},
    "identity": ANY,
    "queue_settings": ANY,
    "services": ANY,
}


def misfits(value, shape, where="") -> list[str]:
    """What in a document does not fit a shape, each with its place in it."""
    if shape is ANY:
        return []
    if isinstance(shape, tuple):  # one of several shapes: that of the value's own kind
        found = [misfits(value, each, where) for each in shape]
        return [] if not all(found) else min(found, key=len)
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return [f"{where} is no map"]
        known = {key: shape.get(key, shape.get("*")) for key in value}
        unknown = [f"{where}.{key} is unknown" for key, each in known.items() if each is None]
        fits = [misfits(value[key], each, f"{where}.{key}") for key, each in known.items() if each is not None]
        return unknown + [line for lines in fits for line in lines]
    if isinstance(shape, list):
        if not isinstance(value, list):
            return [f"{where} is no list"]
        return [line for n, item in enumerate(value) for line in misfits(item, shape[0], f"{where}[{n}]")]
    if isinstance(shape, set):
        return [] if value in shape else [f"{where} is {value!r}, not one of {sorted(shape)}"]
    fits = isinstance(value, shape) and (shape is bool or not isinstance(value, bool))
    return [] if fits else [f"{where} is {value!r}, not of type {shape.__name__}"]
