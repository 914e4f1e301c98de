"""Procedural H&E tissue, rendered as several centers would have stained and scanned it.

Ground truth for tests, demos and tutorials: `tissue` draws how much hematoxylin and eosin lies
where, `render` shows it the way one `Center` (a staining laboratory and its scanner) would, and
`pair` gives the same tissue seen by two or more centers.  Nothing here is real patient data.

The scale is that of a 40x scan, 0.25 um per pixel; lengths below are in those pixels.
Optical density is the natural logarithm of background over intensity.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stainxform.errors import ParameterError

__all__ = ["CENTERS", "Center", "Tissue", "pair", "render", "tissue", "write_center"]

Floats = NDArray[np.float32]
Seed = int | Sequence[int]
Size = int | tuple[int, int]

# The canvas is this much wider than the tile on each side, so that nuclei and lumens cross its border.
_MARGIN = 32


@dataclass(frozen=True, eq=False)
class Tissue:
    """What lies on the slide, before any scanner sees it.

    Attributes
    ----------
    concentrations : ndarray of float32, shape (2, H, W)
        Hematoxylin and eosin, >= 0, in multiples of the optical density of the unit stain vector.
        Zero on glass; dark nuclei reach about 2 hematoxylin, collagen about 0.8 eosin.
    nuclei : ndarray of int32, shape (H, W)
        0 outside nuclei, 1..n inside the n nuclei.
    tissue : ndarray of bool, shape (H, W)
        False where there is only glass: lumens, fat, tears.
    """

    concentrations: NDArray[np.float32]
    nuclei: NDArray[np.int32]
    tissue: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Center:
    """A staining laboratory and its scanner.

    Array fields accept anything array-like and are kept as read-only float64 arrays.  Use
    `dataclasses.replace` for a variation of a center.

    Attributes
    ----------
    name : str
        Identifies the center; it also makes its noise differ from that of other centers.
    stain_matrix : ndarray of float64, shape (3, 2)
        Columns are the optical densities (R, G, B) of hematoxylin and eosin, >= 0, of unit length.
    strength : ndarray of float64, shape (2,)
        Multipliers >= 0 of the two concentrations: how deeply this laboratory stains.
    background : ndarray of float64, shape (3,)
        Levels of empty glass, above 0 and up to 255.
    gamma : float
        Exponent > 0 on the transmitted fraction of light, after `color_matrix`.
    color_matrix : ndarray of float64, shape (3, 3)
        Mixes the transmitted fractions of R, G and B.  Rows that sum to 1 keep white white.
    noise : float
        Standard deviation >= 0 of the sensor noise, in levels.
    blur : float
        Standard deviation >= 0 of the Gaussian blur, in pixels.

    Raises
    ------
    ParameterError
        A field has the wrong shape, or a value outside the range above.
    """

    name: str
    stain_matrix: NDArray[np.float64]
    strength: NDArray[np.float64] = field(default_factory=lambda: np.ones(2))
    background: NDArray[np.float64] = field(default_factory=lambda: np.full(3, 255.0))
    gamma: float = 1.0
    color_matrix: NDArray[np.float64] = field(default_factory=lambda: np.eye(3))
    noise: float = 0.0
    blur: float = 0.0

    def __post_init__(self) -> None:
        shapes = {"stain_matrix": (3, 2), "strength": (2,), "background": (3,), "color_matrix": (3, 3)}
        for name in ("gamma", "noise", "blur"):
            shapes[name] = ()
        for name, shape in shapes.items():
            object.__setattr__(self, name, _numbers(name, getattr(self, name), shape))
        self._require(isinstance(self.name, str) and bool(self.name), "name", "a non-empty string")
        norms = np.linalg.norm(self.stain_matrix, axis=0)
        unit = np.allclose(norms, 1, atol=1e-3) and np.all(self.stain_matrix >= 0)
        self._require(unit, "stain_matrix", "two columns of non-negative optical densities of length 1")
        self._require(np.all(self.strength >= 0), "strength", "two numbers >= 0")
        in_range = np.all((self.background > 0) & (self.background <= 255))
        self._require(in_range, "background", "three levels above 0 and up to 255")
        self._require(self.gamma > 0, "gamma", "a number above 0")
        self._require(self.noise >= 0, "noise", "a standard deviation >= 0")
        self._require(self.blur >= 0, "blur", "a standard deviation >= 0")

    def _require(self, holds: Any, name: str, wanted: str) -> None:
        if not holds:
            raise ParameterError(f"Center {name} must be {wanted}, not {getattr(self, name)!r}.")


def tissue(
    size: Size = 256,
    *,
    seed: Seed,
    background: float = 0.15,
    cellularity: float = 0.5,
    eosin: float = 1.0,
    hematoxylin: float = 1.0,
) -> Tissue:
    """Draw tissue: glands and nests of epithelium in fibrous stroma, with lumens, fat and vessels.

    Parameters
    ----------
    size : int or (int, int)
        Side, or (height, width), in pixels, each at least 1.
    seed : int or sequence of int
        Same seed and arguments, same tissue.
    background : float
        Fraction of the area that is glass, 0..1.  Nuclei and red blood cells that jut into it
        take a little away.
    cellularity : float
        Fraction of the rest that is epithelium rather than stroma, 0..1.  It also sets how many
        nuclei the stroma has; 0 means no nuclei at all.
    eosin, hematoxylin : float
        Multipliers >= 0 of the concentrations; 0 leaves the stain out.

    Returns
    -------
    Tissue

    Raises
    ------
    ParameterError
        An argument is outside the range above.
    """
    height, width = _height_width(size)
    for name, value in (("background", background), ("cellularity", cellularity)):
        if not 0 <= value <= 1:
            raise ParameterError(f"{name} must be between 0 and 1, not {value!r}.")
    for name, value in (("eosin", eosin), ("hematoxylin", hematoxylin)):
        if not 0 <= value < np.inf:
            raise ParameterError(f"{name} must be a finite number >= 0, not {value!r}.")
    rng = _rng(seed)
    shape = height + 2 * _MARGIN, width + 2 * _MARGIN
    tile = slice(_MARGIN, _MARGIN + height), slice(_MARGIN, _MARGIN + width)

    across, along = _fiber_coordinates(rng, shape)
    strands = _strands(rng, across, along)
    depth, gland_distance = _holes(rng, shape, tile, background, strands)
    epithelium = _epithelium(rng, shape, tile, gland_distance, cellularity)
    nuclei = _place_nuclei(rng, depth, gland_distance, epithelium, across, cellularity)
    cells = _grow_cells(rng, shape, nuclei)
    blood = _red_cells(rng, depth, epithelium, cells, across)
    stains = _stain(rng, strands, depth, epithelium, nuclei, cells, blood)

    labels = np.where(cells.reach < 1, cells.owner + 1, 0)[tile]
    solid = (depth[tile] > 0) | (labels > 0) | (blood[tile] > 0)
    amounts = np.array([hematoxylin, eosin], np.float32)[:, None, None] * stains[(slice(None), *tile)] * solid
    return Tissue(amounts, _consecutive(labels), solid)


def render(tissue: Tissue, center: Center | str, *, seed: Seed = 0, noise: bool = True) -> NDArray[np.uint8]:
    """Show tissue as one center would have stained and scanned it.

    Light follows the Beer-Lambert law, ``background * exp(-stain_matrix @ (strength * concentrations))``;
    then come the scanner's color matrix and gamma, its blur and its noise.

    Parameters
    ----------
    tissue : Tissue
    center : Center or str
        A center, or the name of one in `CENTERS`.
    seed : int or sequence of int
        Seed of the noise.
    noise : bool
        False leaves the noise out.  With an identity `color_matrix`, `gamma` 1 and `blur` 0 the
        result is then the Beer-Lambert law, rounded to 8 bits.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    ParameterError
        `center` names no center, or `seed` is no seed.
    """
    center = _center(center)
    amounts = np.moveaxis(tissue.concentrations, 0, -1) * center.strength
    light = np.exp(-(amounts @ center.stain_matrix.T))
    if not np.array_equal(center.color_matrix, np.eye(3)):
        light = np.maximum(light @ center.color_matrix.T, 0)
    if center.gamma != 1:
        light **= center.gamma
    if center.blur:
        from scipy.ndimage import gaussian_filter

        light = gaussian_filter(light, (center.blur, center.blur, 0))
    levels = center.background * light
    if noise and center.noise:
        levels += center.noise * _rng(seed).standard_normal(levels.shape, dtype=np.float32)
    return np.rint(np.clip(levels, 0, 255)).astype(np.uint8)


def pair(
    n: int = 1,
    size: Size = 256,
    centers: Sequence[Center | str] = ("a", "b"),
    seed: int = 0,
    *,
    noise: bool = True,
    **options: float,
) -> tuple[NDArray[np.uint8], ...]:
    """The same tissue seen by several centers.

    Parameters
    ----------
    n : int
        Number of tiles, >= 0.
    size : int or (int, int)
        Side, or (height, width), in pixels, each at least 1.
    centers : sequence of Center or str
        Centers, or names of centers in `CENTERS`.
    seed : int
        Seed of tissue and noise.  Tile k is the same whatever `n` is.
    noise : bool
        False leaves the sensor noise out.
    **options : float
        Passed to `tissue`: `background`, `cellularity`, `eosin`, `hematoxylin`.

    Returns
    -------
    tuple of ndarray of uint8, shape (n, H, W, 3)
        One array per center, in the order of `centers`; index k is the same tissue in all of them.

    Raises
    ------
    ParameterError
        An argument is outside the range above, or a name is in no center.
    """
    chosen = [_center(center) for center in centers]
    images = tuple(np.empty((_count(n), *_height_width(size), 3), np.uint8) for _ in chosen)
    for k in range(n):
        slide = tissue(size, seed=(seed, k), **options)
        for center, stack in zip(chosen, images, strict=True):
            stack[k] = render(slide, center, seed=_noise_seed(seed, k, center), noise=noise)
    return images


def write_center(
    folder: str | Path, center: Center | str, n: int = 8, size: Size = 256, seed: int = 0, **options: float
) -> list[Path]:
    """Write the tiles that `pair` would return for one center as PNG files.

    Two centers written with the same `n`, `size` and `seed` show the same tissue, file by file.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; files of the same name are overwritten.
    center, n, size, seed, **options
        As in `pair`.

    Returns
    -------
    list of Path
        tile_000.png, tile_001.png and so on, in `folder`.

    Raises
    ------
    ParameterError
        As in `pair`.
    """
    from PIL import Image

    folder, count = Path(folder), _count(n)
    center = _center(center)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"tile_{k:03}.png" for k in range(count)]
    for k, path in enumerate(paths):
        slide = tissue(size, seed=(seed, k), **options)
        Image.fromarray(render(slide, center, seed=_noise_seed(seed, k, center))).save(path)
    return paths


# ---------------------------------------------------------------- arguments


def _numbers(name: str, value: ArrayLike, shape: tuple[int, ...]) -> float | NDArray[np.float64]:
    """`value` as a float or a read-only array of the given shape."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"Center {name} must be numeric, not {value!r}.") from error
    if array.shape != shape or not np.isfinite(array).all():
        raise ParameterError(f"Center {name} must be finite numbers of shape {shape}, not {value!r}.")
    array.flags.writeable = False
    return array if shape else float(array)


