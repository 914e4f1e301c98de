"""A pyramidal BigTIFF that grows at its end, survives being killed, and gets its name when it is whole."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from stainxform.slides.writer import bigtiff
from stainxform.slides.writer.bigtiff import Tag
from stainxform.slides.writer.codec import TileCodec
from stainxform.slides.writer.description import CREATOR, Facts, description, thumbnail_description
from stainxform.slides.writer.journal import JournaledFile
from stainxform.slides.writer.options import PyramidOptions

__all__ = ["CENTIMETER", "EncodedTile", "PyramidWriter"]

SUB_DIRECTORIES, PER_CENTIMETER = 330, 3
CENTIMETER = 10_000.0
"""In micrometers."""

EncodedTile = tuple[int, int, int, bytes]
"""Level, row, column, bytes."""


class PyramidWriter:
    """Takes the encoded tiles of all levels in any order that is always the same, and writes directories behind them.

    Parameters
    ----------
    path : Path
        The file to write.
    shapes : list of (int, int)
        (height, width) of each level.
    tile : int
        Side of the tiles.
    codec : TileCodec
        Codec that made the tiles.
    options : PyramidOptions
        The layout.
    facts : Facts
        What the file says about itself.
    icc : bytes or None
        Its color profile.
    identity : str
        Text that names all that the pixels depend on.
    resume : bool
        Continue a partial file.

    Attributes
    ----------
    step : int
        How much of the work was noted, as ``note`` was told; 0 at the beginning.
    unfinished : dict of int to ndarray
        The pixels that were noted with it, by level.

    Raises
    ------
    SlideBusyError, ResumeError, SlideWriteError
        See JournaledFile.
    """

    def __init__(
        self,
        path: Path,
        shapes: list[tuple[int, int]],
        tile: int,
        codec: TileCodec,
        options: PyramidOptions,
        facts: Facts,
        icc: bytes | None,
        identity: str,
        resume: bool,
    ):
        self._shapes, self._tile, self._codec, self._options = shapes, tile, codec, options
        self._facts, self._icc = facts, icc
        self._columns = [-(-width // tile) for _, width in shapes]
        self._stored = [  # by level: offset and bytes of each tile
            np.zeros((2, -(-height // tile) * columns), np.uint64)
            for (height, _), columns in zip(shapes, self._columns)
        ]
        self._new: list[tuple[int, int, int]] = []
        self.step = 0
        self.unfinished: dict[int, np.ndarray] = {}
        self._file = JournaledFile(path, identity, resume)
        try:
            if self._file.records:
                self._restore()
            else:
                self._file.append([bigtiff.HEADER])
        except BaseException:
            self.close()
            raise

    def append(self, tiles: Iterable[EncodedTile]) -> None:
        """Write tiles at the end of the file."""
        parts, length = [], self._file.length
        for level, row, column, data in tiles:
            index = row * self._columns[level] + column
            self._stored[level][:, index] = length, len(data)
            self._new.append((level, index, len(data)))
            parts.append(data)
            length += len(data)
        self._file.append(parts)

    def note(self, step: int, unfinished: dict[int, np.ndarray]) -> None:
        """Make safe what was written; a resumed writer will have this ``step`` and these pixels."""
        pixels = {str(level): [*image.shape[:2], _packed(image)] for level, image in unfinished.items()}
        self._file.note(self._new, {"step": step, "unfinished": pixels})
        self._new = []

    def finish(self, thumbnail: np.ndarray | None) -> int:
        """Write the directories, give the file its name; returns its bytes. ``thumbnail`` is for layout "svs"."""
        chain, first = self._directories(thumbnail)
        self._file.append(chain)
        self._file.finish({bigtiff.FIRST_DIRECTORY: first.to_bytes(8, "little")})
        return self._file.length

    def close(self) -> None:
        """Let go of the file; if it is not finished, its parts stay."""
        self._file.close()

    def _restore(self) -> None:
        offset = len(bigtiff.HEADER)
        for tiles in self._file.records:
            for level, index, count in tiles:
                self._stored[level][:, index] = offset, count
                offset += count
        self.step = self._file.state["step"]
        self.unfinished = {
            int(level): _unpacked(data).reshape(height, width, 3)
            for level, (height, width, data) in self._file.state["unfinished"].items()
        }

    def _directories(self, thumbnail: np.ndarray | None) -> tuple[list[bytes], int]:
        """Bytes to append, and the first directory's offset. The last image comes first: each points to its next."""
        layout = self._options.layout
        chained, listed = layout != "ome", layout in ("ome", "dual")
        tail, following, levels = _Tail(self._file.length), 0, []
        for level in reversed(range(1, len(self._shapes))):
            following = tail.put_directory(self._tags(level), following if chained else 0)
            levels.append(following)
        if thumbnail is not None:
            following = tail.put_directory(self._thumbnail_tags(thumbnail, tail), following)
        tags = self._tags(0)
        if listed and levels:
            tags.append(Tag(SUB_DIRECTORIES, bigtiff.IFD8, levels[::-1]))
        return tail.parts, tail.put_directory(tags, following if chained else 0)

    def _tags(self, level: int) -> list[Tag]:
        reduced = level > 0 and self._options.layout != "svs"  # among Aperio's images that is what a label says
        offsets, counts = self._stored[level]
        tags = [
            *self._common_tags(self._shapes[level], reduced),
            Tag(322, bigtiff.SHORT, [self._tile]),
            Tag(323, bigtiff.SHORT, [self._tile]),
            Tag(324, bigtiff.LONG8, offsets),
            Tag(325, bigtiff.LONG, counts),
        ]
        text = description(self._facts, self._options, self._tile, self._shapes[level])
        if text is not None:
            tags.append(Tag(270, bigtiff.ASCII, text.encode()))
        if level == 0:
            tags.append(Tag(305, bigtiff.ASCII, CREATOR.encode()))
            if self._icc is not None:
                tags.append(Tag(34675, bigtiff.UNDEFINED, self._icc))
        if self._facts.mpp is not None:
            for code, mpp, whole, part in zip(
                (282, 283), self._facts.mpp, self._shapes[0][::-1], self._shapes[level][::-1]
            ):
                tags.append(Tag(code, bigtiff.RATIONAL, [bigtiff.rational(CENTIMETER / (mpp * whole / part))]))
            tags.append(Tag(296, bigtiff.SHORT, [PER_CENTIMETER]))
        return tags

    def _thumbnail_tags(self, pixels: np.ndarray, tail: _Tail) -> list[Tag]:
        shape = pixels.shape[0], pixels.shape[1]
        data = self._codec.encode(pixels)
        return [
            *self._common_tags(shape, reduced=False),
            Tag(270, bigtiff.ASCII, thumbnail_description(self._facts, shape).encode()),
            Tag(273, bigtiff.LONG8, [tail.put(data)]),
            Tag(278, bigtiff.LONG, [shape[0]]),
            Tag(279, bigtiff.LONG, [len(data)]),
        ]

    def _common_tags(self, shape: tuple[int, int], reduced: bool) -> list[Tag]:
        codec = self._codec
        tags = [
            Tag(254, bigtiff.LONG, [int(reduced)]),
            Tag(256, bigtiff.LONG, [shape[1]]),
            Tag(257, bigtiff.LONG, [shape[0]]),
            Tag(258, bigtiff.SHORT, [8, 8, 8]),
            Tag(259, bigtiff.SHORT, [codec.compression]),
            Tag(262, bigtiff.SHORT, [codec.photometric]),
            Tag(277, bigtiff.SHORT, [3]),
            Tag(284, bigtiff.SHORT, [1]),
        ]
        if codec.tables is not None:
            tags.append(Tag(347, bigtiff.UNDEFINED, codec.tables))
        if codec.subsampling is not None:
            tags.append(Tag(530, bigtiff.SHORT, list(codec.subsampling)))
        return tags


class _Tail:
    """What is to be appended to a file of some length, each part at a multiple of 8 bytes."""

    def __init__(self, length: int):
        self._end = length
        self.parts: list[bytes] = []
        self.put(b"")

    def put(self, data: bytes) -> int:
        """Add; returns where it will be."""
        padding = bytes(-(self._end + len(data)) % 8)
        self.parts.append(data + padding)
        self._end += len(data) + len(padding)
        return self._end - len(data) - len(padding)

    def put_directory(self, tags: list[Tag], following: int) -> int:
        """Add a directory; returns where it will be."""
        return self.put(bigtiff.directory(tags, self._end, following))


def _packed(pixels: np.ndarray) -> str:
    return base64.b64encode(zlib.compress(pixels.tobytes(), 1)).decode()


def _unpacked(text: str) -> np.ndarray:
    return np.frombuffer(bytearray(zlib.decompress(base64.b64decode(text))), np.uint8)
