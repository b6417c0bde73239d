"""Removes metadata from encoded image files, for files that cannot be decoded because of it.

Pillow refuses a whole image for a large text, a damaged EXIF block or a wrong checksum of either. Here nothing is
decoded: parts of the file are copied or left out, so damaged pixels stay damaged.
"""

import zlib

MAX_PROFILE_BYTES = 16 << 20  # of a decompressed ICC profile; the largest in use have about 9 MB
XMP = b"XML:com.adobe.xmp\0"  # keyword of the PNG text that may contain the orientation


def without_metadata(data, keep):
    """Returns (the file without metadata, its ICC profile if that was cut out too, or None).

    Args:
        data: bytes of a PNG, JPEG, WebP or AVIF file; others are returned as they are.
        keep: leave what pixels are shown with, as far as it is well-formed: orientation and ICC profile.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        return _png(data, keep)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data, keep), None
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return _webp(data, keep), None
    if data[4:8] == b"ftyp":
        return data.replace(b"Exif", b"free"), None  # the type of an item that readers skip
    return data, None


def _png(data, keep):
    kept, profile, at = [data[:8]], None, 8
    while at + 8 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        kind, body, checksum = data[at + 4 : at + 8], data[at + 8 : end - 4], data[end - 4 : end]
        # tRNS is transparency. In an animation, IDAT is the first frame or the image for viewers without animations.
        needed = kind[:1].isupper() or kind == b"tRNS"
        if needed:
            kept.append(data[at:end])
        elif keep and checksum == zlib.crc32(kind + body).to_bytes(4, "big"):
            if kind == b"eXIf" or (kind == b"iTXt" and body.startswith(XMP)):
                kept.append(data[at:end])
            elif kind == b"iCCP" and profile is None:
                profile = _inflate(body.partition(b"\0")[2][1:])
        at = end
    return b"".join(kept), profile


def _inflate(packed):
    """Decompresses an ICC profile; returns None if it is damaged, or larger than MAX_PROFILE_BYTES."""
    decompressor = zlib.decompressobj()
    try:
        profile = decompressor.decompress(packed, MAX_PROFILE_BYTES)
    except zlib.error:
        return None
    return profile if decompressor.eof else None


def _jpeg(data, keep):
    kept, at = [data[:2]], 2
    while data[at : at + 1] == b"\xff" and len(data) >= at + 4 and data[at + 1] != 0xDA:  # the pixels follow 0xDA
        if data[at + 1] == 0xFF:  # padding
            at += 1
            continue
        marker, end = data[at + 1], at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        body = data[at + 4 : end]
        needed = not (0xE0 <= marker <= 0xEF or marker == 0xFE)
        if marker in (0xE0, 0xEE):  # JFIF and Adobe: they define the colour space
            needed = len(body) >= 12
        elif keep and marker in (0xE1, 0xE2):
            needed = body.startswith(b"Exif\0\0") or (body.startswith(b"ICC_PROFILE\0") and len(body) > 14)
        if needed:
            kept.append(data[at:end])
        at = end
    return b"".join(kept) + data[at:]


def _webp(data, keep):
    kept, at = [], 12
    names = {b"VP8X", b"VP8 ", b"VP8L", b"ALPH", b"ANIM", b"ANMF", *((b"ICCP", b"EXIF") if keep else ())}
    while at + 8 <= len(data):
        size = int.from_bytes(data[at + 4 : at + 8], "little")
        name, end = data[at : at + 4], at + 8 + size + size % 2
        if name in names and (end <= len(data) or name not in (b"ICCP", b"EXIF")):
            kept.append(data[at:end])
        at = end
    flags = {b"ICCP": 0x20, b"EXIF": 0x08}
    if kept and kept[0][:4] == b"VP8X" and len(kept[0]) >= 18:  # states which of them follow
        present = sum(flags.get(name, 0) for name in {chunk[:4] for chunk in kept})
        kept[0] = kept[0][:8] + bytes([kept[0][8] & 0x12 | present]) + kept[0][9:]  # 0x12: transparent, animated
    body = b"WEBP" + b"".join(kept)
    return b"RIFF" + len(body).to_bytes(4, "little") + body
