"""Slide to slide: one pass over the pixels, mapped, encoded and reduced to a pyramid on the way."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._native import native
from stainxform._native.kernels import halve
from stainxform._native.prefetch import prefetch
from stainxform._optional import pick_device, require
from stainxform._version import __version__
from stainxform.errors import ParameterError, SlideError
from stainxform.io.paths import as_path
from stainxform.maps import ImageMap
from stainxform.slides.base import THREADS, Level, Slide
from stainxform.slides.grid import TileGrid
from stainxform.slides.mapped import MappedSlide, keeps_glass
from stainxform.slides.writer.codec import TileCodec, codec_for
from stainxform.slides.writer.description import Facts
from stainxform.slides.writer.file import EncodedTile, PyramidWriter
from stainxform.slides.writer.options import PyramidOptions
from stainxform.slides.writer.profile import profile_for
from stainxform.slides.writer.quadtree import PendingLevels, level_shapes, z_order

__all__ = ["BLOCK_SIDE", "DEFAULTS", "NOTE_SECONDS", "WrittenSlide", "write_slide"]

BLOCK_SIDE = 1024
"""Blocks that one thread reads, maps and encodes are so large, or one tile."""

NOTE_SECONDS = 2.0
"""No more work than this is lost when the process is killed, apart from the time to put it on the disk."""

DEFAULTS = PyramidOptions()


@dataclass(frozen=True)
class WrittenSlide:
    """A pyramid that was written whole: its file, levels and size in bytes, and whether a partial file was continued."""

    path: Path
    levels: tuple[Level, ...]
    size: int
    resumed: bool


def write_slide(
    slide: Slide,
    path: str | Path,
    image_map: ImageMap | None,
    options: PyramidOptions = DEFAULTS,
    *,
    background: str = "normalize",
    threads: int = THREADS,
    device: Any = None,
    resume: bool = False,
    fingerprint: str = "",
    icc: bytes | str | None = "auto",
    progress: Callable[[int, int], None] | None = None,
) -> WrittenSlide:
    """Write a slide, mapped, as a pyramidal BigTIFF; pixels of lower levels are means of 2 x 2 mapped ones.

    While it is written, ``PATH.part`` holds the pixels and ``PATH.journal`` how far they are safe on the disk; at the end
    the file gets its name, replacing another one, and the journal goes. After an error, or a kill, both are left.

    Parameters
    ----------
    slide : Slide
        The source.
    path : str or Path
        The file to write; its folder must be there.
    image_map : ImageMap or None
        The map of the whole slide; None: a copy.
    options : PyramidOptions, optional
        Layout, tiles, compression.
    background : str, optional
        "normalize": every pixel is mapped. "keep": tiles without tissue keep their pixels; where the map changes glass,
        their borders show.
    threads : int, optional
        How many decode, map and encode at a time. No byte of the file depends on it.
    device : str or torch.device, optional
        A torch device, on which pixels are mapped and, by cuCIM, decoded; "auto": CUDA where torch has it, else the
        CPU. Default: numpy arrays, which need no torch; a CPU gives the same bytes either way. Encoding is on the CPU.
    resume : bool, optional
        Continue a partial file, if there is one; default: begin anew. The result is the same, bit for bit.
    fingerprint : str, optional
        Text that names source, map and settings; one that differs from the partial file's is refused. To resume with a
        map there must be one.
    icc : bytes or str, optional
        The profile to embed: "auto": the source's for a copy, else sRGB; "source", "srgb", None, or its bytes. Which
        one it was is written into the image's description.
    progress : callable, optional
        Called with the pixels of level 0 that are done, and how many there are.

    Raises
    ------
    ParameterError
        The map needs the whole image at once, or an argument makes no sense.
    SlideError
        A tile of the source is missing or damaged; the message says where.
    SlideBusyError
        Another process is writing the same file.
    ResumeError
        The partial file was begun with another fingerprint, source, options or version.
    SlideWriteError
        The disk is full, or the file cannot be written.
    """
    path = as_path(path, "path of the file to write")
    if not isinstance(slide, Slide):
        raise ParameterError(f"write_slide takes an open slide, see open_slide; got {type(slide).__name__}")
    if image_map is not None and not isinstance(image_map, ImageMap):
        raise ParameterError(
            f"the map of a slide is made with slide_map(normalizer, slide), or is None; got {type(image_map).__name__}"
        )
    if not isinstance(threads, int) or threads < 1:
        raise ParameterError(f"threads must be at least 1, got {threads!r}")
    if resume and image_map is not None and not fingerprint:
        raise ParameterError("to resume with a map, give a fingerprint that names slide and map, as at the beginning")
    if path.exists() and slide.path.exists() and path.samefile(slide.path):
        raise ParameterError(f"{path} is the slide that is being read; choose another name")
    _check_whole(slide)
    tile = options.tile_for(slide.levels[0].tile)
    where = None if device is None else pick_device(device)
    source = MappedSlide(slide, image_map, keeps_glass(background), tile, where)
    plan = _Plan(slide.levels[0].shape, tile)
    profile, colors = profile_for(icc, slide, image_map is not None)
    facts = Facts(plan.shapes[0], slide.mpp, slide.magnification, colors, slide.mpp_from == "user")
    codec = codec_for(options, tile)
    computed_on = "cpu" if where is None or image_map is None else where.type
    identity = _identity(fingerprint, slide, options, facts, profile, background, image_map is None, computed_on)
    writer = PyramidWriter(path, plan.shapes, tile, codec, options, facts, profile, identity, resume)
    try:
        resumed = writer.step > 0
        top = _write(source, plan, codec, writer, threads, progress)
        size = writer.finish(top if options.layout == "svs" else None)
    finally:
        writer.close()
    return WrittenSlide(path, plan.levels(), size, resumed)


def _check_whole(slide: Slide) -> None:
    """SlideError where tiles are missing that would end the work: before it, not after an hour."""
    missing = slide.missing_tiles(0)
    if slide.missing == "white" or missing is None or not missing.any():
        return
    row, column = (int(index) for index in np.argwhere(missing)[0])
    x, y = column * slide.levels[0].tile[0], row * slide.levels[0].tile[1]
    raise SlideError(
        f"{slide.path}: level 0, the tile at x={x}, y={y} is missing, as are {missing.sum() - 1} others of "
        f"{missing.size}; pass missing='white' to take them as glass"
    )


class _Plan:
    """Levels, and the blocks of level 0 in the order in which they are done."""

    def __init__(self, shape: tuple[int, int], tile: int):
        self.tile, self.shapes = tile, level_shapes(shape, tile)
        self.inner = 0
        """The coarsest level of which a block is one tile."""
        while self.inner < len(self.shapes) - 1 and tile << (self.inner + 1) <= BLOCK_SIDE:
            self.inner += 1
        side = tile << self.inner
        self.blocks = TileGrid(0, shape, (side, side))
        self.order = list(z_order(self.blocks.rows, self.blocks.columns))

    def levels(self) -> tuple[Level, ...]:
        """As the protocol of slides describes them."""
        height, width = self.shapes[0]
        return tuple(
            Level(shape, (height / shape[0] + width / shape[1]) / 2, (self.tile, self.tile)) for shape in self.shapes
        )


def _write(
    source: MappedSlide,
    plan: _Plan,
    codec: TileCodec,
    writer: PyramidWriter,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> np.ndarray:
    """All blocks that are not done, with the tiles above them; returns the pixels of the last level."""
    pending = PendingLevels(plan.shapes, plan.tile, plan.inner)
    pending.unfinished = writer.unfinished
    areas = [width * height for width, height in (plan.blocks.box(*block)[2:] for block in plan.order)]
    done, total = sum(areas[: writer.step]), sum(areas)
    noted, top = time.monotonic(), np.zeros((0, 0, 3), np.uint8)
    step, rest = writer.step, plan.order[writer.step :]
    encoded = prefetch(lambda block: _block(source, plan, codec, block), rest, threads, name="stainxform-write")
    try:
        with closing(encoded):
            for block, (tiles, pixels) in zip(rest, encoded):
                top = pixels
                for level, row, column, top in pending.add(*block, pixels):
                    tiles.append((level, row, column, codec.encode(_padded(top, plan.tile))))
                writer.append(tiles)
                done += areas[step]
                step += 1
                if progress:
                    progress(done, total)
                if time.monotonic() - noted >= NOTE_SECONDS and step < len(plan.order):
                    writer.note(step, pending.unfinished)
                    noted = time.monotonic()
    except SlideError:
        writer.note(step, pending.unfinished)
        raise
    return top


def _block(
    source: MappedSlide, plan: _Plan, codec: TileCodec, block: tuple[int, int]
) -> tuple[list[EncodedTile], np.ndarray]:
    """The encoded tiles of a block in all levels in which it is at least one, and its pixels in the last of these."""
    with native.one_thread():
        pixels, tiles = source.read(plan.blocks.box(*block)), []
        for level in range(plan.inner + 1):
            if level:
                pixels = halve(pixels)
            grid, across = TileGrid(level, pixels.shape[:2], (plan.tile, plan.tile)), 1 << (plan.inner - level)
            for row, column in grid.chosen():
                x, y, width, height = grid.box(row, column)
                data = codec.encode(_padded(pixels[y : y + height, x : x + width], plan.tile))
                tiles.append((level, block[0] * across + row, block[1] * across + column, data))
    return tiles, pixels


def _padded(pixels: np.ndarray, side: int) -> np.ndarray:
    """A tile that the slide's edge cuts off, filled up with the pixels of the edge."""
    height, width = pixels.shape[:2]
    if (height, width) == (side, side):
        return pixels
    return np.pad(pixels, ((0, side - height), (0, side - width), (0, 0)), "edge")


def _identity(
    fingerprint: str,
    slide: Slide,
    options: PyramidOptions,
    facts: Facts,
    profile: bytes | None,
    background: str,
    copied: bool,
    device: str,
) -> str:
    """Digest of all that the bytes of the file depend on, as far as we know it."""
    known = {
        "fingerprint": fingerprint,
        "source": [[*level.shape, *level.tile] for level in slide.levels],
        "reader": slide.reader,
        "options": asdict(options),
        "facts": asdict(facts),
        "profile": hashlib.sha256(profile or b"").hexdigest(),
        "background": background,
        "copied": copied,
        "device": device,
        "kernels": native.active(),
        "versions": [__version__, require("imagecodecs", "slides").__version__],
    }
    return hashlib.sha256(json.dumps(known, sort_keys=True).encode()).hexdigest()