def _count(n: int) -> int:
    if not isinstance(n, Integral) or n < 0:
        raise ParameterError(f"n must be an integer >= 0, not {n!r}.")
    return int(n)


def _height_width(size: Size) -> tuple[int, int]:
    sides = (size, size) if isinstance(size, Integral) else size
    try:
        height, width = sides
    except (TypeError, ValueError):
        height = width = 0
    if not (isinstance(height, Integral) and isinstance(width, Integral) and height >= 1 and width >= 1):
        raise ParameterError(f"size must be an integer >= 1 or (height, width) of such, not {size!r}.")
    return int(height), int(width)


def _center(center: Center | str) -> Center:
    if isinstance(center, Center):
        return center
    if center not in CENTERS:
        raise ParameterError(f"There is no center {center!r}; use a Center or one of {', '.join(CENTERS)}.")
    return CENTERS[center]


def _rng(seed: Seed) -> np.random.Generator:
    try:
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"seed must be an integer >= 0 or a sequence of such, not {seed!r}.") from error


def _noise_seed(seed: int, k: int, center: Center) -> tuple[int, int, int]:
    return seed, k, zlib.crc32(center.name.encode())


# ---------------------------------------------------------------- building blocks


def _kernel(n: int, scale: float) -> Floats:
    knots = np.arange(-2, n / scale + 3)
    weights = np.exp(-0.5 * ((np.arange(n)[:, None] / scale - knots) / 0.6) ** 2)
    return (weights / np.linalg.norm(weights, axis=1, keepdims=True)).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, int], scale: float) -> Floats:
    """Smooth noise of mean 0 and variance 1 with features about `scale` pixels wide."""
    rows, columns = _kernel(shape[0], scale), _kernel(shape[1], scale)
    knots = rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32)
    return rows @ knots @ columns.T


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """0 at `low`, 1 at `high`, smooth in between and clipped beyond."""
    x = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return x * x * (3 - 2 * x)


