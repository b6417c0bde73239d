"""Weight files of PyTorch, read without it: the numbers, and what is refused."""

import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections import OrderedDict

import numpy as np
import pytest

from gan_tf.errors import UsageError
from gan_tf.pretrained.torch_files import read_torch_file
from tests.pretrained.torch_format import (
    MAGIC,
    PARAMETER,
    PROTOCOL,
    REBUILD,
    SYSTEM,
    Call,
    Name,
    Storage,
    pickled,
    tensor,
    whole,
    write_legacy,
    write_zip,
)

FORMATS = pytest.mark.parametrize("write", [write_zip, write_legacy], ids=["zip", "legacy"])
NUMBERS = np.arange(12, dtype=np.float32)
GLOBAL_SYSTEM = b"\x80\x02cos\nsystem\n"


def refusal(path):
    """The one line that the file is refused with."""
    with pytest.raises(UsageError) as caught:
        read_torch_file(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)
    return str(caught.value)


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
    got = read_torch_file(write(tmp_path / "a.pth", state))
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
    got = read_torch_file(write(tmp_path / "a.pth", state))
    for name, dtype in (("f8", np.float64), ("f2", np.float16), ("parameter", np.float32)):
        np.testing.assert_array_equal(got[name], values.astype(dtype), strict=True)
    np.testing.assert_array_equal(got["i8"], [[-1, 2**40]])
    np.testing.assert_array_equal(got["bool"], [False, True, True])
    assert got["bf16"].dtype == np.float32
    np.testing.assert_allclose(got["bf16"], values, rtol=2**-7)


def test_big_endian_and_newer_pickles(tmp_path):
    path = write_zip(
        tmp_path / "a.pth", {"x": tensor(Storage(NUMBERS.astype(">f4")), 0, (12,), (1,))}, 4, byteorder="big"
    )
    got = read_torch_file(path)["x"]
    np.testing.assert_array_equal(got, NUMBERS, strict=True)


@FORMATS
def test_attributes_of_the_dict_do_no_harm(tmp_path, write):
    class Dict(OrderedDict):
        def __reduce__(self):
            return Name("collections", "OrderedDict"), ([["x", whole(NUMBERS)]],), {"_metadata": {}, "items": 1}

    assert list(read_torch_file(write(tmp_path / "a.pth", Dict()))) == ["x"]


@FORMATS
def test_only_what_is_wanted(tmp_path, write):
    state = {"features.0": whole(NUMBERS), "classifier.0": whole(np.zeros(2_000_000, np.float32))}
    path = write(tmp_path / "a.pth", state)
    tracemalloc.start()
    got = read_torch_file(path, only=lambda name: name.startswith("features."))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(got) == ["features.0"]
    np.testing.assert_array_equal(got["features.0"], NUMBERS)
    if write is write_zip:
        assert peak < 1_000_000


def test_legacy_storages_in_another_order(tmp_path):
    state = {"a": whole(NUMBERS), "b": whole(NUMBERS[:3] + 50)}
    got = read_torch_file(write_legacy(tmp_path / "a.pth", state, order=["1", "0"]))
    np.testing.assert_array_equal(got["a"], NUMBERS)
    np.testing.assert_array_equal(got["b"], NUMBERS[:3] + 50)


class Evil:
    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return os.mkdir, (str(self.marker),)


def programs(marker):
    """{name of what is asked for: pickle that would make the folder `marker`}."""
    text = b"X" + struct.pack("<I", len(str(marker))) + str(marker).encode()
    name = os.mkdir.__module__.encode()
    nested, _ = pickled({"x": whole(NUMBERS), "y": [({"z": (Call(Name("os", "mkdir"), str(marker)),)},)]})
    built, _ = pickled({"x": Call(Name("builtins", "eval"), f"__import__('os').mkdir({str(marker)!r})")})
    text4 = b"\x8c" + bytes([len(str(marker))]) + str(marker).encode()
    return [
        (f"{name.decode()}.mkdir", pickle.dumps({"x": Evil(marker)}, 2)),
        (f"{name.decode()}.mkdir", pickle.dumps({"x": Evil(marker)}, 4)),  # STACK_GLOBAL
        ("os.mkdir", nested),
        ("builtins.eval", built),
        ("os.mkdir", b"(" + text + b"ios\nmkdir\n."),  # INST
        ("os.mkdir", b"(cos\nmkdir\n" + text + b"o."),  # OBJ
        ("os.mkdir", b"\x80\x02cos\nmkdir\n}b."),  # BUILD on a global
        ("os.system", GLOBAL_SYSTEM + b"."),
        (
            "torch._utils._rebuild_tensor_v2.__globals__",
            b"\x80\x04\x8c\x0ctorch._utils\x8c\x1e_rebuild_tensor_v2.__globals__\x93.",
        ),
        ("builtins.getattr", b"\x80\x02cbuiltins\ngetattr\n(ccollections\nOrderedDict\nU\x08__init__tR."),
        ("os.mkdir", b"\x80\x04\x8c\x02os\x8c\x05mkdir\x93" + text4 + b"\x85R."),
        ("the pickle instruction EXT1", b"\x80\x02\x82\x01."),
        ("the pickle instruction NEWOBJ_EX", b"\x80\x04ccollections\nOrderedDict\n)}\x92."),
        ("the pickle instruction PERSID", b"\x80\x02Pstorage\n."),
        ("the pickle instruction BYTEARRAY8", b"\x80\x05\x96" + struct.pack("<Q", 3) + b"abc."),
    ]


