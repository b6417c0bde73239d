"""Random changes to bytes and to JSON, each a function of its random.Random."""

import copy
import json
import struct

NUMBERS = (
    0,
    1,
    2,
    127,
    128,
    255,
    4096,
    0x7FFF,
    0xFFFF,
    10**9,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    2**63 - 1,
    2**64 - 1,
)
FORMATS = ("<H", ">H", "<I", ">I", "<Q", ">Q")
TEXTS = (
    *("", "x", "0", "-1", "nan", "1e999", "None", "\x00", "\n", "a\nb", "\x1b[31m", "\ud800", "../../x", "/etc/passwd"),
    *("<script>alert(1)</script>", "|", "`", "~nobody", "tfds:x:y", "4:8,8:x", "1024:1e400", "9" * 5000, "z" * 100_000),
)
VALUES = (
    *(None, True, False, 0, -1, 1, 0.5, -0.0, 10**15, 10**30, 10**400, 2**63, 1e308, -1e308, 5e-324),
    *(float("nan"), float("inf"), float("-inf"), [], {}, [[[]]], {"a": {"b": []}}, [1, "x"], *TEXTS),
)


def bytes_of(random, content, fields=()):
    """Changes a few bytes of `content`, more often at the offsets `fields`."""
    content = bytearray(content)
    for _ in range(1 + int(random.expovariate(0.8))):
        at = random.choice(fields) if fields and random.random() < 0.6 else random.randrange(len(content) + 1)
        random.choice(CHANGES)(random, content, min(at, len(content)))
    return bytes(content)


def _flip(random, content, at):
    if at < len(content):
        content[at] ^= 1 << random.randrange(8)


def _byte(random, content, at):
    if at < len(content):
        content[at] = random.choice((0, 1, 0x7F, 0x80, 0xFF, random.randrange(256)))


def _number(random, content, at):
    code = random.choice(FORMATS)
    size = struct.calcsize(code)
    number = random.choice((*NUMBERS, len(content), len(content) - at, random.randrange(2**16)))
    content[at : at + size] = struct.pack(code, number % 256**size)


def _cut(random, content, at):
    del content[at : at + random.choice((1, 2, 4, 16, 1 << random.randrange(12)))]


def _end(random, content, at):
    del content[at:]


def _noise(random, content, at):
    content[at:at] = random.randbytes(1 << random.randrange(8))


def _again(random, content, at):
    begin = random.randrange(len(content) + 1)
    content[at:at] = content[begin : begin + (1 << random.randrange(9))] * random.choice((1, 1, 2, 50))


def _zeros(random, content, at):
    size = min(1 << random.randrange(9), len(content) - at)
    content[at : at + size] = bytes(size)


CHANGES = (_flip, _byte, _byte, _number, _number, _number, _cut, _end, _noise, _again, _zeros)


def json_of(random, value):
    """JSON text of `value` with a few changed values, names or brackets, NaN and unbounded integers among them."""
    value = copy.deepcopy(value)
    for _ in range(1 + int(random.expovariate(1.0))):
        _change_value(random, value)
    text = json.dumps(value)
    if random.random() < 0.1:
        depth = random.choice((10, 900, 100_000))
        text = text.replace("null", "[" * depth + "]" * random.choice((0, depth)), 1)
    if random.random() < 0.05:
        text = text.replace("0", "9" * random.choice((20, 4300, 100_000)), 1)
    return bytes_of(random, text.encode()) if random.random() < 0.2 else text.encode()


def _change_value(random, value):
    holders = [value]
    for holder in holders:  # grows while it is walked
        inside = holder.values() if isinstance(holder, dict) else holder
        holders += [inner for inner in inside if isinstance(inner, dict | list)]
    holder = random.choice(holders[1:] if len(holders) > 1 and random.random() < 0.9 else holders)
    names = list(holder) if isinstance(holder, dict) else list(range(len(holder)))
    name = random.choice(names) if names else None
    how = random.random()
    if name is None or how < 0.05:
        if isinstance(holder, dict):
            holder[random.choice(TEXTS)] = copy.deepcopy(random.choice(VALUES))
        else:
            holder.append(copy.deepcopy(random.choice(VALUES)))
    elif how < 0.1:
        del holder[name]
    else:
        holder[name] = copy.deepcopy(random.choice(VALUES))
