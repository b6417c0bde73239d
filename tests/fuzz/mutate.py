"""Random changes to files, each a function of its random.Random."""

import copy
import json
import pickle
import pickletools
import struct
import zipfile

from tests.data.encoded import zip_bytes

NUMBERS = (0, 1, 2, 127, 255, 4096, 0x7FFF, 0xFFFF, 10**9, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 2**63 - 1, 2**64 - 1)
TEXTS = (
    *("", "x", "0", "-1", "nan", "1e999", "\x00", "a\nb", "\x1b[31m", "\ud800", "../../x", "/etc/passwd", "~nobody"),
    *("<script>alert(1)</script>", "|", "tfds:x:y", "4:8,8:x", "1024:1e400", "9" * 5000, "z" * 100_000),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 10**15, 10**30, 10**400, 2**63, 1e308, -1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), [], {}, [[[]]], {"a": {"b": []}}, [1, "x"], *TEXTS),
)
NAMES = ("../x.png", "/x.png", "C:x.png", "a\nb.png", "\x1b[2Jx.png", "x" * 5000 + ".png", "", ".png", "meta_json.npy")
GLOBALS = ("os\nsystem", "builtins\neval", "collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2")
GLOBALS += ("tfutil\nNetwork", "numpy\ndtype", "numpy.core.multiarray\n_reconstruct", "torch.storage\n_load_from_bytes")
GLOBALS += ("torch_utils.persistence\n_reconstruct_persistent_obj", "builtins\nset", "torch\nFloatStorage")


def bytes_of(random, content, fields=()):
    """Changes a few bytes of `content`, more often at the offsets `fields`."""
    content = bytearray(content)
    for _ in range(1 + int(random.expovariate(0.8))):
        at = random.choice(fields) if fields and random.random() < 0.6 else random.randrange(len(content) + 1)
        how, size = random.randrange(6), 1 << random.randrange(9)
        if how == 0 and at < len(content):
            content[at] ^= 1 << random.randrange(8)
        elif how <= 2:
            code = random.choice(("<H", ">H", "<I", ">I", "<Q", ">Q"))
            number = random.choice((*NUMBERS, len(content), random.randrange(2**16)))
            number = struct.pack(code, number % 256 ** struct.calcsize(code))
            content[at : at + len(number)] = number
        elif how == 3:
            del content[at : random.choice((at + size, len(content)))]
        elif how == 4:
            content[at:at] = random.randbytes(size)
        else:
            begin = random.randrange(len(content) + 1)
            content[at:at] = content[begin : begin + size] * random.choice((1, 50))
    return bytes(content)


def json_of(random, value):
    """JSON text of `value` with a few changed or removed values, NaN and unbounded integers among them."""
    value = copy.deepcopy(value)
    for _ in range(1 + int(random.expovariate(1.0))):
        holders = [value]
        for holder in holders:  # grows while it is walked
            inside = holder.values() if isinstance(holder, dict) else holder
            holders += [inner for inner in inside if isinstance(inner, dict | list) and inner]
        holder = random.choice(holders)
        if name := list(holder if isinstance(holder, dict) else range(len(holder))):
            holder[random.choice(name)] = copy.deepcopy(random.choice(VALUES))
            if random.random() < 0.1:
                del holder[random.choice(name)]
    text = json.dumps(value).encode()
    if random.random() < 0.1:
        text = text.replace(b"null", b"[" * random.choice((10, 900, 100_000)), 1)
    return bytes_of(random, text) if random.random() < 0.2 else text


def zip_of(random, members, change, packings=(zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)):
    """A zip with a member renamed, or changed by `change(random, content)` with a new checksum; or changed bytes."""
    members, how = list(members), random.random()
    at = random.randrange(len(members))
    if how < 0.6:
        members[at] = (members[at][0], change(random, members[at][1]))
    elif how < 0.7:
        members[at] = (random.choice((*NAMES, members[0][0])), members[at][1])
    content = zip_bytes(members, random.choice(packings))
    return bytes_of(random, content, range(len(content) - 300, len(content))) if how > 0.7 else content


def npy_of(random, content):
    """An .npy file with changes in its header or elsewhere."""
    return bytes_of(random, content, range(0, min(128, len(content))))


def tar_of(random, content):
    """A tar with a change in its first header, with a correct checksum; or changed bytes."""
    if random.random() < 0.5:
        return bytes_of(random, content, range(0, len(content), 512))
    header = bytearray(bytes_of(random, content[:512], (100, 124, 125, 135, 156, 345))[:512].ljust(512, b"\0"))
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    return bytes(header) + content[512:]


def pickle_of(random, content):
    """A pickle with removed, repeated, exchanged or added instructions, or with changed bytes."""
    if random.random() < 0.2:
        return bytes_of(random, content)
    starts = [position for _, _, position in pickletools.genops(content)] + [len(content)]
    parts = [content[begin:end] for begin, end in zip(starts, starts[1:], strict=False)]
    for _ in range(1 + int(random.expovariate(0.7))):
        at, other, how = random.randrange(len(parts)), random.randrange(len(parts)), random.randrange(5)
        if how == 0:
            parts[at] = b""
        elif how == 1:
            parts[at], parts[other] = parts[other], parts[at]
        elif how == 2:
            parts.insert(at, parts[other])
        else:
            parts.insert(at, instruction(random))
    return b"".join(parts)


def instruction(random):
    """One instruction of a pickle with an argument."""
    number, small = random.choice(NUMBERS), bytes([random.choice((0, 1, 2, random.randrange(256)))])
    return random.choice(
        (
            bytes([random.choice(b"()t\x86}]ueNRbQ\x81\x93o\x8f\x90\x912")]),  # without an argument
            random.choice((pickle.BINGET, pickle.BINPUT, pickle.BININT1, pickle.PROTO, pickle.EXT1)) + small,
            random.choice((pickle.LONG_BINPUT, pickle.LONG_BINGET)) + struct.pack("<I", number % 2**32),
            random.choice((pickle.BINUNICODE, pickle.BINBYTES)) + struct.pack("<I", number % 2**32) + b"abc",
            random.choice((pickle.FRAME, pickle.BINBYTES8, pickle.BYTEARRAY8)) + struct.pack("<Q", number),
            pickle.GLOBAL + random.choice(GLOBALS).encode() + b"\n",
        )
    )