@FORMATS
@pytest.mark.parametrize("case", range(15))
def test_everything_but_tensors_is_refused_by_name(tmp_path, write, case):
    wanted, program = programs(tmp_path / "marker")[case]
    line = refusal(write(tmp_path / "evil.pth", program))
    assert f"asks for {wanted}, which weights do not need" in line
    assert not (tmp_path / "marker").exists()


@pytest.mark.parametrize("position", range(3))
def test_the_small_pickles_of_the_legacy_format_are_no_way_in(tmp_path, position):
    parts = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)]
    parts[position] = pickle.dumps(Evil(tmp_path / "marker"), 2)
    (tmp_path / "evil.pth").write_bytes(b"".join(parts))
    assert ".mkdir" in refusal(tmp_path / "evil.pth")
    assert not (tmp_path / "marker").exists()


def state_of(value):
    """The BUILD of ({}, {"x": 1}) on a value: attributes would be set on what ALLOWED gives."""

    class Built:
        def __reduce__(self):
            return value, (), ({}, {"__call__": 1, "__defaults__": ()})

    return pickled({"x": Built()})[0]


@pytest.mark.parametrize("value", [REBUILD, PARAMETER, Name("torch", "FloatStorage")])
def test_what_is_allowed_cannot_be_changed(tmp_path, value):
    program = b"\x80\x02" + pickle.GLOBAL + f"{value.module}\n{value.name}\n".encode()
    write_zip(tmp_path / "a.pth", program + b"N}U\x01xK\x01s\x86b.")
    assert "damaged" in refusal(tmp_path / "a.pth")
    assert "damaged" in refusal(write_zip(tmp_path / "b.pth", state_of(value)))


BAD_TENSORS = {
    "beyond the end": (tensor(Storage(NUMBERS), 1, (3, 4), (4, 1)), "ends at number 13 of a storage of 12"),
    "negative offset": (tensor(Storage(NUMBERS), -1, (3,), (1,)), "proper shape"),
    "negative stride": (tensor(Storage(NUMBERS), 3, (3,), (-1,)), "proper shape"),
    "axes differ": (tensor(Storage(NUMBERS), 0, (3,), (1, 1)), "proper shape"),
    "huge by repetition": (tensor(Storage(NUMBERS), 0, (10**6, 10**6), (0, 0)), "more numbers than the file has bytes"),
    "no storage": (tensor("storage", 0, (3,), (1,)), "without a storage"),
    "conjugated": (tensor(Storage(NUMBERS), 0, (3,), (1,), conj=True), "conjugated"),
    "list": ([1, 2], "'x' is a list and no tensor"),
    "text": ("y", "'x' is a str and no tensor"),
    "storage itself": (Storage(NUMBERS), "'x' is a Storage and no tensor"),
    "parameter of nothing": (Call(PARAMETER, 1, True, OrderedDict()), "parameter without a tensor"),
    "storage of odd size": (tensor(Storage(NUMBERS, count=-4), 0, (0,), (1,)), "proper type, key or size"),
}


@FORMATS
@pytest.mark.parametrize("name", BAD_TENSORS)
def test_a_senseless_tensor_is_refused(tmp_path, write, name):
    value, words = BAD_TENSORS[name]
    assert words in refusal(write(tmp_path / "a.pth", {"x": value}))


@FORMATS
def test_a_state_that_is_no_dict_of_names(tmp_path, write):
    assert "it holds a list" in refusal(write(tmp_path / "a.pth", [whole(NUMBERS)]))
    assert "whose name is a int" in refusal(write(tmp_path / "a.pth", {3: whole(NUMBERS)}))


@FORMATS
def test_sizes_are_held_against_the_file_before_memory_is_taken(tmp_path, write):
    huge = 1 << 40
    lying = tensor(Storage(NUMBERS, count=huge), 0, (huge,), (1,))
    tracemalloc.start()
    refusal(write(tmp_path / "a.pth", {"x": lying}))
    refusal(write(tmp_path / "b.pth", {"x": tensor(Storage(NUMBERS, count=13), 0, (13,), (1,))}))
    # LONG_BINPUT to slot 2^31: the unpickler would make room for 2^32 slots
    assert "memo larger" in refusal(write(tmp_path / "c.pth", b"\x80\x02}r" + struct.pack("<I", 1 << 31) + b"."))
    refusal(write(tmp_path / "d.pth", b"\x80\x02X" + struct.pack("<I", 1 << 31) + b"abc."))
    refusal(write(tmp_path / "e.pth", b"\x80\x04\x95" + struct.pack("<Q", 1 << 62) + b"}."))  # FRAME
    assert tracemalloc.get_traced_memory()[1] < 40_000_000  # the pickle's own bound is 16 MB
    tracemalloc.stop()


