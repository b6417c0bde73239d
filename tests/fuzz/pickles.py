"""Changes to whole instructions of a pickle, and random programs of instructions."""

import pickle
import pickletools
import struct

from tests.fuzz.mutate import NUMBERS, bytes_of

GLOBALS = ("os\nsystem", "builtins\neval", "collections\nOrderedDict", "torch._utils\n_rebuild_tensor_v2")
GLOBALS += ("tfutil\nNetwork", "numpy\ndtype", "numpy\nndarray", "numpy.core.multiarray\n_reconstruct")
GLOBALS += ("torch_utils.persistence\n_reconstruct_persistent_obj", "torch.storage\n_load_from_bytes", "builtins\nset")
GLOBALS += ("torch\nFloatStorage", "torch._utils\n_rebuild_parameter", "collections\nOrderedDict.fromkeys")


def instruction(random):
    """One instruction with an argument."""
    small = bytes([random.choice((0, 1, 2, 3, random.randrange(256)))])
    number = random.choice(NUMBERS)
    return random.choice(
        (
            *(b"(", b")", b"t", b"\x85", b"\x86", b"\x87", b"}", b"]", b"a", b"e", b"s", b"u", b"N", b"\x88", b"\x89"),
            *(b"R", b"b", b"Q", b"\x81", b"\x93", b"\x94", b"0", b"2", b".", b"\x92", b"o", b"\x8f", b"\x90"),
            *(b"h" + small, b"q" + small, b"K" + small, b"J" + struct.pack("<I", number % 2**32), b"\x80" + small),
            *(b"r" + struct.pack("<I", number % 2**32), b"j" + struct.pack("<I", number % 2**32)),
            b"\x8a" + small + bytes(small[0]),
            b"\x95" + struct.pack("<Q", number),
            b"X" + struct.pack("<I", 3) + b"abc",
            b"X" + struct.pack("<I", number % 2**32) + b"abc",
            b"G" + struct.pack(">d", random.choice((0.5, float("nan"), float("inf")))),
            b"c" + random.choice(GLOBALS).encode() + b"\n",
            b"B" + struct.pack("<I", number % 2**32) + b"abc",
            b"\x8e" + struct.pack("<Q", number),
        )
    )


def program(random):
    """A sequence of instructions; some are patterns that grow or nest."""
    parts = [b"\x80\x02"]
    how = random.random()
    if how < 0.1:  # a key that is a tuple in a tuple ...
        parts += [b"}", b")", b"\x85" * random.choice((10, 1000, 200_000)), b"K\x01", b"s"]
    elif how < 0.2:  # ... twice, and so on
        parts += [b"})q\x00", b"h\x00\x86q\x00" * random.choice((3, 30, 60)), b"K\x01s"]
        parts[2] = b"".join(b"h\x00h\x00\x86q\x00" for _ in range(random.choice((3, 30, 60))))
    elif how < 0.25:
        parts += [random.choice((b"]", b"(", b"}")) * random.choice((10, 100_000))]
    parts += [instruction(random) for _ in range(random.randrange(1, 60))]
    return b"".join(parts) + b"."


def pickle_of(random, content):
    """A pickle with removed, repeated, exchanged or added instructions, or with changed bytes."""
    how = random.random()
    if how < 0.2:
        return bytes_of(random, content)
    if how < 0.4:
        return program(random)
    starts = [position for _, _, position in pickletools.genops(content)] + [len(content)]
    parts = [content[begin:end] for begin, end in zip(starts, starts[1:], strict=False)]
    for _ in range(1 + int(random.expovariate(0.7))):
        at, other = random.randrange(len(parts)), random.randrange(len(parts))
        change = random.randrange(5)
        if change == 0 and len(parts) > 1:
            del parts[at]
        elif change == 1:
            parts[at], parts[other] = parts[other], parts[at]
        elif change == 2:
            parts.insert(at, parts[other])
        elif change == 3:
            parts[at] = instruction(random)
        else:
            parts.insert(at, instruction(random))
    return b"".join(parts) if random.random() < 0.9 else b"".join(parts) + pickle.STOP
