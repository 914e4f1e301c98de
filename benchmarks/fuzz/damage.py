"""Damaged and hostile TIFF files: cut off, bits flipped, tags of hostile values, offsets sent astray, chains of IFDs bent into
loops; and OME-XML with other units, sizes, images and entities. The same generator always makes the same file.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np

HOSTILE = (
    0,
    1,
    2,
    3,
    7,
    255,
    65535,
    65536,
    1 << 24,
    (1 << 31) - 1,
    1 << 31,
    (1 << 32) - 1,
    (1 << 63) - 1,
    (1 << 64) - 1,
)
TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}

# ---------------------------------------------------------------- files


def seeds(folder: Path, size: int = 320) -> list[bytes]:
    """Whole slides to damage, ``size`` pixels high; of JPEG and deflate, a chain and SubIFDs, BigTIFF."""
    import tifffile

    from stainxform.samples import pair

    tile = 64 if size >= 320 else 16
    image = pair(1, (size, size * 6 // 5), seed=9)[0][0].copy()
    image[:, size * 4 // 5 :] = 244
    made = []
    for number, (levels, big, sub, options) in enumerate(
        (
            (3, False, False, {"compression": "jpeg", "photometric": "rgb"}),
            (3, False, False, {"compression": "deflate", "photometric": "rgb"}),
            (1, False, False, {"compression": "jpeg", "photometric": "rgb", "description": "Aperio Image Library v1\n384x320 |AppMag = 20|MPP = 0.5"}),
            (3, True, False, {"compression": "jpeg", "photometric": "rgb"}),
            (2, False, True, {"compression": "deflate", "photometric": "rgb"}),
        )
    ):  # fmt: skip
        path = folder / f"seed{number}.tif"
        with tifffile.TiffWriter(path, bigtiff=big) as file:
            for rank in range(levels):
                file.write(
                    np.ascontiguousarray(image[:: 1 << rank, :: 1 << rank]),
                    tile=(tile, tile),
                    metadata=None,
                    subfiletype=int(rank > 0),
                    subifds=levels - 1 if sub and rank == 0 else None,
                    **options,
                )
        made.append(path.read_bytes())
    return made


def ome_seeds(folder: Path, size: int = 320) -> list[bytes]:
    """OME-TIFF files whose XML is worth damage: one series, a macro before the scan, channels as pages, our own writer's."""
    import tifffile

    import stainxform as sx
    from stainxform.maps import IdentityMap
    from stainxform.samples import pair
    from stainxform.slides import write_slide

    tile = (64, 64) if size >= 320 else (16, 16)
    image = pair(1, (size, size * 6 // 5), seed=9)[0][0].copy()
    image[:, size * 4 // 5 :] = 244
    metadata = {
        "axes": "YXS",
        "PhysicalSizeX": 0.5,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": 0.5,
        "PhysicalSizeYUnit": "µm",
    }
    made = []
    for number in range(3):
        path = folder / f"ome{number}.ome.tif"
        with tifffile.TiffWriter(path, ome=True) as file:
            tiled = {"tile": tile, "compression": "deflate", "photometric": "rgb"}
            if number == 1:
                file.write(image[: size // 5, : size // 4].copy(), metadata={"axes": "YXS", "Name": "macro"}, **tiled)
            if number == 2:
                planes = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeXUnit": "µm"}
                file.write(np.moveaxis(image, -1, 0).copy(), tile=tile, compression="deflate", metadata=planes)
            else:
                file.write(image, subifds=1, metadata=metadata, **tiled)
                file.write(image[::2, ::2].copy(), subfiletype=1, **tiled)
        made.append(path.read_bytes())
    with sx.open_slide(folder / "ome0.ome.tif") as slide:
        write_slide(slide, folder / "ours.ome.tif", IdentityMap(), threads=1)
    made.append((folder / "ours.ome.tif").read_bytes())
    return made


XML_VALUES = (
    "0", "-1", "1", "3", "384", "1e400", "nan", "inf", "", "0.5", "500", "0.0005", "1e-320", "99999999999999999999", "µm", "&#181;m",
    "um", "nm", "mm", "cm", "m", "km", "inch", "pixel", "reference frame", "&unknown;", "&amp;", "uint16", "float", "XYCZT", "XYZCT", "label",
    "macro", "Image:0", "\x00", "\u00e9",
)  # fmt: skip

XML_PIECES = (
    b"<!DOCTYPE x [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>]>", b"<!DOCTYPE x SYSTEM 'file:///etc/hostname'>",
    b"<Image/>", b"</OME>", b"<", b"&", b"]]>", b"<!--", b"<Pixels SizeX='1' SizeY='1'/>", b"<Image ID='Image:9' Name='label'><Pixels/></Image>",
    b"\xff\xfe", b"<a>" * 200,
)  # fmt: skip


def mutate_xml(data: bytes, rng: np.random.Generator) -> bytes:
    """The file with another OME-XML, appended at its end, where tag 270 of its first image now points."""
    tags = _tags(bytearray(data))
    found = None if tags is None else _description(data, tags)
    if tags is None or found is None:
        return mutate(data, rng)
    entry, text = found
    for _ in range(rng.integers(1, 5)):
        text = _other_xml(text, rng)
    result = bytearray(data)
    result += b"\0" * (len(result) % 2)
    struct.pack_into("<HH" + tags.word[1] * 2, result, entry, 270, 2, len(text) + 1, len(result))
    return bytes(result + text + b"\0" * 9)


def _other_xml(text: bytes, rng: np.random.Generator) -> bytes:
    attributes = [match.span(2) for match in re.finditer(rb'([A-Za-z]+)="([^"]*)"', text)]
    turn = rng.integers(8)
    if attributes and turn < 4:
        start, end = attributes[rng.integers(len(attributes))]
        return text[:start] + str(rng.choice(XML_VALUES)).encode() + text[end:]
    if attributes and turn == 4:  # an attribute less
        start, end = attributes[rng.integers(len(attributes))]
        return text[: text.rindex(b" ", 0, start)] + text[end + 1 :]
    at = int(rng.integers(0, len(text) + 1))
    if turn == 5:
        return text[:at] + XML_PIECES[rng.integers(len(XML_PIECES))] + text[at:]
    if turn == 6:
        return text[:at]
    other = int(rng.integers(0, len(text) + 1))
    return text[: min(at, other)] + text[max(at, other) :]


def _description(data: bytes, tags: Tags) -> tuple[int, bytes] | None:
    """Where the first tag 270 that is XML stands, and its text."""
    for entry in tags.entries:
        code, kind, count = struct.unpack_from("<HH" + tags.word[1], data, entry)
        if (code, kind) == (270, 2):
            (offset,) = struct.unpack_from(tags.word, data, entry + (12 if tags.big else 8))
            text = data[offset : offset + count].rstrip(b"\0")
            if text.lstrip().startswith(b"<?xml") or b"<OME" in text:
                return entry, text
    return None


class Tags:
    """Where the IFDs and tags of a TIFF file are."""

    def __init__(self, data: bytes):
        self.big = data[2] == 43
        self.word, self.size = ("<Q", 8) if self.big else ("<I", 4)
        self.pointers: list[int] = [8 if self.big else 4]
        self.ifds: list[int] = []
        self.entries: list[int] = []
        while (offset := struct.unpack_from(self.word, data, self.pointers[-1])[0]) and offset not in self.ifds:
            self.ifds.append(offset)
            count = struct.unpack_from("<Q" if self.big else "<H", data, offset)[0]
            first, length = offset + (8 if self.big else 2), 20 if self.big else 12
            self.entries += [first + length * n for n in range(count)]
            self.pointers.append(first + length * count)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """One damaged file, of one to three kinds of damage."""
    kinds: tuple[Callable[[bytearray, np.random.Generator], None], ...] = (
        _cut, _flip_anywhere, _flip_in_the_index, _hostile_value, _hostile_value, _hostile_count, _astray, _loop, _overwrite,
    )  # fmt: skip
    result = bytearray(data)
    for _ in range(rng.integers(1, 4)):
        kinds[rng.integers(len(kinds))](result, rng)
    return bytes(result)


def _cut(data: bytearray, rng: np.random.Generator) -> None:
    del data[int(rng.integers(0, len(data))) :]


def _flip_anywhere(data: bytearray, rng: np.random.Generator) -> None:
    for offset in rng.integers(0, max(1, len(data)), rng.integers(1, 40)) if data else ():
        data[offset] ^= 1 << int(rng.integers(8))


def _flip_in_the_index(data: bytearray, rng: np.random.Generator) -> None:
    if tags := _tags(data):
        for _ in range(rng.integers(1, 6)):
            offset = int(rng.choice(tags.entries)) + int(rng.integers(20 if tags.big else 12))
            if offset < len(data):
                data[offset] ^= 1 << int(rng.integers(8))


def _hostile_value(data: bytearray, rng: np.random.Generator) -> None:
    """The value of a tag, or the offset of its values."""
    if tags := _tags(data):
        _put(data, int(rng.choice(tags.entries)) + (12 if tags.big else 8), tags.size, rng)


def _hostile_count(data: bytearray, rng: np.random.Generator) -> None:
    if tags := _tags(data):
        _put(data, int(rng.choice(tags.entries)) + 4, tags.size, rng)


def _astray(data: bytearray, rng: np.random.Generator) -> None:
    """A number among the offsets and byte counts of the tiles."""
    if tags := _tags(data):
        for entry in rng.permutation(tags.entries):
            code, kind, count = struct.unpack_from("<HH" + tags.word[1], data, entry)
            wide = TYPE_BYTES.get(kind, 1)
            if code in (324, 325, 273, 279, 330) and count * wide > tags.size:
                (offset,) = struct.unpack_from(tags.word, data, entry + (12 if tags.big else 8))
                _put(data, offset + int(rng.integers(count)) * wide, wide, rng)
                return


def _loop(data: bytearray, rng: np.random.Generator) -> None:
    """The next IFD is one that was before, or somewhere else."""
    if tags := _tags(data):
        offset = int(rng.choice(tags.pointers))
        target = int(rng.choice(tags.ifds)) if rng.random() < 0.7 else int(rng.integers(0, 1 << 32))
        if offset + tags.size <= len(data):
            struct.pack_into(tags.word, data, offset, target)


def _overwrite(data: bytearray, rng: np.random.Generator) -> None:
    if len(data) > 64:
        start = int(rng.integers(0, len(data) - 32))
        data[start : start + 32] = rng.bytes(32) if rng.random() < 0.7 else b"\xff" * 32


def _put(data: bytearray, offset: int, size: int, rng: np.random.Generator) -> None:
    if offset + size <= len(data):
        value = int(rng.choice(np.array(HOSTILE, np.uint64))) % (1 << 8 * size)
        data[offset : offset + size] = value.to_bytes(size, "little")


def _tags(data: bytearray) -> Tags | None:
    try:
        tags = Tags(bytes(data))
    except (struct.error, IndexError):
        return None
    return tags if tags.entries else None
