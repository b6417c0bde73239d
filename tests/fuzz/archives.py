"""Changes to zip, tar, npy and PNG files with correct checksums, so that readers do not stop at them."""

import io
import struct
import tarfile
import zipfile
import zlib

from tests.fuzz.mutate import NUMBERS, TEXTS, bytes_of

# Offsets of the fields after each signature of a zip.
ZIP_FIELDS = {
    b"PK\x03\x04": (4, 6, 8, 14, 18, 22, 26, 28, 30),
    b"PK\x01\x02": (4, 6, 8, 10, 16, 20, 24, 28, 30, 32, 34, 38, 42, 46),
    b"PK\x05\x06": (4, 6, 8, 10, 12, 16, 20),
    b"PK\x06\x06": (4, 12, 24, 32, 40, 48),
    b"PK\x06\x07": (4, 8, 16),
}
NAMES = ("../x.png", "/x.png", "C:x.png", "a\nb.png", "\x1b[2Jx.png", "x" * 5000 + ".png", "", ".png", "meta_json.npy")
PACKINGS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
SHAPES = ("()", "(0,)", "(-1,)", "(-2, -5, 4, 3)", "(3, 0, 4, 3)", "(1000000000000,)", "(3, 5, 4, 3)", "((3,),)", "[3]")
SHAPES += ("(" * 500 + ")" * 500, "(True, 5, 4, 3)", "(3, 5, 4, 4294967296)", "(1e3,)", "'x'", "(3, 5, 4, 30000000)")
TYPES = (
    "|u1",
    "<f4",
    "|O",
    "<U1000000",
    "<U2",
    "|S0",
    "|V1000000000",
    "<M8[s]",
    "garbage",
    ">c16",
    "<f2",
    "|b1",
    "<i9",
)
TYPES += ("(100000,)u1", "u1,u1", "<U2147483647", "|V0")


def zip_fields(content):
    """Offsets of all fields in a zip archive."""
    found = []
    for signature, offsets in ZIP_FIELDS.items():
        at = content.find(signature)
        while at >= 0:
            found += [at + offset for offset in offsets]
            at = content.find(signature, at + 4)
    return found


def packed(members, packing=zipfile.ZIP_STORED):
    """A zip archive of [(name, content)]."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", packing) as archive:
        for name, content in members:
            archive.writestr(zipfile.ZipInfo(name), content, packing)
    return file.getvalue()


def zip_of(random, members, change, usual=PACKINGS[:2]):
    """A zip with a member changed by `change(random, content)`, renamed or removed; or with changed bytes."""
    members, how = list(members), random.random()
    at = random.randrange(len(members))
    name, content = members[at]
    if how < 0.45:
        members[at] = (name, change(random, content))
    elif how < 0.5:
        members[at] = (random.choice((*NAMES, *(other for other, _ in members))), content)
    elif how < 0.53:
        del members[at]
    elif how < 0.56:
        members[at] = (name, content + bytes(random.choice((1 << 20, 4 << 20))))
    whole = packed(members, random.choice(PACKINGS if random.random() < 0.2 else usual))
    if not whole or how < 0.56 and random.random() < 0.9:
        return whole
    return bytes_of(random, whole, zip_fields(whole))


def npy_of(random, content):
    """An .npy file with another shape or type in its header, or changed bytes."""
    if random.random() < 0.4 or content[:6] != b"\x93NUMPY":
        return bytes_of(random, content, range(0, min(128, len(content))))
    [length] = struct.unpack("<H", content[8:10])
    text, rest = content[10 : 10 + length].decode("latin1"), content[10 + length :]
    begin, end = text.index("'shape': ") + 9, text.rindex(", }")
    if random.random() < 0.5:
        text = text[:begin] + random.choice(SHAPES) + text[end:]
    elif random.random() < 0.8:
        first = text.index("'descr': ") + 9
        text = text[:first] + repr(random.choice(TYPES)) + text[text.index(", 'fortran") :]
    else:
        text = text.replace("False", random.choice(("True", "None", "3", "[[]]")))
    return content[:8] + struct.pack("<H", len(text)) + text.encode("latin1") + rest


def png_of(random, content):
    """A PNG with a chunk changed, removed or repeated, with correct checksums."""
    parts, at = [], 8
    while at + 8 <= len(content):
        [size] = struct.unpack(">I", content[at : at + 4])
        parts.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    i = random.randrange(len(parts))
    kind, data = parts[i]
    how = random.random()
    if how < 0.7:
        kinds = (b"tRNS", b"PLTE", b"eXIf", b"iTXt", b"zTXt", b"iCCP", b"gAMA", b"acTL", b"fcTL", b"fdAT", b"IDAT")
        parts[i] = (random.choice((kind, kind, kind, *kinds)), bytes_of(random, data, range(min(13, len(data)))))
    elif how < 0.8:
        del parts[i]
    elif how < 0.9:
        parts.insert(random.randrange(len(parts)), parts[i])
    else:
        parts.insert(1, (b"zTXt", b"a\0\0" + zlib.compress(bytes(random.choice((1 << 10, 8 << 20))))))
    out = bytearray(content[:8])
    for kind, data in parts:
        out += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return bytes(out)


def tar_of(random, members):
    """A tar with changed fields in its headers, with correct checksums; or with added headers."""
    file = io.BytesIO()
    layout = random.choice((tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT))
    with tarfile.open(fileobj=file, mode="w", format=layout) as archive:
        for name, content in members:
            info = tarfile.TarInfo(random.choice(("d/" * 60 + name, *NAMES)) if random.random() < 0.1 else name)
            info.name = info.name[-99:] if layout == tarfile.USTAR_FORMAT else info.name
            info.size = len(content)
            if layout == tarfile.PAX_FORMAT and random.random() < 0.5:
                keys = ("size", "path", "GNU.sparse.size", "GNU.sparse.map", "GNU.sparse.major", "mtime", "hdrcharset")
                info.pax_headers = {random.choice(keys): random.choice(("-512", "1", "BINARY", *_plain(TEXTS)))}
            archive.addfile(info, io.BytesIO(content))
    content = bytearray(file.getvalue())
    if random.random() < 0.3:
        return bytes_of(random, content, range(0, len(content), 512))
    for _ in range(random.randrange(1, 4)):
        at = 512 * random.randrange(len(content) // 512)
        field, size = random.choice(
            ((0, 100), (100, 8), (124, 12), (124, 12), (124, 12), (136, 12), (156, 1), (345, 155))
        )
        negative, large = b"\xff" * 10 + b"\xfe\x00", b"\x80" + random.choice(NUMBERS).to_bytes(11, "big")
        values = (negative, large, b"7" * size, random.choice((b"L", b"K", b"x", b"g", b"S", b"1", b"5", b"X")))
        content[at + field : at + field + size] = random.choice(values)[:size].ljust(size, b"\0")
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
    return bytes(content)


def _plain(texts):
    return [text for text in texts if text.isprintable()]
