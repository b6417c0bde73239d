"""Separates metadata from encoded image files, for files that cannot be decoded because of it.

Pillow refuses a whole image for a large text, a damaged EXIF block or a wrong checksum of either. Here nothing is
decoded: parts of the file are copied or left out, so damaged pixels stay damaged.
"""

import zlib

MAX_PROFILE_BYTES = 16 << 20  # of a decompressed ICC profile; the largest in use have about 9 MB


def without_metadata(data):
    """Returns (the file without metadata, {"exif": bytes, "icc_profile": bytes} as far as it contains them).

    `data` is the content of a PNG, JPEG, WebP or AVIF file; others are returned as they are.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data)
    if data[4:8] == b"ftyp":
        return data.replace(b"Exif", b"free"), {}  # the type of an item that readers skip
    return data, {}


def _png(data):
    kept, info, at = [data[:8]], {}, 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, body = data[at + 4 : at + 8], data[at + 8 : end - 4]
        # tRNS is transparency. In an animation, IDAT is the first frame or the image for viewers without animations.
        if kind[:1].isupper() or kind == b"tRNS":
            kept.append(data[at:end])
        elif kind == b"eXIf":
            info["exif"] = body
        elif kind == b"iCCP":
            decompressor = zlib.decompressobj()
            try:
                profile = decompressor.decompress(body.partition(b"\0")[2][1:], MAX_PROFILE_BYTES)
            except zlib.error:
                profile = b""
            if decompressor.eof:  # complete
                info["icc_profile"] = profile
        at = end
    return b"".join(kept), info


def _jpeg(data):
    kept, info, profile, at = [data[:2]], {}, b"", 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 4 and data[at + 1] != 0xDA:  # the pixels follow 0xDA
        if data[at + 1] == 0xFF:  # padding
            at += 1
            continue
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        is_metadata = 0xE0 <= marker <= 0xEF or marker == 0xFE
        # JFIF and Adobe define the colour space.
        if not is_metadata or (marker in (0xE0, 0xEE) and len(body) >= 12):
            kept.append(data[at:end])
        elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
            info["exif"] = body
        elif marker == 0xE2 and body.startswith(b"ICC_PROFILE\0"):
            profile += body[14:]  # a large one has several parts
        at = end
    return b"".join(kept) + data[at:], info | ({"icc_profile": profile} if profile else {})


def _webp(data):
    kept, info, at = [], {}, 12
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        name, end = data[at : at + 4], at + 8 + size + size % 2
        if name == b"VP8X":  # 0x12: its flags of transparency and animation, without those of metadata
            kept.append(data[at : at + 8] + bytes(flags & 0x12 for flags in data[at + 8 : at + 9]) + data[at + 9 : end])
        elif name in (b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF"):
            kept.append(data[at:end])
        elif name in (b"ICCP", b"EXIF"):
            info["icc_profile" if name == b"ICCP" else "exif"] = data[at + 8 : at + 8 + size]
        at = end
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body, info
