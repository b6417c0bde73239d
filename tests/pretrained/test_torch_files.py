"""Files of torch.save, read without PyTorch: their numbers, and the refusal of damaged and hostile ones."""

import functools
import os
import pickle
import struct
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from gan_tf.pretrained.torch_files import read_state_dict, read_torch_file
from tests.pretrained import torch_format
from tests.pretrained.torch_format import (
    MAGIC,
    PARAMETER,
    PROTOCOL,
    REBUILD,
    SYSTEM,
    Call,
    Storage,
    named,
    pickled,
    tensor,
    whole,
    write_legacy,
    write_zip,
)

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy], ids=["zip", "legacy"])
NUMBERS = np.arange(12, dtype=np.float32)
refusal = functools.partial(torch_format.refusal, read_state_dict)


@FORMATS
def test_views_of_a_storage(tmp_path, write):
    shared = Storage(NUMBERS)
    state = OrderedDict(
        plain=tensor(shared, 0, (3, 4), (4, 1)),
        transposed=tensor(shared, 0, (4, 3), (1, 4)),
        column=tensor(shared, 1, (3,), (4,)),
        scalar=tensor(shared, 7, (), ()),
        repeated=tensor(shared, 2, (2, 3), (0, 1)),
        empty=tensor(shared, 0, (0, 4), (4, 1)),
    )
    got = read_state_dict(write(tmp_path / "a.pth", state))
    grid = NUMBERS.reshape(3, 4)
    want = dict(plain=grid, transposed=grid.T, column=grid[:, 1], scalar=np.float32(7))
    want |= dict(repeated=np.stack([NUMBERS[2:5]] * 2), empty=np.zeros((0, 4), np.float32))
    assert list(got) == list(state)
    for name in want:
        np.testing.assert_array_equal(got[name], want[name], strict=True)
    assert np.shares_memory(got["plain"], got["column"]) and not got["plain"].flags.writeable


@FORMATS
def test_types(tmp_path, write):
    values = np.array([1.0, -2.5, 3e-5, np.inf], np.float32)
    state = {
        "f8": whole(values.astype(np.float64)),
        "f2": whole(values.astype(np.float16)),
        "i8": whole(np.array([[-1, 2**40]])),
        "bf16": tensor(Storage((values.view(np.uint32) >> 16).astype(np.uint16), "BFloat16Storage"), 0, (4,), (1,)),
        "bool": tensor(Storage(np.array([0, 1, 2], np.uint8), "BoolStorage"), 0, (3,), (1,)),
        "parameter": Call(PARAMETER, whole(values), True, OrderedDict()),
    }
    got = read_state_dict(write(tmp_path / "a.pth", state))
    for name, dtype in (("f8", np.float64), ("f2", np.float16), ("parameter", np.float32)):
        np.testing.assert_array_equal(got[name], values.astype(dtype), strict=True)
    np.testing.assert_array_equal(got["i8"], [[-1, 2**40]])
    np.testing.assert_array_equal(got["bool"], [False, True, True])
    assert got["bf16"].dtype == np.float32
    np.testing.assert_allclose(got["bf16"], values, rtol=2**-7)


def test_big_endian_and_a_newer_pickle_protocol(tmp_path):
    state = {"x": tensor(Storage(NUMBERS.astype(">f4")), 0, (12,), (1,))}
    got = read_state_dict(write_zip(tmp_path / "a.pth", state, 4, byteorder="big"))["x"]
    np.testing.assert_array_equal(got, NUMBERS, strict=True)


@FORMATS
def test_nested_content(tmp_path, write):
    cyclic = {"x": whole(NUMBERS)}
    cyclic["itself"] = [cyclic]
    content = {"g": cyclic, "optimizer": {"state": {0: {"step": 1.0, "avg": (whole(NUMBERS), None)}}}, "name": "a"}
    got = read_torch_file(write(tmp_path / "a.pth", content))
    assert got["g"]["itself"][0] is got["g"] and got["name"] == "a"
    step = got["optimizer"]["state"][0]
    np.testing.assert_array_equal(step["avg"][0], NUMBERS)
    assert step["step"] == 1.0 and step["avg"][1] is None


def test_legacy_storages_in_another_order(tmp_path):
    state = {"a": whole(NUMBERS), "b": whole(NUMBERS[:3] + 50)}
    got = read_state_dict(write_legacy(tmp_path / "a.pth", state, order=["1", "0"]))
    np.testing.assert_array_equal(got["a"], NUMBERS)
    np.testing.assert_array_equal(got["b"], NUMBERS[:3] + 50)


