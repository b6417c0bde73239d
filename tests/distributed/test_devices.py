"""GPUs, described by a false TensorFlow: those that it has code for, and the precision that `auto` chooses."""

import pytest
import tensorflow as tf

from gan_tf.cli.quiet import start_tensorflow
from gan_tf.distributed.devices import choose_precision, describe, has_code
from gan_tf.errors import UsageError

WHEEL = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]  # of tensorflow 2.21
NO_CODE = ((3, 7), (5, 0), (5, 2), (10, 0), (10, 3), (12, 0), (12, 1))
NAMES = {  # {compute capability: (GPU, what `auto` chooses for training)}
    (6, 0): ("Tesla P100-PCIE-16GB", "float32"),
    (6, 1): ("NVIDIA GeForce GTX 1080 Ti", "float32"),
    (7, 0): ("Tesla V100-SXM2-16GB", "float16"),
    (7, 5): ("Tesla T4", "float16"),
    (8, 0): ("NVIDIA A100-SXM4-40GB", "bfloat16"),
    (8, 6): ("NVIDIA GeForce RTX 3090", "bfloat16"),
    (8, 9): ("NVIDIA L4", "bfloat16"),
    (9, 0): ("NVIDIA H100 80GB HBM3", "bfloat16"),
}


@pytest.fixture
def machine(monkeypatch):
    """Function (GPUs, codes): gives this process {name: compute capability} and a TensorFlow with such code."""
    monkeypatch.delenv("GAN_TF_ANY_GPU", raising=False)

    def describe_machine(gpus, codes=WHEEL):
        def details(gpu):
            if isinstance(gpus[gpu], str):
                raise RuntimeError(f"Device returned compute capability an in invalid format: {gpus[gpu]}")
            return {"device_name": gpu, "compute_capability": gpus[gpu]}

        monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: list(gpus) if kind == "GPU" else [])
        monkeypatch.setattr(tf.config.experimental, "get_device_details", details)
        monkeypatch.setattr(tf.config.experimental, "set_memory_growth", lambda gpu, enable: None)
        monkeypatch.setattr(tf.sysconfig, "get_build_info", lambda: {"cuda_compute_capabilities": codes})

    return describe_machine


@pytest.mark.parametrize("capability", [*NAMES, *NO_CODE], ids=str)
def test_a_gpu_that_tensorflow_has_no_code_for_is_refused(machine, monkeypatch, capfd, capability):
    machine({"GPU X": capability, "Tesla T4": (7, 5)})
    if capability in NAMES:
        start_tensorflow()
        return
    with pytest.raises(UsageError) as caught:
        start_tensorflow()
    parts = ("GPU X", ".".join(map(str, capability)), "compute_90", "CUDA_VISIBLE_DEVICES", "GAN_TF_ANY_GPU=1")
    assert all(part in str(caught.value) for part in parts) and capfd.readouterr() == ("", "")
    monkeypatch.setenv("GAN_TF_ANY_GPU", "1")
    start_tensorflow()
    monkeypatch.delenv("GAN_TF_ANY_GPU")
    own_build = "sm_{}{}".format(*capability)
    for codes in ([own_build], [own_build + "a"], ["lto"], []):  # built for this GPU, or unknown
        machine({"GPU X": capability}, codes)
        start_tensorflow()


def test_code_for_later_gpus():
    """PTX of 8.0 is compiled for 9.0, and that of 10.0 for 12.0; machine code runs on its major version only."""
    for code, capability, runs in (
        ("compute_80", (9, 0), True),
        ("compute_100", (12, 0), True),
        ("compute_90", (8, 9), False),
        ("sm_80", (9, 0), False),
        ("sm_89", (8, 6), False),
    ):
        assert has_code(code, capability) is runs, code


def test_a_capability_that_tensorflow_cannot_read_is_refused_too(machine):
    machine({"GPU X": "12.0a"})
    with pytest.raises(UsageError, match=r"12\.0 "):
        start_tensorflow()


@pytest.mark.parametrize("capability", NAMES, ids=str)
def test_auto_precision(machine, capability):
    name, precision = NAMES[capability]
    machine({name: capability})
    chosen, reason = choose_precision("auto", training=True)
    assert chosen == precision and ".".join(map(str, capability)) in reason and describe() == name
    # Images that are only generated: float16 would change them.
    assert choose_precision("auto")[0] == ("bfloat16" if capability >= (8, 0) else "float32")
    assert choose_precision("float16", training=True) == ("float16", "as given")


@pytest.mark.parametrize("name", ["NVIDIA GeForce GTX 1660 Ti", "NVIDIA GeForce MX450", "NVIDIA T1000"])
def test_auto_is_float32_without_tensor_cores(machine, name):
    machine({name: (7, 5), "Tesla T4": (7, 5)})
    precision, reason = choose_precision("auto", training=True)
    assert precision == "float32" and "--precision float16" in reason
