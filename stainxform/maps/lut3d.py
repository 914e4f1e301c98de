"""3D lookup tables: any color map baked into a grid of colors.

A table is an approximation, by how much :func:`bake_error` measures, except at its nodes: with 256 of them every 8-bit
color is one.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, get_args

import numpy as np

from stainxform._native.kernels import Lut3DKernel
from stainxform._optional import is_tensor
from stainxform.color import Planes, constant
from stainxform.color.interpolation import Interpolation, locate, multilinear, tetrahedral
from stainxform.errors import ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram, weighted_percentile
from stainxform.io.sources import iterate
from stainxform.maps.base import ColorMap, ImageMap

__all__ = [
    "MAX_NODES",
    "OVERSHOOT",
    "RANDOM_COLORS",
    "UNIT",
    "BakeError",
    "Domain",
    "HasMapForTiles",
    "Lut3DMap",
    "bake",
    "bake_center",
    "bake_error",
]

Domain = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Colors of the first and of the last node."""

UNIT: Domain = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))

MAX_NODES = 256
"""The largest number that the ``.cube`` format allows."""

_MAX_IN_CACHE = 129

OVERSHOOT = 0.5
"""Baked colors may leave 0..1 by this much. Clipped at the nodes, a map would be wrong in every cell in which it leaves
the displayable range, which bright glass does; without any limit, so would one that runs away where no tissue is.
"""

RANDOM_COLORS = 1 << 18
"""Colors that :func:`bake_error` draws."""


@dataclass(frozen=True, eq=False)
class Lut3DMap(ColorMap):
    """A color map given by its values on a regular grid of colors.

    Parameters
    ----------
    table : ndarray
        float ``(N, N, N, 3)``, N from 2 to 256, indexed by red, green, blue.
    interpolation : {"tetrahedral", "trilinear"}, optional
        Interpolation between the nodes, "tetrahedral" (of four nodes; mostly closer to our maps, see
        ``docs/results/lut_error.md``) or "trilinear" (of eight).
    domain : ((float, float, float), (float, float, float)), optional
        Colors of the first and of the last node; colors outside are clamped.

    Raises
    ------
    ParameterError
        A table of another shape, an unknown interpolation or an empty domain.
    """

    table: np.ndarray
    interpolation: Interpolation = "tetrahedral"
    domain: Domain = UNIT

    def __post_init__(self) -> None:
        shape = self.table.shape
        if shape != (*shape[:1] * 3, 3) or not 2 <= shape[0] <= MAX_NODES or self.table.dtype.kind != "f":
            raise ParameterError(
                f"a table holds floats (N, N, N, 3) with N from 2 to {MAX_NODES}, got {self.table.dtype} {shape}"
            )
        if self.interpolation not in get_args(Interpolation):
            raise ParameterError(f"interpolation must be 'tetrahedral' or 'trilinear', got {self.interpolation!r}")
        if not all(low < high for low, high in zip(*self.domain)):
            raise ParameterError(f"the domain must be (low, high) with low < high in each channel, got {self.domain}")

    @property
    def nodes(self) -> int:
        """Nodes of each axis."""
        return len(self.table)

    @cached_property
    def kernel(self) -> Lut3DKernel | None:
        """The same in one pass; None for a table far larger than any cache, which serves each color once instead."""
        if self.nodes > _MAX_IN_CACHE:
            return None
        return Lut3DKernel(self.table, self.interpolation == "tetrahedral", *self.domain)

    def __getstate__(self) -> dict[str, Any]:
        """Without the kernel, which holds pointers: a table that was applied is pickled like a new one."""
        return {name: value for name, value in vars(self).items() if name != "kernel"}

    def evaluate(self, planes: Planes) -> Planes:
        """Interpolate RGB planes. Gradients flow to the colors; at a node they are those of the cell above it."""
        if is_tensor(planes) and self.domain == UNIT:
            from stainxform.ops.lut3d import lut3d

            return lut3d(constant(np.moveaxis(self.table, -1, 0), planes), planes, self.interpolation)
        strides = (self.nodes**2, self.nodes, 1)
        cells = [locate(plane, self.nodes, low, high) for plane, low, high in zip(planes, *self.domain)]
        index = sum(cell * stride for (cell, _), stride in zip(cells, strides))
        interpolate = tetrahedral if self.interpolation == "tetrahedral" else multilinear
        return interpolate(_Nodes(self.table, planes), index, [fraction for _, fraction in cells], strides)


class _Nodes:
    """Reads nodes of a table as colors like ``planes``. The table is not converted, except for torch."""

    def __init__(self, table: np.ndarray, planes: Planes):
        # By channel: arithmetic on contiguous planes is several times as fast as on triples.
        channels = np.moveaxis(table, -1, 0).reshape(3, -1)
        self._channels = constant(channels, planes) if is_tensor(planes) else channels
        self._dtype = planes.dtype

    def __getitem__(self, index: Any) -> Planes:
        if is_tensor(index):
            return self._channels[:, index]
        return np.stack([channel[index].astype(self._dtype, copy=False) for channel in self._channels])


