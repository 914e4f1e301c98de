"""Tissue tiles of each slide, normalized, for training: PNG, JPEG or one zarr array."""

from __future__ import annotations

import csv
import io
import re
import secrets
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._native.native import one_thread
from stainxform._optional import is_tensor, require
from stainxform.errors import ParameterError, ResumeError
from stainxform.io.atomic import atomic_write
from stainxform.io.images import write_image
from stainxform.maps import ImageMap
from stainxform.pipeline.product import Order, Product
from stainxform.slides import Slide
from stainxform.slides.mapped import read_mapped
from stainxform.slides.sampling import Places, check_sampling, resized, tissue_places

FORMATS = ("png", "jpg", "zarr")
TABLE, PARTIAL = "tiles.csv", ".partial"

_NAME = re.compile(r"x\d+_y\d+\.(png|jpg)")


@dataclass(frozen=True)
class TissueTiles(Product):
    """Tiles with tissue, of one size and resolution, and a table of where they are from.

    Parameters
    ----------
    size : side of a tile in pixels; tiles that the slide's edge cuts off are left out.
    mpp : micrometers per pixel of the tiles; read from the next finer level, and reduced by means over areas.
    level : take the pixels of this level instead; default, without ``mpp``: level 0.
    min_tissue : least fraction of tissue, 0..1.
    format : "png", "jpg" (quality 95, 4:4:4) or "zarr", which needs the extra ``zarr``.
    limit : at most so many of each slide, drawn at random with a fixed seed.

    Raises ParameterError for values that make no sense.
    """

    size: int = 512
    mpp: float | None = None
    level: int | None = None
    min_tissue: float = 0.5
    format: str = "png"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise ParameterError(f"format must be one of: {', '.join(FORMATS)}; got {self.format!r}")
        check_sampling(self.size, self.limit, self.mpp, self.level, self.min_tissue)
        if self.format == "zarr":
            require("zarr", "zarr")

    @property
    def suffix(self) -> str:
        """A folder has the name of its slide."""
        return ".zarr" if self.format == "zarr" else ""

    def settings(self) -> dict[str, Any]:
        """All of them."""
        return {"product": "tiles", **asdict(self)}

    def make(self, order: Order) -> int:
        """Write the tiles, then the table, which makes them complete."""
        places = tissue_places(
            order.slide, self.size, mpp=self.mpp, level=self.level, min_tissue=self.min_tissue, limit=self.limit
        )
        image_map = order.map_for(places.side)
        if self.format == "zarr":
            _write_zarr(self, order, places, image_map)
        else:
            _begin(order)
            _write_files(self, order, places, image_map)
        return len(places) * places.side**2

    def files(self, target: Path) -> list[Path]:
        """The table and the tiles, in order of name."""
        if self.format == "zarr":
            return sorted(path for path in target.rglob("*") if path.is_file())
        return sorted(path for path in target.iterdir() if _is_ours(path)) if (target / TABLE).exists() else []

    def remove(self, target: Path) -> None:
        """Remove tiles and table, and nothing else from their folder."""
        for path in self.files(target):
            path.unlink()
        if self.format == "zarr":
            shutil.rmtree(target)


def mapped_tiles(
    slide: Slide, places: Places, image_map: ImageMap | None, *, threads: int = 2, device: Any = None
) -> Iterator[np.ndarray]:
    """The tiles, uint8 ``(side, side, 3)``, each as the whole level mapped at once would have it there.

    They are mapped on the device, and by cuCIM decoded there; None: numpy arrays on the CPU. A pointwise map gets whole
    batches; around others a halo is read with each tile.
    """
    if image_map is None or image_map.halo == 0:
        batches = slide.tiles(places.level, places.side, where=places.where, threads=threads, device=device)
        for batch in batches:
            mapped = batch.pixels if image_map is None else image_map(batch.pixels, channel_axis=-1)
            yield from mapped.cpu().numpy() if is_tensor(mapped) else mapped
        return

    def read(corner: np.ndarray) -> np.ndarray:
        box = int(corner[1]), int(corner[0]), places.side, places.side
        with one_thread():
            return read_mapped(slide, places.level, image_map, box, device)

    with ThreadPoolExecutor(threads) as pool:
        for start in range(0, len(places), 4 * threads):
            yield from pool.map(read, places.corners[start : start + 4 * threads])


def _begin(order: Order) -> None:
    """Note what the tiles of a folder are made of; those of something else are removed, or refused."""
    note = order.target / PARTIAL
    order.target.mkdir(parents=True, exist_ok=True)
    if note.exists() and note.read_text() != order.fingerprint:
        if order.strict:
            raise ResumeError(f"{order.target} was begun from another slide, model or settings; begin without --resume")
        for path in [path for path in order.target.iterdir() if _is_ours(path)]:
            path.unlink()
    elif not note.exists() and any(order.target.iterdir()):
        raise ResumeError(f"{order.target} holds files of something else; use another output folder")
    atomic_write(note, order.fingerprint.encode())


def _is_ours(path: Path) -> bool:
    return bool(_NAME.fullmatch(path.name)) or path.name == TABLE


def _write_files(product: TissueTiles, order: Order, places: Places, image_map: ImageMap | None) -> None:
    boxes = places.on_level_0(order.slide)
    names = [f"x{x:06d}_y{y:06d}.{product.format}" for x, y, _, _ in boxes]
    missing = np.array([not (order.target / name).exists() for name in names], bool)
    where = places.where.copy()
    where[tuple((places.corners[~missing] // places.side).T)] = False
    todo = Places(places.level, places.side, places.corners[missing], places.tissue[missing], where)
    tiles = mapped_tiles(order.slide, todo, image_map, threads=order.threads, device=order.device)
    done = len(places) - len(todo)
    for number, tile in zip(np.flatnonzero(missing), tiles, strict=True):
        write_image(order.target / names[number], resized(tile, product.size))
        done += 1
        if order.progress:
            order.progress(done * places.side**2, len(places) * places.side**2)
    table = io.StringIO()
    writer = csv.writer(table, lineterminator="\n")
    writer.writerow(["file", "x", "y", "width", "height", "level", "tissue"])
    for name, box, tissue in zip(names, boxes, places.tissue):
        writer.writerow([name, *box, places.level, f"{tissue:.4f}"])
    atomic_write(order.target / TABLE, table.getvalue().encode())
    (order.target / PARTIAL).unlink()


def _write_zarr(product: TissueTiles, order: Order, places: Places, image_map: ImageMap | None) -> None:
    """Into a folder of its own, renamed when it is whole: nothing of an interrupted one is used again."""
    zarr = require("zarr", "zarr")
    temporary = order.target.with_name(f".{order.target.name}.{secrets.token_hex(4)}.part")
    side = product.size
    try:
        group = zarr.open_group(temporary, mode="w", attributes={"level": places.level, "boxes": "x, y, width, height"})
        group.create_array("boxes", data=places.on_level_0(order.slide))
        group.create_array("tissue", data=places.tissue)
        tiles = group.create_array(
            "tiles", shape=(len(places), side, side, 3), chunks=(1, side, side, 3), dtype="uint8"
        )
        mapped = mapped_tiles(order.slide, places, image_map, threads=order.threads, device=order.device)
        for number, tile in enumerate(mapped):
            tiles[number] = resized(tile, side)
            if order.progress:
                order.progress((number + 1) * places.side**2, len(places) * places.side**2)
        temporary.rename(order.target)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
