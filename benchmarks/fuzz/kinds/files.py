"""Image files: our rules about what Pillow decodes, and files that are cut off or changed. Decoders are not ours."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from checks import Where, attempt
from faults import Fault
from PIL import Image
from subjects import tiles

from stainxform.io.images import read_image

Rng = np.random.Generator

FORMATS = ("PNG", "JPEG", "TIFF", "BMP", "WEBP", "JPEG2000", "GIF", "PPM")
MODES = ("RGB", "RGB", "RGB", "RGBA", "L", "LA", "P", "1", "I;16", "I", "F", "CMYK", "YCbCr")


class Files:
    """See the module."""

    seconds = 10.0
    memory = 1 << 30

    def __init__(self, folder: Path):
        self._folder = folder

    def case(self, number: int) -> str:
        """One file."""
        rng = np.random.default_rng((16, number))
        tile = tiles()[0][0][: rng.integers(1, 97), : rng.integers(1, 97)]
        form, mode = str(rng.choice(FORMATS)), str(rng.choice(MODES))
        data = _encoded(tile, form, mode, rng)
        if data is None:
            return "not written by Pillow"
        whole = rng.random() < 0.4
        if not whole:
            data = _damaged(data, rng)
        path = self._folder / f"case.{rng.choice(['png', 'jpg', 'tif', 'bmp'])}"
        path.write_bytes(data)
        found, error = attempt(lambda: read_image(path))
        where = Where(f"{form} of mode {mode}", "file")
        if error is not None:
            if whole and mode == "RGB" and form in ("PNG", "BMP", "TIFF"):
                raise where.broken("a proper file was refused", str(error))
            return "refused"
        if not isinstance(found, np.ndarray) or found.dtype != np.uint8 or found.ndim != 3 or found.shape[2] != 3:
            raise Fault(f"no RGB image comes of {form} of mode {mode}", str(getattr(found, "shape", found)))
        if whole and mode == "RGB" and form in ("PNG", "BMP", "TIFF", "PPM") and not np.array_equal(found, tile):
            raise where.broken("other pixels come of a whole file")
        return "read"


def _encoded(tile: np.ndarray, form: str, mode: str, rng: Rng) -> bytes | None:
    image = Image.fromarray(np.ascontiguousarray(tile))
    try:
        if mode == "I;16":
            image = Image.fromarray(np.ascontiguousarray(tile[..., 0].astype(np.uint16) * 256))
        elif mode == "LA":
            image = image.convert("L").convert("LA")
        elif mode != "RGB":
            image = image.convert(mode)
        file = io.BytesIO()
        options = {"save_all": True, "append_images": [image]} if rng.random() < 0.1 and form in ("TIFF", "GIF") else {}
        image.save(file, form, **options)
    except (OSError, ValueError, KeyError):
        return None
    return None if options else file.getvalue()


def _damaged(data: bytes, rng: Rng) -> bytes:
    changed = bytearray(data)
    turn = rng.integers(4)
    if turn == 0:
        return bytes(changed[: rng.integers(0, len(changed))])
    if turn == 1:
        for at in rng.integers(0, len(changed), rng.integers(1, 30)):
            changed[at] ^= 1 << int(rng.integers(8))
    elif turn == 2:
        at = int(rng.integers(0, min(len(changed), 200)))
        changed[at : at + 8] = rng.bytes(8)
    else:
        at = int(rng.integers(0, len(changed)))
        del changed[at : at + int(rng.integers(1, 100))]
    return bytes(changed)
