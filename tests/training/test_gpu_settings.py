"""Code paths of GPUs, run on the CPU: a step that XLA compiles, and float16 where bfloat16 is missing."""

import pytest
import tensorflow as tf

from gan_tf.errors import UsageError
from gan_tf.models import FAMILIES
from gan_tf.training.recipes import RECIPES
from tests.training import tiny

# Small, since Adam's first step is lr times the signs of the gradients: a sign in D that rounding flips must not change
# the gradient of G.
LR = 2e-6
FASTGAN = FAMILIES["fastgan"], RECIPES["fastgan"]  # the real ones


@pytest.mark.parametrize(
    ("networks", "settings"),
    [
        (None, {}),
        pytest.param(FASTGAN, {"augment": "diffaugment"}, marks=pytest.mark.slow),
        pytest.param(None, {"model": "pggan"}, marks=pytest.mark.slow),
        pytest.param(None, {"model": "stylegan2", "augment": "ada"}, marks=pytest.mark.slow),
    ],
    ids=["linear", "fastgan", "pggan", "stylegan2"],
)
def test_a_step_compiled_by_xla_equals_the_plain_step(networks, settings):
    plain, compiled = (tiny.make_trainer(networks, jit=jit, lr=LR, **settings) for jit in (False, True))
    (expected, gradients), (statistics, got) = map(tiny.first_step, (plain, compiled))
    tiny.assert_close(statistics, expected, rtol=1e-3)
    for player, gradient in gradients.items():
        assert tiny.relative_l2(got[player], gradient) < 1e-3, player
    assert not is_compiled_by_xla(plain) and is_compiled_by_xla(compiled)


def is_compiled_by_xla(trainer):
    """True if the graph of a Trainer's steps calls a step that XLA compiles."""
    arguments = trainer.iterator, tf.constant(1), tf.constant(0, tf.int64)
    graph = trainer.compile()[0].get_concrete_function(*arguments).graph.as_graph_def()
    return any(f.attr["_XlaMustCompile"].b and "take_step" in f.signature.name for f in graph.library.function)


@pytest.mark.usefixtures("mirrored_is_two_cpus")
def test_xla_is_refused_on_several_devices():
    with pytest.raises(UsageError, match="^--jit "):
        tiny.make_trainer(jit=True, strategy="mirrored")


@pytest.mark.parametrize(
    ("name", "capability", "reason"),
    [
        ("Tesla T4", (7, 5), "float16 (compute capability 7.5 has no native bfloat16, but Tensor Cores for float16)"),
        ("NVIDIA A100", (8, 0), "bfloat16 (compute capability 8.0 has native bfloat16)"),
    ],
)
def test_the_start_prints_why_a_precision_was_chosen(monkeypatch, name, capability, reason):
    details = {"device_name": name, "compute_capability": capability}
    monkeypatch.setattr(tf.config, "list_physical_devices", lambda kind=None: ["GPU"] if kind == "GPU" else [])
    monkeypatch.setattr(tf.config.experimental, "get_device_details", lambda gpu: details)
    lines = []
    trainer = tiny.make_trainer(precision="auto", log=lines.append)
    assert f"device: {name}, 1 in a step (one device); precision: {reason}" in lines
    assert tiny.all_finite(tiny.take_steps(trainer, 2))
    assert trainer.state.scales_loss == reason.startswith("float16")