def bake(color_map: ImageMap, nodes: int = 33, interpolation: Interpolation = "tetrahedral") -> Lut3DMap:
    """Evaluate a color map on a grid, as float32, unclipped but for OVERSHOOT.

    Parameters
    ----------
    color_map : ImageMap
        Any ColorMap, for example ``normalizer.map_for(image)`` of a pointwise method.
    nodes : int, optional
        Of each axis, 2 to 256. Usual are 17, 33 and 65; with 256 nodes, 200 MB, 8-bit images come out bit-equal to the
        closed form in numpy.
    interpolation : {"tetrahedral", "trilinear"}, optional
        See :class:`Lut3DMap`.

    Raises
    ------
    ParameterError
        A map that looks at more than a pixel's own color, or a number of nodes that makes no sense.
    """
    if not isinstance(color_map, ColorMap):
        raise ParameterError(
            f"a {type(color_map).__name__} is no function of color alone and has no 3D LUT; "
            "distill the normalizer into a StainNet, and bake that"
        )
    if not isinstance(nodes, int) or not 2 <= nodes <= MAX_NODES:
        raise ParameterError(f"nodes must be an integer from 2 to {MAX_NODES}, got {nodes!r}")
    ramp = np.arange(nodes, dtype=np.float32) / np.float32(nodes - 1)
    channels = np.empty((3, nodes, nodes, nodes), np.float32)
    for red in range(nodes):
        colors = np.stack(np.broadcast_arrays(ramp[red], ramp[:, None], ramp))
        channels[:, red] = np.clip(color_map.evaluate(colors), -OVERSHOOT, 1 + OVERSHOOT)
    return Lut3DMap(np.moveaxis(channels, 0, -1), interpolation)


class HasMapForTiles(Protocol):
    """A fitted normalizer, as far as a table needs one."""

    def map_for_tiles(self, tiles: Any) -> ImageMap:
        """The one map for all tiles."""
        ...


def bake_center(
    normalizer: HasMapForTiles, images: Any, nodes: int = 33, interpolation: Interpolation = "tetrahedral"
) -> Lut3DMap:
    """The one table that takes another center to the normalizer's; deprecated, use :meth:`stainxform.Normalizer.calibrate`.

    It warns with DeprecationWarning, and is ``bake(normalizer.calibrate(images, center_weight=1).closed_map_of(None))``.

    Parameters
    ----------
    normalizer : HasMapForTiles
        Fitted on our center.
    images : str, Path, array_like, Dataset or iterable of these
        Tiles of the other center, or of one of its slides: arrays, a folder, a glob pattern, files.
    nodes : int, optional
        See :func:`bake`.
    interpolation : {"tetrahedral", "trilinear"}, optional
        See :func:`bake`.

    Raises
    ------
    ParameterError
        A network whose model file does not say what color its center's tissue has.
    NotEnoughTissueError
        Too little tissue to estimate from.
    """
    warnings.warn(
        "bake_center is deprecated: bake(normalizer.calibrate(images).closed_map_of(None)) is the same map, and the "
        "calibration can be saved, and used, like any normalizer",
        DeprecationWarning,
        stacklevel=2,
    )
    if not hasattr(normalizer, "calibrate") or getattr(normalizer, "fixed_map", None) is not None:
        return bake(normalizer.map_for_tiles(images), nodes, interpolation)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StainXformWarning)  # a table never said how sure it is
        calibration = normalizer.calibrate(images, center_weight=1, qc="off")
    return bake(calibration.closed_map_of(None), nodes, interpolation)


@dataclass(frozen=True)
class BakeError:
    """How far a table is from its map, in levels of 255: the largest of three channels, over colors."""

    max: float
    mean: float
    p99: float


def bake_error(color_map: ColorMap, lut: ColorMap, images: Any = None, *, seed: int = 0) -> BakeError:
    """Measure a table against its map, in float64, both clipped to the displayable range but not rounded.

    Parameters
    ----------
    color_map : ColorMap
        The closed form.
    lut : ColorMap
        What stands in for it.
    images : str, Path, array_like, Dataset or iterable of these, optional
        The colors to measure on, each as often as it occurs; None: 2^18 random 8-bit colors.
    seed : int, optional
        Seed of the random colors.

    Raises
    ------
    ParameterError
        The images hold no pixel.
    """
    if images is None:
        colors = np.random.default_rng(seed).integers(0, 256, (1, RANDOM_COLORS, 3), dtype=np.uint8)
        histogram = ColorHistogram.of(colors)
    else:
        histogram = ColorHistogram.pool(ColorHistogram.of(image) for image in iterate(images))
    if not histogram.total:
        raise ParameterError("there is no color to measure on; pass images with pixels")
    wanted, found = (np.clip(one.evaluate(histogram.colors), 0, 1) for one in (color_map, lut))
    error = 255 * np.abs(found - wanted).max(axis=0)
    return BakeError(
        max=float(error.max()),
        mean=float((error * histogram.counts).sum() / histogram.total),
        p99=weighted_percentile(error, histogram.counts, 99),
    )
