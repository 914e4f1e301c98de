"""Tissue tiles of each slide, normalized, for training: PNG, JPEG or one zarr array."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Generator
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._native.native import one_thread
from stainxform._native.prefetch import prefetch
from stainxform._optional import is_tensor, require
from stainxform.errors import ParameterError, ResumeError
from stainxform.io.atomic import atomic_write, make_folder
from stainxform.io.images import write_image
from stainxform.maps import ImageMap
from stainxform.pipeline.output import JobContext, OutputKind
from stainxform.slides import Slide
from stainxform.slides.base import TILE_THREADS
from stainxform.slides.mapped import read_mapped
from stainxform.slides.mpp import MPP_TOLERANCE, resolution_of
from stainxform.slides.sampling import TileLocations, check_sampling, find_tissue_tiles, resized

__all__ = ["FORMATS", "TissueTiles", "mapped_tiles"]

FORMATS = ("png", "jpg", "zarr")
TABLE, PARTIAL = "tiles.csv", ".partial"

_NAME = re.compile(r"x\d+_y\d+\.(png|jpg)")
_TEMPORARY = re.compile(r"\..+\.part")
"""Names of files that are not whole yet; those of a process that was killed stay."""


@dataclass(frozen=True)
class TissueTiles(OutputKind):
    """Tiles with tissue, of one size and resolution, and a table of where they are from.

    Parameters
    ----------
    size : int, optional
        Side of a tile in pixels; tiles that the slide's edge cuts off are left out.
    mpp : float, optional
        Micrometers per pixel of the tiles; read from the next finer level, and reduced by means over areas.
    level : int, optional
        Take the pixels of this level instead; default, without ``mpp``: level 0.
    min_tissue : float, optional
        Smallest fraction of tissue, 0..1.
    format : str, optional
        "png", "jpg" (quality 95, 4:4:4) or "zarr", which needs the extra ``zarr``.
    limit : int, optional
        No more than this of each slide, drawn at random with a fixed seed.
    mpp_tolerance : float, optional
        How much coarser than ``mpp`` a slide's finest pixels may be, as a fraction; they are taken as they are then.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    size: int = 512
    mpp: float | None = None
    level: int | None = None
    min_tissue: float = 0.5
    format: str = "png"
    limit: int | None = None
    mpp_tolerance: float = MPP_TOLERANCE

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ParameterError(f"format must be one of: {', '.join(FORMATS)}; got {self.format!r}")
        check_sampling(self.size, self.limit, self.mpp, self.level, self.min_tissue, self.mpp_tolerance)
        if self.format == "zarr":
            require("zarr", "zarr")

    @property
    def suffix(self) -> str:
        """A folder has the name of its slide."""
        return ".zarr" if self.format == "zarr" else ""

    def settings(self) -> dict[str, Any]:
        """All of them."""
        return {"product": "tiles", **asdict(self)}

    def about(self, slide: Slide) -> dict[str, Any]:
        """The level that they are read from, their real micrometers per pixel, and how much coarser than asked."""
        found = resolution_of(slide, self.size, self.mpp, self.mpp_tolerance, self.level)
        mpp = None if found.mpp is None else round(found.mpp, 6)
        return {"level": found.level, "mpp": mpp, "coarser": round(found.coarser, 6)}

    def make(self, context: JobContext) -> int:
        """Write the tiles, then the table, which makes them complete."""
        locations = find_tissue_tiles(
            context.slide,
            self.size,
            mpp=self.mpp,
            mpp_tolerance=self.mpp_tolerance,
            level=self.level,
            min_tissue=self.min_tissue,
            limit=self.limit,
        )
        image_map = context.map_for(locations.side)
        if self.format == "zarr":
            _write_zarr(self, context, locations, image_map)
        else:
            _begin(context)
            _write_files(self, context, locations, image_map)
        return len(locations) * locations.side**2

    def files(self, target: Path) -> list[Path]:
        """The table and the tiles, in order of name."""
        if self.format == "zarr":
            return sorted(path for path in target.rglob("*") if path.is_file())
        return sorted(path for path in target.iterdir() if _is_ours(path)) if (target / TABLE).exists() else []

    def tidy(self, target: Path) -> None:
        """Remove the note that they are not complete, and files that never got their names."""
        if self.format != "zarr":
            _remove_temporary(target)
            (target / PARTIAL).unlink(missing_ok=True)

    def remove(self, target: Path) -> None:
        """Remove tiles and table, and nothing else from their folder; a note keeps it ours, should we be killed."""
        if self.format == "zarr":
            target.rename(_unfinished(target))
            shutil.rmtree(_unfinished(target))
            return
        atomic_write(target / PARTIAL, b"")
        for path in self.files(target):
            path.unlink()


