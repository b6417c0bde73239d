"""GPUs, described by a false TensorFlow: those that it has code for, and the precision that `auto` chooses."""

import pytest
import tensorflow as tf

from gan_tf.cli.quiet import start_tensorflow
from gan_tf.distributed.devices import choose_precision, describe, has_code
from gan_tf.errors import UsageError

WHEEL = ["sm_60", "sm_70", "sm_80", "sm_89", "compute_90"]  # of tensorflow 2.21
NO_CODE = ((3, 7), (5, 0), (5, 2), (10, 0), (10, 3), (12, 0), (12, 1))
HAS_CODE = ((6, 0), (6, 1), (7, 0), (7, 5), (8, 0), (8, 6), (8, 9), (9, 0))


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


@pytest.mark.parametrize("capability", [*HAS_CODE, *NO_CODE], ids=str)
def test_a_gpu_that_tensorflow_has_no_code_for_is_refused(machine, monkeypatch, capfd, capability):
    machine({"GPU X": capability, "Tesla T4": (7, 5)})
    if capability in HAS_CODE:
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


@pytest.mark.parametrize(
    ("name", "capability", "precision"),
    [
        ("Tesla P100-PCIE-16GB", (6, 0), "float32"),
        ("NVIDIA GeForce GTX 1080 Ti", (6, 1), "float32"),
        ("Tesla V100-SXM2-16GB", (7, 0), "float16"),
        ("Tesla T4", (7, 5), "float16"),
        ("NVIDIA GeForce GTX 1660 Ti", (7, 5), "float32"),  # without Tensor Cores, as the next two
        ("NVIDIA GeForce MX450", (7, 5), "float32"),
        ("NVIDIA T1000", (7, 5), "float32"),
        ("NVIDIA A100-SXM4-40GB", (8, 0), "bfloat16"),
        ("NVIDIA GeForce RTX 3090", (8, 6), "bfloat16"),
    ],
)
def test_auto_precision(machine, name, capability, precision):
    machine({name: capability, "NVIDIA H100 80GB HBM3": (9, 0)})  # the older one decides
    chosen, reason = choose_precision("auto", training=True)
    assert chosen == precision and ".".join(map(str, capability)) in reason
    assert describe() == f"{name}, NVIDIA H100 80GB HBM3"
    assert ("--precision float16" in reason) == (precision == "float32")
    # Images that are only generated: float16 would change them.
    assert choose_precision("auto")[0] == ("bfloat16" if precision == "bfloat16" else "float32")
    assert choose_precision("float16", training=True) == ("float16", "as given")
