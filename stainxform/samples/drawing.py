"""Procedural H&E tissue, rendered as several centers would have stained and scanned it.

Ground truth for tests, demos and tutorials: ``tissue`` draws how much hematoxylin and eosin lies
where, ``render`` shows it the way one ``Center`` (a staining laboratory and its scanner) would, and
``pair`` gives the same tissue seen by two or more centers.  Nothing here is real patient data.

The scale is that of a 40x scan, 0.25 um per pixel; lengths below are in those pixels.
Optical density is the natural logarithm of background over intensity.
"""

from __future__ import annotations

import operator
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stainxform.errors import ParameterError

__all__ = ["CENTERS", "Center", "Tissue", "pair", "render", "tissue", "write_center"]

Floats = NDArray[np.float32]
Seed = int | Sequence[int]
Size = int | tuple[int, int]

# Nuclei and holes are placed up to this far outside the tile, so that some cross its border.
_MARGIN = 32
# Cytoplasm ends this many nuclear radii from the center of its nucleus.
_CELL = 2.4


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
    ``dataclasses.replace`` for a variation of a center.

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
        Exponent > 0 on the transmitted fraction of light, after ``color_matrix``.
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
            value = getattr(self, name)
            shown = value.tolist() if isinstance(value, np.ndarray) else value
            raise ParameterError(f"Center {name} must be {wanted}, not {shown!r}.")


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
    shape = height, width
    across, along = _fiber_coordinates(rng, shape)
    strands = _strands(rng, across, along)
    depth, glass_distance, gland_distance = _holes(rng, background, strands)
    epithelium = _epithelium(rng, gland_distance, cellularity)
    nuclei = _place_nuclei(rng, glass_distance, gland_distance, epithelium, across, cellularity)
    cells = _grow_cells(rng, shape, nuclei)
    blood = _red_cells(rng, depth, epithelium, cells, across)
    stains = _stain(rng, strands, depth, epithelium, nuclei, cells, blood)

    labels = np.where(cells.reach < 1, cells.owner + 1, 0)
    solid = (depth >= 0) | (labels > 0) | (blood > 0)
    amounts = np.array([hematoxylin, eosin], np.float32)[:, None, None] * stains * solid
    return Tissue(amounts, _consecutive(labels), solid)