def _window(shape: tuple[int, int], y: float, x: float, reach: float) -> tuple[tuple[slice, slice], Floats, Floats]:
    """The part of the canvas within `reach` of a point, with the offsets of its rows and columns from it."""
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    bottom, right = min(int(y + reach) + 1, shape[0]), min(int(x + reach) + 1, shape[1])
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(left, right, dtype=np.float32) - np.float32(x)
    return (slice(top, bottom), slice(left, right)), rows, columns


def _consecutive(labels: NDArray[Any]) -> NDArray[np.int32]:
    used = np.bincount(labels.ravel()) > 0
    used[0] = False
    return (np.cumsum(used) * used).astype(np.int32)[labels]


# ---------------------------------------------------------------- architecture


def _fiber_coordinates(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Coordinates across and along wavy collagen fibers, in pixels from 0."""
    angle = rng.uniform(0, np.pi)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    across = y * cosine + x * sine + 22 * _noise(rng, shape, 60) + 4 * _noise(rng, shape, 22)
    along = x * cosine - y * sine
    return across - across.min(), along - along.min()


def _strands(rng: np.random.Generator, across: Floats, along: Floats) -> Floats:
    """Noise stretched along the fibers, of mean 0 and variance about 1: thin strands in thicker bundles."""
    from scipy.ndimage import map_coordinates

    texture = _noise(rng, (int(across.max()) + 2, int(along.max() / 14) + 2), 2)
    thin = map_coordinates(texture, np.stack([across, along / 14]), order=1, mode="nearest")
    thick = map_coordinates(texture, np.stack([across / 3.5, along / 40]), order=1, mode="nearest")
    return np.float32(0.65) * thin + np.float32(0.75) * thick


def _holes(
    rng: np.random.Generator,
    shape: tuple[int, int],
    tile: tuple[slice, slice],
    background: float,
    strands: Floats,
) -> tuple[Floats, Floats]:
    """Where the glass shows: gland lumens, fat and tears.

    Returns
    -------
    depth
        Positive in tissue, negative on glass; about 1 in tissue that is well away from glass.
    gland_distance
        Distance from the nearest gland lumen, in pixels.
    """
    from scipy.ndimage import distance_transform_edt

    openness = np.zeros(shape, np.float32)
    is_gland = np.zeros(shape, bool)
    gland_share = rng.uniform(0.3, 1)
    for _ in range(rng.poisson(shape[0] * shape[1] / 150**2)):
        gland = rng.random() < gland_share
        radius, squeeze = (rng.uniform(18, 45), rng.uniform(0.5, 1)) if gland else (rng.uniform(40, 90), 0.9)
        y, x, angle = rng.uniform(0, shape[0]), rng.uniform(0, shape[1]), rng.uniform(0, np.pi)
        window, rows, columns = _window(shape, y, x, 2.5 * radius)
        u, v = _rotate(rows, columns, angle)
        bump = np.exp(-((u * u + (v / np.float32(squeeze)) ** 2) / np.float32(radius**2)))
        is_gland[window] = np.where(bump > openness[window], gland, is_gland[window])
        np.maximum(openness[window], bump, out=openness[window])
    rough = 0.26 * _noise(rng, shape, 75) + 0.05 * _noise(rng, shape, 14) + 0.03 * strands
    openness += (1 - openness) * rough
    depth = (_threshold(openness[tile], background) - openness) / np.float32(0.25)

    lumen = (depth < 0) & is_gland
    if not lumen.any():
        return depth, np.full(shape, 1e3, np.float32)
    coarse = 4 * distance_transform_edt(~lumen[::4, ::4])
    return depth, zoom(coarse.astype(np.float32), 4, order=1, mode="nearest", grid_mode=True)[: shape[0], : shape[1]]


def _threshold(values: Floats, fraction: float) -> np.float32:
    """The value that the given fraction of `values` exceeds."""
    if fraction in (0, 1):
        return np.float32(1e3 if fraction == 0 else -1e3)
    return np.float32(np.quantile(values, 1 - fraction))


def _epithelium(
    rng: np.random.Generator,
    shape: tuple[int, int],
    tile: tuple[slice, slice],
    gland_distance: Floats,
    cellularity: float,
) -> Floats:
    """1 in epithelium, 0 in stroma: sheaths of gland lumens first, then solid nests."""
    affinity = _noise(rng, shape, 90) + 0.1 * _noise(rng, shape, 16) + 3 * _ramp(gland_distance, 70, 25)
    return _ramp(affinity - _threshold(affinity[tile], cellularity), -0.06, 0.06)


# ---------------------------------------------------------------- cells


@dataclass(frozen=True)
class _Nuclei:
    """One entry per nucleus."""

    y: NDArray[np.float64]
    x: NDArray[np.float64]
    long: NDArray[np.float64]  # semi-axes
    short: NDArray[np.float64]
    angle: NDArray[np.float64]  # of the long axis, from the x axis towards the y axis
    dark: Floats  # hematoxylin of the body
    vesicular: Floats  # 0 dense, 1 pale with coarse chromatin, rim and nucleoli
    focus: Floats  # width of the edge in pixels
    appetite: Floats  # how much eosin the cytoplasm takes, about 1


@dataclass(frozen=True)
class _Cells:
    """Per pixel."""

    owner: NDArray[np.int32]  # index of the nearest nucleus
    reach: Floats  # distance to it in units of its radius: 1 at its outline, large far from all nuclei
    rival: Floats  # the same to the second nearest


# Columns: long semi-axis (low, high), short / long (low, high), hematoxylin (low, high), vesicular (low, high), spacing
_LINING, _NEST, _LYMPHOCYTE, _FIBROBLAST = range(4)
_KINDS = np.array(
    [
        [12, 16, 0.55, 0.75, 0.75, 1.05, 0.3, 0.9, 0.95],
        [11, 18, 0.62, 0.95, 0.65, 1.05, 0.3, 1.0, 1.15],
        [8, 10, 0.80, 1.00, 1.20, 1.60, 0.0, 0.3, 1.15],
        [14, 26, 0.18, 0.36, 0.95, 1.45, 0.0, 0.4, 1.60],
    ]
)


def _place_nuclei(
    rng: np.random.Generator,
    depth: Floats,
    gland_distance: Floats,
    epithelium: Floats,
    across: Floats,
    cellularity: float,
) -> _Nuclei:
    shape = depth.shape
    sites = rng.uniform((0, 0), shape, (depth.size // 90 if cellularity else 0, 2))
    at = tuple(sites.astype(int).T)
    away, nest, luck = gland_distance[at], epithelium[at] > 0.5, rng.random(len(sites))
    inflamed = _noise(rng, shape, 55)[at] + 1.5 * cellularity > 1.9
    kind = np.where(nest, np.where(away < 36, _LINING, _NEST), np.where(inflamed, _LYMPHOCYTE, _FIBROBLAST))
    wanted = np.select([kind == _LINING, kind == _NEST, kind == _LYMPHOCYTE], [away > 14, luck < 0.9, luck < 0.3])
    wanted = np.where(kind == _FIBROBLAST, luck < 0.16 * cellularity, wanted) & (depth[at] > 0.3)

    order = np.flatnonzero(wanted)
    order = order[np.argsort(kind[order] != _LINING, kind="stable")]
    sites, kind = sites[order], kind[order]
    at = tuple(sites.astype(int).T)
    traits = _KINDS[kind]
    spread = rng.random((4, len(sites)))
    grade = np.where(kind <= _NEST, rng.uniform(0.8, 1.25), 1)
    long = grade * (traits[:, 0] + spread[0] * (traits[:, 1] - traits[:, 0]))
    short = long * (traits[:, 2] + spread[1] * (traits[:, 3] - traits[:, 2]))

    free = _spaced(sites, np.sqrt(long * short) * traits[:, 8])
    ...