def test_overlapping_storages_are_not_read_many_times(tmp_path):
    state = {str(i): whole(np.full(1000, i, np.float32)) for i in range(8)}
    path = write_zip(tmp_path / "a.pth", state)
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        first, second = (archive.getinfo(f"archive/data/{i}").header_offset for i in (0, 1))
        version = archive.getinfo("archive/version").header_offset
    begin, end = content.index(b"PK\x01\x02"), content.index(b"PK\x05\x06")
    directory, last = content[begin:end], content[end:]
    at, cut = 0, version - second  # the numbers of all storages but the first are left out of the file
    while (at := directory.find(b"archive/", at)) >= 0:
        offset = struct.unpack("<I", directory[at - 4 : at])[0]
        offset = first if directory[at:].startswith(b"archive/data/") else offset - cut * (offset > first)
        directory[at - 4 : at] = struct.pack("<I", offset)  # every storage at the first one's place
        at += 1
    last[16:20] = struct.pack("<I", begin - cut)
    path.write_bytes(content[:second] + content[version:begin] + directory + last)
    with zipfile.ZipFile(path) as archive:  # which finds nothing wrong with it
        assert {archive.getinfo(f"archive/data/{i}").header_offset for i in range(8)} == {first}
    one = read_torch_file(path, only=lambda name: name == "5")["5"]
    np.testing.assert_array_equal(one, np.zeros(1000))  # the first one's numbers
    assert "its storages are larger than the file" in refusal(path)


HUGE = 1 << 70


@FORMATS
@pytest.mark.parametrize(
    "value",
    [
        tensor(Storage(NUMBERS), 0, (1,), (HUGE,)),
        tensor(Storage(NUMBERS), HUGE, (0,), (1,)),
        tensor(Storage(NUMBERS), 0, (0, HUGE), (1, 1)),
        tensor(Storage(NUMBERS, count=HUGE), 0, (1,), (1,)),
        tensor(Storage(NUMBERS), 0, (0, 1 << 47, 1 << 47), (1, 1, 1)),
    ],
    ids=["step", "offset", "axis", "storage", "axes"],
)
def test_sizes_beyond_any_machine_are_one_line(tmp_path, write, value):
    assert "damaged" in refusal(write(tmp_path / "a.pth", {"x": value}))


def test_more_memory_than_there_is_is_one_line(tmp_path):
    """A sparse file of 3 GB, read by a process that may have one."""
    path, size = tmp_path / "a.pth", 3 << 30
    program, _ = pickled({"x": tensor(Storage(NUMBERS, count=size // 4), 0, (1,), (1,))}, legacy=True)
    parts = [pickle.dumps(value, 2) for value in (MAGIC, PROTOCOL, SYSTEM)]
    path.write_bytes(b"".join(parts) + program + pickle.dumps(["0"], 2) + struct.pack("<q", size // 4))
    os.truncate(path, path.stat().st_size + size)
    code = (
        "import resource, sys\n"
        "from gan_tf.pretrained.torch_files import read_torch_file\n"
        "resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))\n"
        "try: read_torch_file(sys.argv[1])\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(path)], capture_output=True, text=True)
    assert done.stdout == f"{path} needs more memory than is free; close other programs, or get another file\n"


@FORMATS
def test_truncated_anywhere(tmp_path, write):
    content = write(tmp_path / "a.pth", {"x": whole(NUMBERS), "y": whole(NUMBERS)}).read_bytes()
    for end in [0, 1, 3, 10, 60, *range(100, len(content), 37), len(content) - 1]:
        (tmp_path / "cut.pth").write_bytes(content[:end])
        refusal(tmp_path / "cut.pth")


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # of pickletools
@FORMATS
def test_a_flipped_byte_never_escapes_as_another_error(tmp_path, write):
    content = write(tmp_path / "a.pth", {"x": whole(NUMBERS), "p": Call(PARAMETER, whole(NUMBERS))}).read_bytes()
    for seed in range(300):
        random = np.random.default_rng(seed)
        broken = bytearray(content)
        for at in random.integers(0, len(content), 3):
            broken[at] = random.integers(256)
        (tmp_path / "broken.pth").write_bytes(broken)
        try:
            read_torch_file(tmp_path / "broken.pth")
        except UsageError as error:
            assert "\n" not in str(error)


def test_foreign_files(tmp_path):
    path = tmp_path / "a.pth"
    for content in (b"", b"hello\n", b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(1000), b"<html>\n<p>404</p>\n</html>\n"):
        path.write_bytes(content)
        refusal(path)
    path.write_bytes(pickle.dumps({"a": 1}, 2))
    assert "lacks the magic number" in refusal(path)
    np.savez(tmp_path / "b.npz", x=NUMBERS)
    assert "with 0 data.pkl" in refusal(tmp_path / "b.npz")
    assert "packed" in refusal(write_zip(path, {"x": whole(NUMBERS)}, compression=zipfile.ZIP_DEFLATED))
    assert "cannot read" in refusal(tmp_path / "absent.pth")
    assert "cannot read" in refusal(tmp_path)