def mapped_tiles(
    slide: Slide, locations: TileLocations, image_map: ImageMap | None, *, threads: int = 2, device: Any = None
) -> Generator[np.ndarray, None, None]:
    """The tiles, uint8 ``(side, side, 3)``, each as the whole level mapped at once would have it there.

    They are mapped on the device, and by cuCIM decoded there; None: numpy arrays on the CPU. A pointwise map gets whole
    batches; around others a halo is read with each tile. Close the generator if it may be left early.
    """
    level, side = locations.level, locations.side
    if image_map is None or image_map.halo == 0:
        with closing(slide.tiles(level, side, where=locations.where, threads=threads, device=device)) as batches:
            for batch in batches:
                mapped = batch.pixels if image_map is None else image_map(batch.pixels, channel_axis=-1)
                yield from mapped.cpu().numpy() if is_tensor(mapped) else mapped
        return

    def read(corner: np.ndarray) -> np.ndarray:
        with one_thread():
            return read_mapped(slide, level, image_map, (int(corner[1]), int(corner[0]), side, side), device)

    with closing(prefetch(read, locations.corners, threads, name=TILE_THREADS)) as tiles:
        yield from tiles


def _mapped(
    context: JobContext, locations: TileLocations, image_map: ImageMap | None
) -> Generator[np.ndarray, None, None]:
    return mapped_tiles(context.slide, locations, image_map, threads=context.threads, device=context.device)


def _tell(context: JobContext, done: int, locations: TileLocations) -> None:
    """Report progress: so many tiles are done."""
    if context.progress:
        context.progress(done * locations.side**2, len(locations) * locations.side**2)


def _begin(context: JobContext) -> None:
    """Note what the tiles of a folder are made of; those of something else are removed, or refused."""
    note = context.target / PARTIAL
    make_folder(context.target)
    _remove_temporary(context.target)
    begun = note.read_text() if note.exists() else None
    if begun is not None and begun != context.fingerprint:
        if context.strict and begun:
            raise ResumeError(
                f"{context.target} was begun from another slide, model or settings; begin without resume=True"
            )
        for path in [path for path in context.target.iterdir() if _is_ours(path)]:
            path.unlink()
    elif begun is None and any(context.target.iterdir()):
        raise ResumeError(f"{context.target} holds files of something else; use another output folder")
    atomic_write(note, context.fingerprint.encode())


def _remove_temporary(folder: Path) -> None:
    for path in list(folder.iterdir()):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink()


def _unfinished(target: Path) -> Path:
    """The folder that gets the name of the target once it is whole."""
    return target.with_name(f".{target.name}.part")


def _is_ours(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) or path.name == TABLE


def _write_files(kind: TissueTiles, context: JobContext, locations: TileLocations, image_map: ImageMap | None) -> None:
    boxes = locations.on_level_0(context.slide)
    names = [f"x{x:06d}_y{y:06d}.{kind.format}" for x, y, _, _ in boxes]
    missing = np.array([not (context.target / name).exists() for name in names], bool)
    where = locations.where.copy()
    where[tuple((locations.corners[~missing] // locations.side).T)] = False
    todo = replace(locations, corners=locations.corners[missing], tissue=locations.tissue[missing], where=where)
    done = len(locations) - len(todo)
    with closing(_mapped(context, todo, image_map)) as tiles:
        for number, tile in zip(np.flatnonzero(missing), tiles, strict=True):
            write_image(context.target / names[number], resized(tile, kind.size))
            done += 1
            _tell(context, done, locations)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "x", "y", "width", "height", "level", "tissue"])
    for name, box, tissue in zip(names, boxes, locations.tissue):
        writer.writerow([name, *box, locations.level, f"{tissue:.4f}"])
    atomic_write(context.target / TABLE, table.getvalue().encode())
    (context.target / PARTIAL).unlink()


def _write_zarr(kind: TissueTiles, context: JobContext, locations: TileLocations, image_map: ImageMap | None) -> None:
    """Into a folder of its own, renamed when it is whole: nothing of an interrupted one is used again."""
    zarr = require("zarr", "zarr")
    temporary = _unfinished(context.target)
    if temporary.exists():
        shutil.rmtree(temporary)
    side = kind.size
    try:
        group = zarr.open_group(
            temporary, mode="w", attributes={"level": locations.level, "boxes": "x, y, width, height"}
        )
        group.create_array("boxes", data=locations.on_level_0(context.slide))
        group.create_array("tissue", data=locations.tissue)
        tiles = group.create_array(
            "tiles", shape=(len(locations), side, side, 3), chunks=(1, side, side, 3), dtype="uint8"
        )
        with closing(_mapped(context, locations, image_map)) as mapped:
            for number, tile in enumerate(mapped):
                tiles[number] = resized(tile, side)
                _tell(context, number + 1, locations)
        temporary.rename(context.target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