@FORMATS
def test_no_code_of_a_file_runs(tmp_path, write):
    marker, path = tmp_path / "marker", tmp_path / "evil.pth"
    text = b"X" + struct.pack("<I", len(str(marker))) + str(marker).encode()
    text4 = b"\x8c" + bytes([len(str(marker))]) + str(marker).encode()
    nested, _ = pickled({"x": whole(NUMBERS), "y": [({"z": (Call(named("os", "mkdir"), str(marker)),)},)]})
    built, _ = pickled({"x": Call(named("builtins", "eval"), f"__import__('os').mkdir({str(marker)!r})")})
    mkdir = f"asks for {os.mkdir.__module__}.mkdir"
    attribute = b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93."
    cases = [
        (mkdir, pickle.dumps({"x": Call(os.mkdir, str(marker))}, 2)),
        (mkdir, pickle.dumps({"x": Call(os.mkdir, str(marker))}, 4)),  # STACK_GLOBAL
        ("asks for os.mkdir", nested),
        ("asks for builtins.eval", built),
        ("asks for os.mkdir", b"(cos\nmkdir\n" + text + b"o."),  # OBJ
        ("asks for os.mkdir", b"\x80\x02cos\nmkdir\n}b."),  # BUILD
        ("asks for os.mkdir", b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + text4 + b"\x85R."),
        ("asks for torch._utils._rebuild_tensor_v2.__globals__", attribute),
        ("asks for builtins.getattr", b"\x80\x02cbuiltins\ngetattr\n(ccollections\nOrderedDict\nU\x08__init__tR."),
        ("damaged", b"(" + text + b"ios\nmkdir\n."),  # INST
        ("damaged", b"\x80\x02\x82\x01."),  # EXT1
        ("damaged", b"\x80\x04ccollections\nOrderedDict\n)}\x92."),  # NEWOBJ_EX
        ("damaged", b"\x80\x02Pstorage\n."),  # PERSID
    ]
    header = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)]  # of the legacy format
    for i, (reason, program) in enumerate(cases):
        assert reason in refusal(write(path, program))
        path.write_bytes(b"".join([*header[: i % 3], program]))
        assert reason in refusal(path)
        assert not marker.exists()


BAD_TENSORS = {
    "beyond the end": tensor(Storage(NUMBERS), 1, (3, 4), (4, 1)),
    "negative offset": tensor(Storage(NUMBERS), -1, (3,), (1,)),
    "negative stride": tensor(Storage(NUMBERS), 3, (3,), (-1,)),
    "axes differ": tensor(Storage(NUMBERS), 0, (3,), (1, 1)),
    "huge stride": tensor(Storage(NUMBERS), 0, (1,), (1 << 70,)),
    "huge axes": tensor(Storage(NUMBERS), 0, (0, 1 << 47, 1 << 47), (1, 1, 1)),
    "huge by repetition": tensor(Storage(NUMBERS), 0, (1 << 40, 1 << 40), (0, 0)),
    "no storage": tensor("storage", 0, (3,), (1,)),
    "conjugated": tensor(Storage(NUMBERS), 0, (3,), (1,), conj=True),
    "complex": tensor(Storage(NUMBERS, "ComplexFloatStorage"), 0, (3,), (1,)),
    "list": [1, 2],
    "text": "y",
    "storage itself": Storage(NUMBERS),
    "parameter of nothing": Call(PARAMETER, 1, True, OrderedDict()),
    "negative storage": tensor(Storage(NUMBERS, count=-4), 0, (0,), (1,)),
    "huge storage": tensor(Storage(NUMBERS, count=1 << 40), 0, (1 << 40,), (1,)),
    "storage of one number more": tensor(Storage(NUMBERS, count=13), 0, (13,), (1,)),
    "too many arguments": Call(REBUILD, Storage(NUMBERS), 0, (3,), (1,), False, None, None, 1),
}


@FORMATS
@pytest.mark.parametrize("name", BAD_TENSORS)
def test_an_impossible_tensor_is_refused(tmp_path, write, name):
    refusal(write(tmp_path / "a.pth", {"x": BAD_TENSORS[name]}))


@FORMATS
def test_content_that_is_no_state_dict(tmp_path, write):
    for content in ([whole(NUMBERS)], {3: whole(NUMBERS)}, whole(NUMBERS), {"a": {"b": whole(NUMBERS)}}):
        assert "no state dict" in refusal(write(tmp_path / "a.pth", content))


