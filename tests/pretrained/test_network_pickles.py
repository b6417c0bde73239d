"""Networks pickled by NVIDIA's programs: arrays and arguments out, no code run, and what is refused."""

import pickle
import pickletools
import struct

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.pretrained import network_makers, network_pickles
from gan_tf.pretrained.network_pickles import read_network_pickle
from tests.convert.stand_ins import (
    EasyDict,
    Module,
    Parameter,
    Tensor,
    TfNetwork,
    write_pytorch,
    write_tensorflow,
)

NUMBERS = np.arange(12, dtype=np.float32).reshape(3, 4)
PROTOCOLS = pytest.mark.parametrize("protocol", [3, 4])


def refusal(path):
    """The one line that the file is refused with."""
    with pytest.raises(UsageError) as caught:
        read_network_pickle(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


def stylegan():
    """A generator as StyleGAN2-ADA's program pickles it in TensorFlow: two networks within one."""
    mapping = TfNetwork("G_mapping", {"Dense0/weight": NUMBERS, "Dense0/bias": NUMBERS[0]}, {"mapping_layers": 8}, {})
    synthesis = TfNetwork("G_synthesis", {"4x4/Const/const": NUMBERS[None]}, {"resolution": 8}, {})
    arguments = {"latent_size": 4, "resample_kernel": [1, 3, 3, 1], "fmap_base": np.int64(8), "conv_clamp": None}
    components = {"synthesis": synthesis, "mapping": mapping}
    return TfNetwork("G_main", {"dlatent_avg": NUMBERS[0], "lod": np.float32(0.5)}, arguments, components)


def module():
    """A generator as StyleGAN2-ADA's program pickles it in PyTorch."""
    block = Module("SynthesisBlock", {"const": Parameter(NUMBERS)}, {"resample_filter": Tensor(NUMBERS.T)})
    synthesis = Module("SynthesisNetwork", parts={"b4": block})
    kwargs = EasyDict(channel_base=16, resample_filter=[1, 3, 3, 1])
    return Module(
        "Generator", {"bias": None}, {"w_avg": Tensor(NUMBERS[0])}, {"synthesis": synthesis}, z_dim=4, s=kwargs
    )


def many(times, **state):
    """A network whose state, which pickle writes once, stands in it as often as this."""
    inner = TfNetwork("G_x", {}, {}, {})
    inner.state.update(state)
    return TfNetwork("G_main", {}, {}, {f"a{i}": inner for i in range(times)})


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (many(2000, variables=[], components={}), None),
        (many(1, variables=[("n" * 2000, NUMBERS)]), "a name of more than 1000 characters"),
        (many(1, components={"n" * 2000: TfNetwork("G_y", {}, {}, {})}), "a name of more than 1000 characters"),
        (many(1, variables=[(3, NUMBERS)]), "a part of a network without a name"),
    ],
)
def test_what_networks_may_hold(tmp_path, network, said):
    path = write_tensorflow(tmp_path / "a.pkl", network, "dnnlib.tflib.network")
    if said is None:
        assert read_network_pickle(path)[0]["G_ema"].arrays == {}
    else:
        assert said in refusal(path)


def test_lists_that_stand_in_many_places_are_not_gone_through_again_and_again(tmp_path):
    """60,000 parameters that are None, in each of 3,000 modules: a second's worth of pickle, minutes of reading."""
    nothing = {f"p{i}": None for i in range(60_000)}
    part = Module("Part")
    part.state["_parameters"] = nothing
    module = Module("Generator", parts={f"m{i}": part for i in range(3000)})
    assert "more than 200000 parts of networks" in refusal(write_pytorch(tmp_path / "a.pkl", {"G_ema": module}))


@PROTOCOLS
def test_tensorflow_networks_within_networks(tmp_path, protocol):
    path = write_tensorflow(tmp_path / "a.pkl", (stylegan(), stylegan(), stylegan()), "dnnlib.tflib.network", protocol)
    networks, others = read_network_pickle(path)
    assert list(networks) == ["G", "D", "G_ema"] and others == []
    g = networks["G_ema"]
    assert (g.form, g.name) == ("TensorFlow", "G_main")
    assert g.arguments == {"latent_size": 4, "resample_kernel": [1, 3, 3, 1], "fmap_base": 8, "conv_clamp": None}
    want = {"dlatent_avg": NUMBERS[0], "lod": np.float32(0.5), "mapping/Dense0/weight": NUMBERS}
    want |= {"mapping/Dense0/bias": NUMBERS[0], "synthesis/4x4/Const/const": NUMBERS[None]}
    assert set(g.arrays) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(g.arrays[name], value, strict=True)
        assert not g.arrays[name].flags.writeable


