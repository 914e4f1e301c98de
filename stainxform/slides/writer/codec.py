"""Tiles to bytes: JPEG without the tables that a TIFF stores once, or deflate."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from stainxform._optional import require
from stainxform.errors import SlideWriteError
from stainxform.slides.writer.options import SUBSAMPLINGS, PyramidOptions

__all__ = ["DEFLATE_LEVEL", "DeflateCodec", "JpegCodec", "TileCodec", "codec_for"]

JPEG, DEFLATE = 7, 8
RGB, YCBCR = 2, 6
"""TIFF's photometric interpretations."""

_BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_SCAN = 0xDA
_TABLES = {0xDB, 0xC4}
"""Quantization and Huffman tables."""

DEFLATE_LEVEL = 6


class TileCodec(ABC):
    """How the tiles of a file are stored. Any thread may encode; the same pixels always give the same bytes."""

    compression: int
    photometric: int
    tables: bytes | None = None
    subsampling: tuple[int, int] | None = None
    """Of color differences, where a TIFF has to say it."""

    @abstractmethod
    def encode(self, pixels: np.ndarray) -> bytes:
        """Encode uint8 ``(side, side, 3)``."""


class JpegCodec(TileCodec):
    """JPEG in YCbCr (libjpeg-turbo through imagecodecs)."""

    compression, photometric = JPEG, YCBCR

    def __init__(self, quality: int, subsampling: str, side: int):
        self._encode = require("imagecodecs", "slides").jpeg8_encode
        self._options = {
            "level": quality,
            "colorspace": "RGB",
            "outcolorspace": "YCBCR",
            "subsampling": subsampling.replace(":", ""),
            "optimize": False,
        }
        factors = SUBSAMPLINGS[subsampling]
        self.subsampling = None if factors == (1, 1) else factors  # Bio-Formats converts twice where 1, 1 is written
        self.tables = _split(self._whole(np.zeros((side, side, 3), np.uint8)))[0]

    def encode(self, pixels: np.ndarray) -> bytes:
        """Encode a tile; its tables are left out."""
        tables, rest = _split(self._whole(pixels))
        if tables != self.tables:
            raise SlideWriteError("the JPEG encoder changed its tables between tiles; install another imagecodecs")
        return rest

    def _whole(self, pixels: np.ndarray) -> bytes:
        return bytes(self._encode(np.ascontiguousarray(pixels), **self._options))


class DeflateCodec(TileCodec):
    """Deflate (zlib) of RGB without a predictor, which not every reader undoes."""

    compression, photometric = DEFLATE, RGB

    def __init__(self) -> None:
        self._encode = require("imagecodecs", "slides").zlib_encode

    def encode(self, pixels: np.ndarray) -> bytes:
        """Encode a tile."""
        return bytes(self._encode(np.ascontiguousarray(pixels), level=DEFLATE_LEVEL))


def codec_for(options: PyramidOptions, side: int) -> TileCodec:
    """The codec that the options ask for."""
    return DeflateCodec() if options.lossless else JpegCodec(options.quality, options.subsampling, side)


def _split(stream: bytes) -> tuple[bytes, bytes]:
    """Tables, and the stream without them, application data and comments, each with a beginning and an end."""
    tables, rest, position = [_BEGIN], [_BEGIN], len(_BEGIN)
    while stream[position + 1] != _SCAN:
        marker, length = stream[position + 1], int.from_bytes(stream[position + 2 : position + 4], "big")
        segment = stream[position : position + 2 + length]
        if marker in _TABLES:
            tables.append(segment)
        elif not 0xE0 <= marker <= 0xFE:
            rest.append(segment)
        position += 2 + length
    return b"".join([*tables, _END]), b"".join([*rest, stream[position:]])