@FORMATS
@pytest.mark.parametrize(
    "program",
    [
        b"\x80\x02})" + b"\x85" * 300_000 + b"K\x01s.",  # a key of nested tuples: its hash would crash Python
        b"\x80\x02})q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"h\x00K\x01s.",  # a hash of 2 ** 60 steps
        b"\x80\x02ccollections\nOrderedDict\n]]" + b")" + b"\x85" * 300_000 + b"aK\x01aa\x85R.",
        b"\x80\x02cbuiltins\nset\n])" + b"\x85" * 300_000 + b"a\x85R.",
        b"\x80\x02]r" + struct.pack("<I", 1 << 31) + b".",  # a memo of 2 ** 31 entries
        b"\x80\x02X" + struct.pack("<I", 1 << 31) + b"abc.",
        b"\x80\x04\x8e" + struct.pack("<Q", 1 << 62) + b"abc.",
        b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"].",
        b"\x80\x02" + b"]" * 100_000 + b".",
    ],
    ids=["nested", "doubled", "pairs", "items", "memo", "text", "bytes", "frame", "stack"],
)
def test_pickles_that_would_crash_or_hang_python(tmp_path, write, program):
    refusal(write(tmp_path / "weights.pth", program))


def test_entries_of_an_archive_that_share_their_bytes_are_not_read_many_times(tmp_path):
    storages = [Storage(np.zeros(1 if i else 1000, np.uint16), "BFloat16Storage", 1000) for i in range(100)]
    state = {str(i): tensor(storage, 0, (1000,), (1,)) for i, storage in enumerate(storages)}
    path = write_zip(tmp_path / "a.pth", state)
    with zipfile.ZipFile(path, "a") as archive:
        for i in range(1, 100):
            entry, first = archive.getinfo(f"archive/data/{i}"), archive.getinfo("archive/data/0")
            entry.header_offset, entry.file_size, entry.compress_size = first.header_offset, 2000, 2000
        archive.writestr("more", "")  # so that the directory is written again
    assert "larger than the file" in refusal(path)


@FORMATS
def test_a_truncated_file(tmp_path, write):
    content = write(tmp_path / "a.pth", {"x": whole(NUMBERS), "y": whole(NUMBERS)}).read_bytes()
    for end in [0, 1, 3, 10, 60, *range(100, len(content), 37), len(content) - 1]:
        (tmp_path / "cut.pth").write_bytes(content[:end])
        refusal(tmp_path / "cut.pth")


def test_other_files(tmp_path):
    path = tmp_path / "a.pth"
    for content in (b"hello\n", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), pickle.dumps({"a": 1}, 2)):
        path.write_bytes(content)
        assert "damaged, incomplete or no file of torch.save" in refusal(path)
    np.savez(tmp_path / "b.npz", x=NUMBERS)
    refusal(tmp_path / "b.npz")
    assert "compressed" in refusal(write_zip(path, {"x": whole(NUMBERS)}, compression=zipfile.ZIP_DEFLATED))
    assert "cannot read" in refusal(tmp_path / "absent.pth")
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        refusal(path)


@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [{}, {"_use_new_zipfile_serialization": False}, {"pickle_protocol": 4}],
    ids=["zip", "legacy", "zip, protocol 4"],
)
def test_files_written_by_pytorch(torch, tmp_path, options):
    base, values = torch.randn(6, 5, 4), torch.tensor([0.0, 1.0, 2.7, 3e-4, 200.0])
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3), torch.nn.BatchNorm2d(8), torch.nn.Linear(8, 2))
    state = network.state_dict()
    assert "_metadata" in vars(state) and state["1.num_batches_tracked"].dtype == torch.int64
    state |= {
        "contiguous": base,
        "transposed": base.transpose(0, 2),
        "sliced": base[1:5:2, :, 1],
        "tail": base[-1:],
        "expanded": torch.randn(3, 1).expand(3, 4),
        "channels_last": torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last),
        "scalar": torch.tensor(2.5),
        "empty": torch.zeros(0, 3),
        "parameter": torch.nn.Parameter(base[0].t()),
        "tied": base,
        "int8": torch.tensor([-3, 4], dtype=torch.int8),
    }
    types = ["float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "uint8", "bool"]
    state |= {name: values.to(getattr(torch, name)) for name in types}
    torch.save(state, tmp_path / "state.pth", **options)
    got = read_state_dict(tmp_path / "state.pth")
    assert list(got) == list(state)
    for name, value in state.items():
        value = value.detach().float() if value.dtype == torch.bfloat16 else value.detach()
        np.testing.assert_array_equal(got[name], value.numpy(), strict=True, err_msg=name)
    assert np.shares_memory(got["contiguous"], got["tied"]) and np.shares_memory(got["contiguous"], got["transposed"])