def render(tissue: Tissue, center: Center | str, *, seed: Seed = 0, noise: bool = True) -> NDArray[np.uint8]:
    """Show tissue as one center would have stained and scanned it.

    Light follows the Beer-Lambert law, ``background * exp(-stain_matrix @ (strength * concentrations))``;
    then come the scanner's color matrix and gamma, its blur and its noise.

    Parameters
    ----------
    tissue : Tissue
    center : Center or str
        A center, or the name of one in ``CENTERS``.
    seed : int or sequence of int
        Seed of the noise.
    noise : bool
        False leaves the noise out.  With an identity ``color_matrix``, ``gamma`` 1 and ``blur`` 0 the
        result is then the Beer-Lambert law, rounded to 8 bits.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
        RGB.

    Raises
    ------
    ParameterError
        ``center`` names no center, or ``seed`` is no seed.
    """
    center = _center(center)
    density = (center.stain_matrix * center.strength) @ tissue.concentrations.reshape(2, -1)
    light = np.exp(-density)
    if not np.array_equal(center.color_matrix, np.eye(3)):
        light = np.maximum(center.color_matrix @ light, 0)
    if center.gamma != 1:
        light **= center.gamma
    levels = (center.background[:, None] * light).reshape(3, *tissue.nuclei.shape)
    if center.blur:
        from scipy.ndimage import gaussian_filter

        levels = gaussian_filter(levels, (0, center.blur, center.blur), mode="nearest")
    if noise and center.noise:
        levels += center.noise * _rng(seed).standard_normal(levels.shape, dtype=np.float32)
    pixels = np.rint(np.clip(levels, 0, 255)).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1))


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
        Centers, or names of centers in ``CENTERS``.
    seed : int
        Seed of tissue and noise.  Tile k is the same whatever ``n`` is.
    noise : bool
        False leaves the sensor noise out.
    **options : float
        Passed to ``tissue``: ``background``, ``cellularity``, ``eosin``, ``hematoxylin``.

    Returns
    -------
    tuple of ndarray of uint8, shape (n, H, W, 3)
        One array per center, in the order of ``centers``; index k is the same tissue in all of them.

    Raises
    ------
    ParameterError
        An argument is outside the range above, or a name is that of no center.
    """
    chosen = [_center(center) for center in centers]
    count, sides = _count(n), _height_width(size)
    images = tuple(np.empty((count, *sides, 3), np.uint8) for _ in chosen)
    for k in range(count):
        slide = tissue(size, seed=(seed, k), **options)
        for center, stack in zip(chosen, images, strict=True):
            stack[k] = render(slide, center, seed=_noise_seed(seed, k, center), noise=noise)
    return images


def write_center(
    folder: str | Path, center: Center | str, n: int = 8, size: Size = 256, seed: int = 0, **options: float
) -> list[Path]:
    """Write the tiles that ``pair`` would return for one center as PNG files.

    Two centers written with the same ``n``, ``size`` and ``seed`` show the same tissue, file by file.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; files of the same name are overwritten.
    center, n, size, seed, **options
        As in ``pair``.

    Returns
    -------
    list of Path
        tile_000.png, tile_001.png and so on, in ``folder``.

    Raises
    ------
    ParameterError
        As in ``pair``.
    """
    from PIL import Image

    folder, center, count, size = Path(folder), _center(center), _count(n), _height_width(size)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"tile_{k:03}.png" for k in range(count)]
    for k, path in enumerate(paths):
        slide = tissue(size, seed=(seed, k), **options)
        Image.fromarray(render(slide, center, seed=_noise_seed(seed, k, center))).save(path)
    return paths


# ---------------------------------------------------------------- arguments


def _numbers(name: str, value: ArrayLike, shape: tuple[int, ...]) -> float | NDArray[np.float64]:
    """``value`` as a float or a read-only array of the given shape."""
    try:
        array = np.array(value, np.float64)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"Center {name} must be numeric, not {value!r}.") from error
    if array.shape != shape or not np.isfinite(array).all():
        wanted = f"finite numbers of shape {shape}" if shape else "a finite number"
        raise ParameterError(f"Center {name} must be {wanted}, not {array.tolist()!r}.")
    array.flags.writeable = False
    return array if shape else float(array)


def _count(n: int) -> int:
    if not isinstance(n, SupportsIndex) or operator.index(n) < 0:
        raise ParameterError(f"n must be an integer >= 0, not {n!r}.")
    return operator.index(n)


def _height_width(size: Size) -> tuple[int, int]:
    try:
        height, width = map(operator.index, (size, size) if isinstance(size, SupportsIndex) else size)
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ParameterError(f"size must be an integer >= 1 or (height, width) of such, not {size!r}.")
    return height, width


def _center(center: Center | str) -> Center:
    if isinstance(center, Center):
        return center
    if center not in CENTERS:
        raise ParameterError(f"There is no center {center!r}; use a Center or one of {', '.join(CENTERS)}.")
    return CENTERS[center]


def _rng(seed: Seed) -> np.random.Generator:
    try:
        if seed is None:
            raise TypeError("None would give different tissue every time")
        return np.random.default_rng(seed)
    except (TypeError, ValueError) as error:
        raise ParameterError(f"seed must be an integer >= 0 or a sequence of such, not {seed!r}.") from error


def _noise_seed(seed: int, k: int, center: Center) -> tuple[int, int, int]:
    return seed, k, zlib.crc32(center.name.encode())


# ---------------------------------------------------------------- building blocks


def _noise(rng: np.random.Generator, shape: tuple[int, ...], scale: float) -> Floats:
    """Smooth noise of mean 0 and variance 1 with features about ``scale`` pixels wide."""
    rows, columns = (_bells(n, scale) for n in shape)
    return _resample(rows, rng.standard_normal((rows.shape[1], columns.shape[1]), dtype=np.float32), columns)


def _magnify(values: Floats, shape: tuple[int, ...]) -> Floats:
    """Linear interpolation of values that lie 4 pixels apart."""
    rows, columns = (_hats(n, 4) for n in shape)
    return _resample(rows, values[: rows.shape[1], : columns.shape[1]], columns)


def _bells(n: int, scale: float) -> Any:
    """Matrix that spreads noise at knots ``scale`` pixels apart over n pixels and keeps its variance."""
    position = np.arange(n)[:, None] / scale
    knots = position.astype(int) + np.arange(6)
    weights = np.exp(-0.5 * ((position - (knots - 2)) / 0.6) ** 2)
    return _banded(knots, weights / np.linalg.norm(weights, axis=1, keepdims=True))


def _hats(n: int, scale: float) -> Any:
    """Matrix that interpolates values at knots ``scale`` pixels apart to n pixels."""
    position = np.arange(n)[:, None] / scale
    knots = position.astype(int) + np.arange(2)
    return _banded(knots, 1 - np.abs(position - knots))


def _banded(columns: NDArray[Any], weights: NDArray[Any]) -> Any:
    """Sparse matrix with the given columns and weights in each row."""
    from scipy.sparse import csr_array

    n, taps = weights.shape
    parts = weights.astype(np.float32).ravel(), columns.ravel(), np.arange(n + 1) * taps
    return csr_array(parts, shape=(n, columns[-1, -1] + 1))


def _resample(rows: Any, values: Floats, columns: Any) -> Floats:
    # Sparse, not BLAS, products: linear in the pixels, and the same bits whatever the number of threads.
    result: Floats = rows @ np.ascontiguousarray((columns @ values.T).T)
    return result


def _ramp(values: Floats, low: float, high: float) -> Floats:
    """0 at ``low``, 1 at ``high``, smooth in between and clipped beyond."""
    x: Floats = np.clip((values - np.float32(low)) * np.float32(1 / (high - low)), 0, 1)
    return x * x * (3 - 2 * x)


def _window(shape: tuple[int, int], y: float, x: float, reach: float) -> tuple[tuple[slice, slice], Floats, Floats]:
    """The part of the canvas within ``reach`` of a point, with the offsets of its rows and columns from it."""
    top, bottom = (min(max(int(edge), 0), shape[0]) for edge in (y - reach, y + reach + 1))
    left, right = (min(max(int(edge), 0), shape[1]) for edge in (x - reach, x + reach + 1))
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] - np.float32(y)
    columns = np.arange(left, right, dtype=np.float32) - np.float32(x)
    return (slice(top, bottom), slice(left, right)), rows, columns


def _scatter(rng: np.random.Generator, shape: tuple[int, int], density: float) -> Floats:
    """Random points (y, x) on the tile and its margin, ``density`` of them per square pixel on average."""
    low, high = np.full(2, -_MARGIN), np.array(shape) + _MARGIN
    count = rng.poisson(density * np.prod(high - low, dtype=float))
    return rng.uniform(low, high, (count, 2)).astype(np.float32)


def _consecutive(labels: NDArray[Any]) -> NDArray[np.int32]:
    used = np.bincount(labels.ravel()) > 0
    used[0] = False
    renumbered: NDArray[np.int32] = (np.cumsum(used) * used).astype(np.int32)[labels]
    return renumbered


# ---------------------------------------------------------------- architecture


def _fiber_coordinates(rng: np.random.Generator, shape: tuple[int, int]) -> tuple[Floats, Floats]:
    """Coordinates across and along wavy collagen fibers, in pixels from 0."""
    angle = rng.uniform(0, np.pi)
    y, x = np.arange(shape[0], dtype=np.float32)[:, None], np.arange(shape[1], dtype=np.float32)
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    across = y * cosine + x * sine + 22 * _noise(rng, shape, 60) + 4 * _noise(rng, shape, 22) + _noise(rng, shape, 8)
    along = x * cosine - y * sine
    return across - across.min(), along - along.min()


def _strands(rng: np.random.Generator, across: Floats, along: Floats) -> Floats:
    """Noise stretched along the fibers, of mean 0 and variance about 1: thin strands in thicker bundles."""
    from scipy.ndimage import map_coordinates

    texture = _noise(rng, (int(across.max()) + 2, int(along.max() / 14) + 2), 2)
    thin = map_coordinates(texture, np.stack([across, along / 14]), order=1, mode="nearest")
    thick = map_coordinates(texture, np.stack([across / 3.5, along / 40]), order=1, mode="nearest")
    strands: Floats = np.float32(0.8) * thin + np.float32(0.6) * thick
    return strands


def _holes(rng: np.random.Generator, background: float, strands: Floats) -> tuple[Floats, Floats, Floats]:
    """Where the glass shows: gland lumens, fat and tears.

    Returns
    -------
    depth
        Positive in tissue, negative on glass; about 1 in tissue that is well away from glass.
    glass_distance, gland_distance
        Distances from the nearest glass, and from the nearest gland lumen, in pixels.
    """
    shape = strands.shape
    openness = np.zeros(shape, np.float32)
    is_gland = np.zeros(shape, bool)
    gland_share = rng.uniform(0.3, 1)
    for y, x in _scatter(rng, shape, 1 / 130**2):
        gland = rng.random() < gland_share
        radius, squeeze = (rng.uniform(15, 36), rng.uniform(0.5, 1)) if gland else (rng.uniform(40, 80), 0.9)
        angle = rng.uniform(0, np.pi)
        window, rows, columns = _window(shape, y, x, 2.5 * radius)
        u, v = _rotate(rows, columns, angle)
        bump = np.exp(-((u * u + (v / np.float32(squeeze)) ** 2) / np.float32(radius**2)))
        is_gland[window] = np.where(bump > openness[window], gland, is_gland[window])
        np.maximum(openness[window], bump, out=openness[window])
    rough = 0.26 * _noise(rng, shape, 75) + 0.05 * _noise(rng, shape, 14) + 0.02 * strands
    openness += (1 - 0.7 * openness) * rough
    depth = (_threshold(openness, background) - openness) / np.float32(0.25)

    glass = depth < 0
    return depth, _distance(glass), _distance(glass & is_gland)


def _distance(mask: NDArray[np.bool_]) -> Floats:
    """Pixels to the nearest pixel of the mask, to within a few, and 1000 where there is none."""
    from scipy.ndimage import distance_transform_edt

    if not mask.any():
        return np.full(mask.shape, 1e3, np.float32)
    coarse = np.pad(mask, ((0, 4), (0, 4)), mode="edge")[::4, ::4]
    return _magnify(4 * distance_transform_edt(~coarse).astype(np.float32), mask.shape)


def _threshold(values: Floats, fraction: float) -> np.float32:
    """The value that the given fraction of ``values`` exceeds."""
    if fraction in (0, 1):
        return np.float32(1e3 if fraction == 0 else -1e3)
    return np.float32(np.quantile(values, 1 - fraction))


def _epithelium(rng: np.random.Generator, gland_distance: Floats, cellularity: float) -> Floats:
    """1 in epithelium, 0 in stroma: sheaths of gland lumens first, then solid nests."""
    shape = gland_distance.shape
    affinity = _noise(rng, shape, 90) + 0.1 * _noise(rng, shape, 16) + 3 * _ramp(gland_distance, 70, 25)
    return _ramp(affinity - _threshold(affinity, cellularity), -0.06, 0.06)


# ---------------------------------------------------------------- cells


@dataclass(frozen=True)
class _Nuclei:
    """One entry per nucleus."""

    y: Floats
    x: Floats
    long: Floats  # semi-axes
    short: Floats
    angle: Floats  # of the long axis, from the x axis towards the y axis
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


_LINING, _NEST, _LYMPHOCYTE, _FIBROBLAST = range(4)
# Per kind: ranges of the long semi-axis, short / long, hematoxylin of the body, and vesicular.
_TRAITS = np.array(
    [
        [[12, 16], [0.55, 0.75], [0.75, 1.05], [0.3, 0.9]],
        [[11, 18], [0.62, 0.95], [0.65, 1.05], [0.3, 1.0]],
        [[8, 10], [0.80, 1.00], [1.20, 1.60], [0.0, 0.3]],
        [[11, 24], [0.17, 0.40], [0.85, 1.40], [0.0, 0.5]],
    ]
)
# Per kind: radius of the disc that a nucleus keeps for itself, in units of its own mean radius.
_SPACING = np.array([0.95, 1.15, 1.15, 1.60])


def _place_nuclei(
    rng: np.random.Generator,
    glass_distance: Floats,
    gland_distance: Floats,
    epithelium: Floats,
    across: Floats,
    cellularity: float,
) -> _Nuclei:
    sites, kind = _sites(rng, glass_distance, gland_distance, epithelium, cellularity)
    low, high = np.moveaxis(_TRAITS[kind], -1, 0)
    long, ratio, dark, vesicular = rng.uniform(low, high).T
    long = long * np.where(kind <= _NEST, rng.uniform(0.85, 1.2), 1)
    short = long * ratio
    angle = np.select(
        [kind == _LINING, kind == _FIBROBLAST],
        [_uphill(gland_distance, sites), _uphill(across, sites) + np.pi / 2],
        rng.uniform(0, np.pi, len(kind)),
    ) + rng.normal(0, 0.2, len(kind))
    focus, appetite = rng.uniform(1, 2.2, len(kind)), rng.normal(1, 0.18, len(kind))

    free = _spaced(sites, np.sqrt(long * short) * _SPACING[kind])
    columns = sites[:, 0], sites[:, 1], long, short, angle, dark, vesicular, focus, appetite
    return _Nuclei(*(column[free].astype(np.float32) for column in columns))


def _sites(
    rng: np.random.Generator, glass_distance: Floats, gland_distance: Floats, epithelium: Floats, cellularity: float
) -> tuple[Floats, NDArray[np.intp]]:
    """Candidate positions and kinds of nuclei; when two are too close, the later gives way."""
    shape = epithelium.shape
    sites = _scatter(rng, shape, 1 / 90 if cellularity else 0)
    at = _pixels(sites, shape)
    nest, luck = epithelium[at] > 0.5, rng.random(len(sites))
    inflamed = _noise(rng, shape, 55)[at] + 1.5 * cellularity > 1.9
    kinds = [nest & (gland_distance[at] < 36), nest, inflamed]
    kind = np.select(kinds, [_LINING, _NEST, _LYMPHOCYTE], _FIBROBLAST)
    keep = np.select(kinds, [1, 0.9, 0.3], 0.16 * cellularity)
    wanted = (luck < keep) & (glass_distance[at] > np.where(kind == _LINING, 17, 10))
    order = np.flatnonzero(wanted)
    order = order[np.argsort(kind[order] != _LINING, kind="stable")]
    return sites[order], kind[order]


def _pixels(sites: Floats, shape: tuple[int, ...]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    y, x = np.clip(sites.astype(np.intp), 0, np.array(shape) - 1).T
    return y, x


def _uphill(values: Floats, sites: Floats) -> Floats:
    """Direction of the gradient at each site, from the x axis towards the y axis."""
    step = np.array([[3, 0], [0, 3]], np.float32)
    down, right = (values[_pixels(sites + s, values.shape)] - values[_pixels(sites - s, values.shape)] for s in step)
    direction: Floats = np.arctan2(down, right)
    return direction


def _spaced(sites: Floats, radius: Floats) -> NDArray[np.intp]:
    """Indices left after each site, in order, removes the later ones whose discs overlap its own."""
    from scipy.spatial import cKDTree

    if len(sites) < 2:
        return np.arange(len(sites))
    pairs = cKDTree(sites).query_pairs(2 * radius.max(), output_type="ndarray")
    first, second = np.sort(pairs, axis=1).T
    clash = np.hypot(*(sites[first] - sites[second]).T) < radius[first] + radius[second]
    first, second = first[clash], second[clash]
    alive = np.ones(len(sites), bool)
    while len(first):
        safe = alive.copy()
        safe[second] = False
        alive[second[safe[first]]] = False
        undecided = alive[first] & alive[second]
        first, second = first[undecided], second[undecided]
    return np.flatnonzero(alive)


def _rotate(rows: Floats, columns: Floats, angle: float) -> tuple[Floats, Floats]:
    """Offsets along and across an axis."""
    sine, cosine = np.float32(np.sin(angle)), np.float32(np.cos(angle))
    return columns * cosine + rows * sine, rows * cosine - columns * sine


def _grow_cells(rng: np.random.Generator, shape: tuple[int, int], nuclei: _Nuclei) -> _Cells:
    reach, rival = np.full(shape, 9, np.float32), np.full(shape, 9, np.float32)
    owner = np.zeros(shape, np.int32)
    for i, (y, x, long, short, angle) in enumerate(
        zip(nuclei.y, nuclei.x, nuclei.long, nuclei.short, nuclei.angle, strict=True)
    ):
        window, rows, columns = _window(shape, y, x, _CELL * long)
        u, v = _rotate(rows, columns, angle)
        distance = np.sqrt((u / long) ** 2 + (v / short) ** 2)
        best = reach[window]
        rival[window] = np.minimum(rival[window], np.maximum(distance, best))
        owner[window][distance < best] = i
        np.minimum(best, distance, out=best)
    wobble = 1 + 0.09 * _noise(rng, shape, 9)
    return _Cells(owner, reach * wobble, rival * wobble)


def _red_cells(rng: np.random.Generator, depth: Floats, epithelium: Floats, cells: _Cells, across: Floats) -> Floats:
    """Amount of red blood cell, 0..1: short files of discs along the fibers."""
    blood = np.zeros(depth.shape, np.float32)
    vessels = _scatter(rng, depth.shape, 1 / 170**2)
    at = _pixels(vessels, depth.shape)
    vessels = vessels[(depth[at] > 0) & (epithelium[at] < 0.2)]
    for (y, x), angle in zip(vessels, _uphill(across, vessels) + np.pi / 2, strict=True):
        for _ in range(rng.integers(1, 6)):
            radius, squeeze = rng.uniform(9, 12), rng.uniform(0.7, 1)
            window, rows, columns = _window(depth.shape, y, x, radius + 2)
            u, v = _rotate(rows, columns, rng.uniform(0, np.pi))
            distance = np.sqrt(u * u + (v / np.float32(squeeze)) ** 2)
            disc = _ramp(distance, radius, radius - 2) * (1 - 0.3 * _ramp(distance, 0.7 * radius, 0))
            np.maximum(blood[window], disc, out=blood[window])
            y += 1.8 * radius * np.sin(angle) + rng.normal(0, 5)
            x += 1.8 * radius * np.cos(angle) + rng.normal(0, 5)
            angle += rng.normal(0, 0.6)
    return blood * (cells.reach > 1.15)


# ---------------------------------------------------------------- stains


def _stain(
    rng: np.random.Generator,
    strands: Floats,
    depth: Floats,
    epithelium: Floats,
    nuclei: _Nuclei,
    cells: _Cells,
    blood: Floats,
) -> Floats:
    """Concentrations of hematoxylin and eosin."""
    shape = depth.shape
    foam = _noise(rng, shape, 3)
    body = _ramp(cells.reach, 2.2, 1.2)
    membrane = _ramp(cells.rival - cells.reach, 0.22, 0) * _ramp(cells.rival, 2.3, 1.9)

    eosin = 0.42 + 0.09 * foam + 0.18 * membrane
    hematoxylin = 0.2 + 0.05 * foam + 0.06 * membrane
    if len(nuclei.y):
        eosin *= 1 + body * (nuclei.appetite[cells.owner] - 1)
    collagen = 0.56 * (0.2 + 0.8 * _ramp(strands, -2.4, -0.6)) * (1 + 0.2 * strands) + 0.05 * foam + 0.1 * body
    eosin = collagen + epithelium * (eosin - collagen) + 0.4 * epithelium * (1 - epithelium)
    ground = 0.05 + 0.08 * body
    hematoxylin = ground + epithelium * (hematoxylin - ground)

    edge = 0.1 + 1.05 * _ramp(depth, 0, 0.2) - 0.15 * _ramp(depth, 0.2, 0.5)
    eosin, hematoxylin = eosin * edge, hematoxylin * edge
    if len(nuclei.y):
        _stain_nuclei(rng, nuclei, cells, hematoxylin, eosin)
    eosin += blood * (1.25 - eosin)
    hematoxylin *= 1 - blood
    thickness = np.exp(0.08 * _noise(rng, shape, 150))
    stains: Floats = np.maximum(np.stack([hematoxylin, eosin]) * thickness, 0)
    return stains


def _stain_nuclei(rng: np.random.Generator, nuclei: _Nuclei, cells: _Cells, hematoxylin: Floats, eosin: Floats) -> None:
    """Paint chromatin, rim and nucleoli into the two maps."""
    at = np.nonzero(cells.reach < 1.2)
    owner, reach = cells.owner[at], cells.reach[at]
    count = len(nuclei.y)
    grain = _noise(rng, (320, 320), 2) + 0.8 * _noise(rng, (320, 320), 4.5)
    corner = (np.stack([nuclei.y, nuclei.x]) - rng.uniform(80, 240, (2, count))).astype(np.intp)
    vesicular, radius = nuclei.vesicular[owner], np.sqrt(nuclei.long * nuclei.short)[owner]
    inward = (1 - reach) * radius
    inside = _ramp(inward / nuclei.focus[owner], -0.5, 0.5)
    clumps = grain[at[0] - corner[0][owner], at[1] - corner[1][owner]]
    rim = np.exp(-(((inward - 1.5) / 1.3) ** 2))

    size = np.where(nuclei.vesicular > 0.5, rng.uniform(1.2, 2.6, count), 0.01)
    offset = rng.normal(0, 0.25, (2, count)) * nuclei.short
    rows, columns = at[0] - (nuclei.y + offset[0])[owner], at[1] - (nuclei.x + offset[1])[owner]
    nucleolus = np.exp(-(rows**2 + columns**2) / (2 * size[owner] ** 2))

    dense = 1 + 0.12 * clumps
    pale = 0.55 + 0.2 * clumps + 0.5 * rim + 0.8 * nucleolus
    chromatin = nuclei.dark[owner] * np.maximum(dense + vesicular * (pale - dense), 0.1)
    hematoxylin[at] += inside * (chromatin - hematoxylin[at])
    eosin[at] *= 1 - 0.6 * inside
    eosin[at] += inside * 0.3 * nucleolus


# ---------------------------------------------------------------- centers


def _unit(*columns: tuple[float, float, float]) -> NDArray[np.float64]:
    lengths: NDArray[np.float64] = np.linalg.norm(columns, axis=1)
    return np.array(columns).T / lengths


CENTERS: Mapping[str, Center] = MappingProxyType(
    {
        center.name: center
        for center in (
            # Hematoxylin of Ruifrok & Johnston 2001, Anal Quant Cytol Histol 23:291, and an eosin less magenta
            # than theirs, on an ideal scanner.
            Center(
                name="a",
                stain_matrix=_unit((0.650, 0.704, 0.286), (0.18, 0.92, 0.34)),
                background=np.array([244.0, 244.0, 246.0]),
                noise=1.5,
            ),
            # Reference of Macenko et al. 2009, ISBI, staining deeply; a scanner that saturates reds.
            Center(
                name="b",
                stain_matrix=_unit((0.5626, 0.7201, 0.4062), (0.2159, 0.8012, 0.5581)),
                strength=np.array([1.15, 1.2]),
                background=np.array([240.0, 236.0, 232.0]),
                gamma=1.05,
                color_matrix=np.array([[1.06, -0.04, -0.02], [-0.04, 1.06, -0.02], [0.0, 0.02, 0.98]]),
                noise=2.0,
                blur=0.6,
            ),
            # A faded slide: bluish hematoxylin, little eosin, and an older, softer scanner.
            Center(
                name="c",
                stain_matrix=_unit((0.74, 0.62, 0.26), (0.10, 0.93, 0.35)),
                strength=np.array([0.65, 0.5]),
                background=np.array([233.0, 235.0, 238.0]),
                gamma=0.95,
                noise=2.5,
                blur=0.9,
            ),
        )
    }
)
