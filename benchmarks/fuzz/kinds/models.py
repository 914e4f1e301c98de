"""Model files, calibrations, color statistics and .cube tables: bytes, headers, settings and numbers changed.

Half of the changes come with checksums that fit again, so that they reach what is behind the checksum. A file must be
refused when it is read, or make results that are finite and in range.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from checks import Where, attempt, check_same, check_values, only_our_warnings
from faults import Fault
from subjects import normalizers, tiles

import stainxform as sx
from stainxform.augment import ColorStatistics
from stainxform.augment.randstainna import RandStainNA
from stainxform.image.layout import check_image
from stainxform.io.modelfile import digest, settings_digest
from stainxform.maps.cube import read_cube, write_cube
from stainxform.maps.lut3d import Lut3DMap
from stainxform.testing.images import blank_image

Rng = np.random.Generator

HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 3, 7, 255, 256, 65536, 1 << 31, 1 << 40, 1 << 63, 10**30, 0.0, -0.0, 0.5, 1.5, -0.5, 1e-300, 1e-30, 1e30,
    1e300, float("nan"), float("inf"), float("-inf"), "", "a", "macenko", "cielab", "ruderman", "\0", "9" * 300, [], [0], [[]], {}, {"type": "IdentityMap", "fields": {}},
    {"array": "nothing"}, {"tuple": []}, {"a": 1}, [1, 2, 3], [0.1] * 20, [-1.0] * 20, "\ud800",
)  # fmt: skip

DTYPES = ("F16", "F32", "F64", "BF16", "I64", "U8", "BOOL", "F8_E4M3", "C64", "X", "")


class Models:
    """See the module."""

    seconds = 10.0
    memory = 1 << 30

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self._path = folder / "case.safetensors"
        self._cube = folder / "case.cube"
        self._again = folder / "again.safetensors"
        self._files: dict[str, bytes] = {}
        for name, normalizer in normalizers().items():
            normalizer.save(self._path)
            self._files[name] = self._path.read_bytes()
        ColorStatistics.fit(tiles()[0]).save(self._path)
        self._files["color statistics"] = self._path.read_bytes()
        write_cube(self._cube, Lut3DMap(np.random.default_rng(0).uniform(0, 1, (5, 5, 5, 3))))
        self._files["cube"] = self._cube.read_bytes()
        tissue = tiles()[1][0]
        self._images = [
            tissue, (tissue / 255).astype(np.float32), blank_image(245, 20, 20), np.zeros((5, 7, 3), np.uint8),
            np.random.default_rng(1).integers(0, 256, (9, 300, 3)).astype(np.uint8), (tissue[:40] / 255).astype(np.float64),
        ]  # fmt: skip

    def case(self, number: int) -> str:
        """One file."""
        rng = np.random.default_rng((14, number))
        name = list(self._files)[rng.integers(len(self._files))]
        data = self._files[name]
        if name == "cube":
            return self._table(_text_changed(data, rng) if rng.random() < 0.6 else _bytes_changed(data, rng), rng)
        changed = data
        for _ in range(rng.integers(1, 4)):
            change = (
                _bytes_changed,
                _header_changed,
                _record_changed,
                _record_changed,
                _numbers_changed,
                _numbers_changed,
            )
            changed = change[rng.integers(len(change))](changed, rng)
        self._path.write_bytes(changed)
        if name == "color statistics":
            return self._statistics(rng)
        loaded, error = attempt(lambda: sx.load(self._path), overflow=True)
        if error is not None:
            return "refused"
        where = Where(
            "a changed model",
            loaded.method if loaded.method != "calibration" else f"calibration of {loaded.model_method}",
        )
        image = self._images[rng.integers(len(self._images))]
        if not self._apply(loaded, image, where):
            return "refused when applied"
        _, error = attempt(lambda: loaded.save(self._again), overflow=True)
        if error is not None:
            return "applied, not saved again"
        with only_our_warnings(overflow=True):
            one, other = loaded(image), sx.load(self._again)(image)
        check_same(other, one, 0.0, (0.0, 1.0), Where("saved and read again", where.subject))
        return "applied"

    def _apply(self, function: Callable[[Any], Any], image: np.ndarray, where: Where) -> bool:
        """Whether there is a result, which then is right; an error that says what is wrong with the model is none."""
        before = image.tobytes()
        result, error = attempt(lambda: function(image), overflow=True)
        if image.tobytes() != before:
            raise where.broken("the input was written to")
        if error is not None:
            return False
        if result.shape != image.shape or result.dtype != image.dtype:
            raise where.broken("another kind comes back")
        check_values(result[None], image[None], (0.0, 1.0), where)
        return True

    def _statistics(self, rng: Rng) -> str:
        loaded, error = attempt(lambda: ColorStatistics.load(self._path), overflow=True)
        if error is not None:
            return "refused"
        augmentation, image = RandStainNA(model=loaded), self._images[rng.integers(len(self._images))]
        draw = augmentation.sample(rng)
        if not all(np.isfinite(value) for value in draw.values()):
            raise Fault("a draw is not finite: color statistics", str(draw))
        self._apply(lambda shown: augmentation(shown, draw), image, Where("changed color statistics", "randstainna"))
        return "applied"

    def _table(self, data: bytes, rng: Rng) -> str:
        self._cube.write_bytes(data)
        found, error = attempt(lambda: read_cube(self._cube, str(rng.choice(["tetrahedral", "trilinear"]))))
        if error is not None:
            return "refused"
        self._apply(
            lambda image: found.apply(image, check_image(image)),
            self._images[rng.integers(len(self._images))],
            Where("a changed .cube", "cube"),
        )
        return "applied"


# ---- changes: each takes the bytes of a file and gives others; where they are no file any more, bytes are changed


def _bytes_changed(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    turn = rng.integers(5)
    if not changed or turn == 0:
        return bytes(changed[: rng.integers(0, len(changed) + 1)])
    if turn == 1:
        for at in rng.integers(0, len(changed), rng.integers(1, 20)):
            changed[at] ^= 1 << int(rng.integers(8))
    elif turn == 2:
        at = int(rng.integers(0, len(changed)))
        changed[at:at] = rng.bytes(int(rng.integers(1, 40)))
    elif turn == 3:
        at = int(rng.integers(0, len(changed)))
        changed[at : at + 16] = b"\xff" * 16
    elif len(changed) >= 8:
        struct.pack_into("<Q", changed, 0, (0, 1, 1 << 31, 1 << 63, (1 << 64) - 1)[rng.integers(5)])
    return bytes(changed)


def _text_changed(data: bytes, rng: Rng) -> bytes:
    lines = data.decode(errors="replace").split("\n")
    for _ in range(rng.integers(1, 4)):
        at = int(rng.integers(len(lines)))
        new = ("LUT_3D_SIZE 1", "LUT_3D_SIZE 0", "LUT_3D_SIZE -3", "LUT_3D_SIZE 999999999", "LUT_3D_SIZE 4", "nan nan nan", "1e999 0 0", "1 2",
               "DOMAIN_MIN 1 1 1", "DOMAIN_MAX 0 0 0", "DOMAIN_MAX 1e-300 1 1", "DOMAIN_MIN nan 0 0", "1e30 -1e30 0", "LUT_1D_SIZE 4", "# x", "\0", "")  # fmt: skip
        lines[at] = str(rng.choice(new))
    return "\n".join(lines).encode()


def _taken_apart(data: bytes) -> tuple[dict[str, Any], bytes] | None:
    try:
        (length,) = struct.unpack_from("<Q", data)
        header = json.loads(data[8 : 8 + length])
        return (header, data[8 + length :]) if isinstance(header, dict) and length < len(data) else None
    except (ValueError, struct.error, RecursionError):
        return None


def _put_together(header: dict[str, Any], body: bytes) -> bytes:
    text = json.dumps(header).encode("utf-8", "surrogatepass")
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + body


def _header_changed(data: bytes, rng: Rng) -> bytes:
    """Name, dtype, shape or place of an array."""
    parts = _taken_apart(data)
    if parts is None or len(parts[0]) < 2:
        return _bytes_changed(data, rng)
    header, body = parts
    name = str(rng.choice([key for key in header if key != "__metadata__"] or ["x"]))
    entry = header.get(name)
    turn = rng.integers(5)
    if not isinstance(entry, dict) or turn == 0:
        header[name] = HOSTILE[rng.integers(len(HOSTILE))]
    elif turn == 1:
        entry["dtype"] = str(rng.choice(DTYPES))
    elif turn == 2:
        entry["shape"] = [int(side) for side in rng.choice([0, 1, 2, 3, 5, 256, 2**31, 2**62], rng.integers(0, 5))]
    elif turn == 3:
        entry["data_offsets"] = [int(at) for at in rng.choice([0, 1, 8, 24, 2**40, 2**63], 2)]
    else:
        header[name + "2"] = header.pop(name)
    return _put_together(header, body)


def _record_changed(data: bytes, rng: Rng) -> bytes:
    """A setting, deep inside or not, with a checksum that fits."""
    parts = _taken_apart(data)
    record = _record_of(parts)
    if parts is None or record is None:
        return _bytes_changed(data, rng)
    _change_within(record, rng)
    return _sealed(parts[0], parts[1], record, rng)


def _numbers_changed(data: bytes, rng: Rng) -> bytes:
    """Numbers of the arrays, or their shapes, with checksums that fit."""
    from safetensors.numpy import load, save

    parts = _taken_apart(data)
    record = _record_of(parts)
    try:
        arrays = load(data)
    except Exception:
        return _bytes_changed(data, rng)
    if parts is None or record is None or not arrays:
        return _bytes_changed(data, rng)
    name = str(rng.choice(list(arrays)))
    array = arrays[name]
    turn = rng.integers(8)
    if turn == 0:
        del arrays[name]
    elif turn == 1:
        arrays[name] = np.ascontiguousarray(array.reshape(-1)[: rng.integers(0, array.size + 1)])
    elif turn == 2:
        arrays[name] = array.astype(rng.choice(["float16", "float32", "float64", "int64", "uint8", "bool", "int8"]))
    elif turn == 3:
        arrays[name] = np.ascontiguousarray(
            np.resize(array, [int(side) for side in rng.choice([0, 1, 2, 3, 4, 9, 65], array.ndim)])
        )
    elif array.size:
        array = arrays[name] = array.copy()
        flat, kind = array.reshape(-1), array.dtype
        largest = np.finfo(kind).max if kind.kind == "f" else np.iinfo(kind).max if kind.kind in "iu" else 1
        odd = np.array([0, 1, largest, 1e-300, 1e4, 255], np.float64)
        if kind.kind in "fi":
            odd = np.concatenate([odd, -odd])
        value: Any = rng.choice(odd)
        if kind.kind != "f":
            value = (
                int(min(max(value, float(np.iinfo(kind).min)), float(largest) / 2)) if kind.kind in "iu" else value > 0
            )
        where = slice(None) if turn == 4 else rng.integers(0, flat.size, rng.integers(1, 5))
        with np.errstate(all="ignore"):
            if turn == 5 and kind.kind == "f":
                flat[:] = flat * rng.choice([-1, 1e-6, 1e3, 1e6])
            elif turn == 6:
                rng.shuffle(flat)
            else:
                flat[where] = value
    record["sha256"] = digest(arrays)
    fresh = save(arrays, metadata={"stainxform": "{}"})
    rebuilt = _taken_apart(fresh)
    assert rebuilt is not None
    return _sealed(rebuilt[0], rebuilt[1], record, rng)


def _record_of(parts: tuple[dict[str, Any], bytes] | None) -> dict[str, Any] | None:
    try:
        record = json.loads(parts[0]["__metadata__"]["stainxform"]) if parts else None
    except (KeyError, TypeError, ValueError):
        return None
    return record if isinstance(record, dict) else None


def _change_within(record: dict[str, Any], rng: Rng) -> None:
    """Replace, remove or add one value somewhere."""
    at: Any = record
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        if not keys:
            return
        key = keys[rng.integers(len(keys))]
        if at is record and rng.random() < 0.7 and isinstance(record.get("parameters"), dict):
            key = "parameters"
        if isinstance(at[key], dict | list) and at[key] and rng.random() < 0.8:
            at = at[key]
            continue
        break
    turn, value = rng.integers(6), HOSTILE[rng.integers(len(HOSTILE))]
    if turn == 0 and isinstance(at, dict):
        del at[key]
    elif turn == 1 and isinstance(at, dict):
        at["unknown"] = value
    elif turn == 2 and isinstance(at[key], int | float) and not isinstance(at[key], bool):
        at[key] = at[key] * float(rng.choice([-1, 0, 1e-9, 2, 1e6]))
    elif turn == 3 and isinstance(at[key], int):
        at[key] = int(rng.choice([0, 1, 2, 1000, 10**6, 2**40]))
    else:
        at[key] = value


def _sealed(header: dict[str, Any], body: bytes, record: dict[str, Any], rng: Rng) -> bytes:
    """The file with this record, its checksum right, but for one in twenty."""
    record.pop("settings_sha256", None)
    if rng.random() > 0.05:
        record["settings_sha256"] = settings_digest(record)
    header["__metadata__"] = {"stainxform": json.dumps(record)}
    return _put_together(header, body)