def test_one_network_alone_is_the_averaged_generator(tmp_path):
    assert list(read_network_pickle(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {}, {})))[0]) == ["G_ema"]


@PROTOCOLS
def test_pytorch_modules_within_modules(tmp_path, protocol):
    content = {"G": module(), "D": module(), "G_ema": module(), "augment_pipe": Module("AugmentPipe"), "progress": None}
    networks, others = read_network_pickle(write_pytorch(tmp_path / "a.pkl", content, protocol))
    assert list(networks) == ["G", "D", "G_ema"] and others == ["augment_pipe"]
    g = networks["G_ema"]
    assert (g.form, g.name) == ("PyTorch", "Generator")
    assert g.arguments == {"z_dim": 4, "s": {"channel_base": 16, "resample_filter": [1, 3, 3, 1]}}
    want = {"w_avg": NUMBERS[0], "synthesis.b4.const": NUMBERS, "synthesis.b4.resample_filter": NUMBERS.T}
    assert set(g.arrays) == set(want)
    for name, value in want.items():
        np.testing.assert_array_equal(g.arrays[name], value, strict=True)


@pytest.mark.parametrize("kind", [">f4", "<f8", "<f2", "|u1", ">i8"])
def test_types_and_byte_orders(tmp_path, kind):
    values = NUMBERS.astype(kind)
    variables = {"rows": values, "columns": np.asfortranarray(values)}
    arrays = read_network_pickle(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", variables, {})))[0]["G_ema"].arrays
    native = values.astype(values.dtype.newbyteorder("="))
    for name in variables:
        np.testing.assert_array_equal(arrays[name], native, strict=True)


class Command:
    """Runs a command when a pickle of it is loaded."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        import os

        return os.system, (f"touch {self.marker}",)


def test_a_pickle_that_would_run_a_command_is_refused_by_name(tmp_path):
    marker = tmp_path / "was-run"
    hostile = Command(marker)
    files = {
        "bare.pkl": pickle.dumps(hostile),
        "in-tuple.pkl": pickle.dumps((hostile, hostile, hostile)),
        "text.pkl": f"cos\nsystem\n(S'touch {marker}'\ntR.".encode(),
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    write_tensorflow(tmp_path / "tensorflow.pkl", TfNetwork("G", {"w": hostile}, {}))
    write_tensorflow(tmp_path / "arguments.pkl", TfNetwork("G", {}, {"x": hostile}))
    write_pytorch(tmp_path / "pytorch.pkl", {"G_ema": Module("G", {"w": hostile})})
    for path in sorted(tmp_path.glob("*.pkl")):
        assert "system, which weights do not need" in refusal(path)
    assert not marker.exists()
    pickle.loads(files["bare.pkl"])  # it would have
    assert marker.exists()


def test_source_code_in_a_file_is_not_run(tmp_path):
    network = TfNetwork("G", {"w": NUMBERS}, {})
    network.state["build_module_src"] = f"open({str(tmp_path / 'was-run')!r}, 'w')"
    read_network_pickle(write_tensorflow(tmp_path / "a.pkl", network))
    assert not (tmp_path / "was-run").exists()


def test_truncated_files(tmp_path):
    whole = write_tensorflow(tmp_path / "a.pkl", (stylegan(),) * 3, "dnnlib.tflib.network").read_bytes()
    assert len(pickle.dumps(NUMBERS)) < len(whole)
    for length in (0, 1, 10, len(whole) // 2, len(whole) - 1):
        (tmp_path / "b.pkl").write_bytes(whole[:length])
        assert "damaged, incomplete or no pickle of networks" in refusal(tmp_path / "b.pkl")


def test_things_that_are_no_networks(tmp_path):
    for content, said in (
        ([1, 2], "a list and no networks"),
        ({"a": 1}, "none of G, D, G_ema"),
        ((1, 2, 3), "no network in the place of one"),
        (5, "an int and no networks".replace("an int", "a int")),
    ):
        (tmp_path / "a.pkl").write_bytes(pickle.dumps(content))
        assert said in refusal(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"w": [1.0]}, "a list in the place of an array"),
        ({"w": np.array([1 + 2j])}, "'c16'"),
        ({"w": np.array(["text"])}, "'U4'"),
        ({"w": np.array([object()], object)}, "numbers of the type 'O8'|object"),
        ({3: NUMBERS}, "without a name"),
    ],
)
def test_variables_that_are_no_arrays(tmp_path, variables, said):
    import re

    assert re.search(said, refusal(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", variables, {}))))


def test_a_tensor_beyond_its_storage(tmp_path):
    class Longer(Tensor):
        def __reduce__(self):
            function, (storage, _, _, strides, *more) = super().__reduce__()
            return function, (storage, 0, (300, 4), strides, *more)

    assert "ends at number 1200 of a storage of 12" in refusal(
        write_pytorch(tmp_path / "a.pkl", {"G_ema": Module("G", {"w": Longer(NUMBERS)})})
    )


def test_a_tensor_with_more_arguments_than_any(tmp_path):
    class More(Tensor):  # found by the hunt in tests/fuzz
        def __reduce__(self):
            function, arguments = super().__reduce__()
            return function, (*arguments, None, None)

    path = write_pytorch(tmp_path / "a.pkl", {"G_ema": Module("G", {"w": More(NUMBERS)})})
    assert "damaged" in refusal(path)


def test_tensors_that_repeat_their_numbers_are_refused_before_memory_is_taken(tmp_path):
    class Repeated(Tensor):
        def __reduce__(self):
            function, (storage, *_) = super().__reduce__()
            return function, (storage, 0, (10**6, 10**6), (0, 0), False, None)

    path = write_pytorch(tmp_path / "a.pkl", {"G_ema": Module("G", {"w": Repeated(NUMBERS)})})
    assert "larger than the file" in refusal(path)


def test_one_array_under_many_names_is_refused(tmp_path):
    large = np.zeros(100_000, np.float32)
    path = write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {f"w{i}": large for i in range(5)}, {}))
    assert path.stat().st_size < 500_000 and "larger than the file" in refusal(path)


def test_a_network_within_itself_ends(tmp_path):
    network = TfNetwork("G", {}, {}, {})
    network.state["components"] |= {"a": network, "b": network}
    assert "networks" in refusal(write_tensorflow(tmp_path / "a.pkl", network))
    own = Module("G")
    own.state["_modules"]["again"] = own
    assert "the pickle instruction POP" in refusal(write_pytorch(tmp_path / "b.pkl", {"G_ema": own}))  # of such tuples


def test_arguments_within_each_other_end(tmp_path):
    nested = []
    nested.append(nested)
    assert "too many construction arguments" in refusal(
        write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {}, {"x": nested}))
    )
    many = write_tensorflow(tmp_path / "b.pkl", TfNetwork("G", {}, {"x": [0] * 2000}))
    assert "too many construction arguments" in refusal(many)


def test_bytes_that_the_file_does_not_have(tmp_path):
    for head in (
        b"\x8e" + struct.pack("<Q", 2**40),
        b"B" + struct.pack("<I", 2**31),
        b"\x95" + struct.pack("<Q", 2**50),
    ):
        (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + head + b"abc.")
        assert "damaged" in refusal(tmp_path / "a.pkl")


def test_instructions_without_end(tmp_path, monkeypatch):
    (tmp_path / "a.pkl").write_bytes(b"\x80\x04" + b"]0" * (3 << 20) + b"N.")
    said = refusal(tmp_path / "a.pkl")
    assert "bytes of instructions" in said or "the pickle instruction POP" in said
    (tmp_path / "b.pkl").write_bytes(b"\x80\x04]" + b"N\x85" * (3 << 20) + b".")
    assert "bytes of instructions" in refusal(tmp_path / "b.pkl")


def test_the_bytes_of_large_arrays_do_not_count_as_instructions(tmp_path):
    large = np.arange(3 << 20, dtype=np.float32)  # 12 MB
    arrays = read_network_pickle(write_tensorflow(tmp_path / "a.pkl", TfNetwork("G", {"w": large}, {})))[0][
        "G_ema"
    ].arrays
    np.testing.assert_array_equal(arrays["w"], large)


def test_what_is_allowed_builds_nothing_but_data():
    """A pickle gets makers, whose results are dicts, tuples and filled boxes; no function of NumPy or Python itself."""
    for thing in network_makers.ALLOWED.values():
        assert type(thing).__module__.startswith("gan_tf.pretrained")


def test_only_instructions_that_build_data_are_allowed():
    known = {opcode.name for opcode in pickletools.opcodes}
    assert known >= network_pickles.INSTRUCTIONS
    assert network_pickles.INSTRUCTIONS.isdisjoint({"INST", "OBJ", "NEWOBJ_EX", "EXT1", "EXT2", "EXT4", "PERSID"})


def test_a_maker_cannot_be_changed(tmp_path):
    path = tmp_path / "a.pkl"
    # Network itself, then a state for it: BUILD on a maker
    path.write_bytes(b"\x80\x02ctfutil\nNetwork\n}b.")
    assert "a state for a Emptied" in refusal(path)
