"""What Python and C++ agree on: the structures they share, and every function of the compiled library.

Each structure has the name and the fields that it has in ``csrc/kernels.h``, ``view.h`` or ``encoder.h``; the sizes are
compared when the library is loaded.
"""

from __future__ import annotations

import ctypes
from ctypes import POINTER, Structure, c_char_p, c_double, c_float, c_int32, c_int64, c_void_p
from typing import Any, ClassVar, Self

import numpy as np

# ---- structures -----------------------------------------------------------------------------------------------------


class Shared(Structure):
    """A structure of C++."""

    arrays: tuple[Any, ...] = ()
    """Where its pointers point, in order, None for null; they live as long as it does."""

    @classmethod
    def of(cls, *values: Any) -> Self:
        """Of one value for each field, an array or None for a pointer."""
        pointers = [field[1] is c_void_p for field in cls._fields_]
        structure = cls(*[v.ctypes.data if isinstance(v, np.ndarray) else v for v in values])
        structure.arrays = tuple(value for value, pointer in zip(values, pointers) if pointer)
        return structure


class View(Shared):
    """An RGB image in memory."""

    _fields_ = [
        ("data", c_void_p),
        ("rows", c_int64), ("columns", c_int64),
        ("channel_stride", c_int64), ("row_stride", c_int64), ("column_stride", c_int64),
        ("type", c_int32),
        ("low", c_float), ("scale", c_float), ("clip", c_int32),
    ]  # fmt: skip


class Density(Shared):
    """How optical density is computed from light."""

    _fields_ = [("lowest", c_float), ("floor", c_float), ("scale", c_float * 3), ("offset", c_float * 3)]


class Light(Shared):
    """How light is computed from optical density."""

    _fields_ = [("gain", c_float * 3), ("shift", c_float * 3)]


class Map(Shared):
    """The numbers of a color map, and the function that applies it: ``function(source, target, map, threads)``."""

    function: ClassVar[str]


class DensityMap(Map):
    """A linear map of densities."""

    function = "sx_density_map"
    _fields_ = [("from_", Density), ("to", Light), ("matrix", c_float * 9), ("bias", c_float * 3)]


class MixtureMap(Map):
    """Amounts of three stains, recombined."""

    function = "sx_mixture_map"
    _fields_ = [
        ("from_", Density), ("to", Light),
        ("separate", c_float * 9), ("recombine", c_float * 9), ("bias", c_float * 3),
    ]  # fmt: skip


class StainMap(Map):
    """Amounts of two stains by the non-negative lasso, recombined."""

    function = "sx_stain_map"
    _fields_ = [
        ("from_", Density), ("to", Light), ("stains", c_float * 6),
        ("penalty", c_float), ("cosine", c_float), ("determinant", c_float), ("recombine", c_float * 6),
    ]  # fmt: skip


class Tissue(Shared):
    """How much of a tissue's color there is in a color, by its smallest channel."""

    _fields_ = [("center", c_float), ("coefficients", c_float * 5), ("light", c_int32)]


class TissueLightMap(Map):
    """A linear map of light, of tissue."""

    function = "sx_tissue_light_map"
    _fields_ = [("tissue", Tissue), ("matrix", c_float * 9), ("bias", c_float * 3)]


class TissueDensityMap(Map):
    """A linear map of densities, of tissue; of 8 bits by a table of factors."""

    function = "sx_tissue_density_map"
    _fields_ = [
        ("from_", Density), ("to", Light), ("tissue", Tissue), ("matrix", c_float * 9), ("bias", c_float * 3),
        ("factors", c_void_p),
    ]  # fmt: skip


class LabMap(Map):
    """Each channel of CIELAB, scaled and shifted."""

    function = "sx_lab_map"
    _fields_ = [
        ("scale", c_float * 3), ("shift", c_float * 3),
        ("xyz_from_rgb", c_float * 9), ("rgb_from_xyz", c_float * 9),
    ]  # fmt: skip


class HsvMap(Map):
    """Hue turned, saturation scaled."""

    function = "sx_hsv_map"
    _fields_ = [("hue", c_float), ("saturation", c_float), ("towards_full", c_int32)]


class CurveMap(Map):
    """A curve for each channel."""

    function = "sx_curves"
    _fields_ = [("levels", c_void_p), ("nodes", c_void_p), ("n", c_int32)]


class Lut3D(Map):
    """A table of colors."""

    function = "sx_lut3d"
    _fields_ = [
        ("nodes", c_void_p), ("n", c_int32), ("tetrahedral", c_int32), ("low", c_float * 3), ("inverse", c_float * 3),
    ]  # fmt: skip


class Lut4D(Map):
    """A table of colors with a context of each pixel."""

    function = "sx_lut4d"
    _fields_ = [("nodes", c_void_p), ("context_nodes", c_int32), ("n", c_int32), ("context", c_void_p)]


class GrayLut(Shared):
    """Colors of grays with a context of each pixel."""

    _fields_ = [("table", c_void_p), ("context_nodes", c_int32), ("gray", c_void_p), ("context", c_void_p)]


class Network(Shared):
    """1x1 convolutions in whole numbers."""

    _fields_ = [("widths", c_void_p), ("weights", c_void_p), ("biases", c_void_p), ("layers", c_int32)]


class Colors(Shared):
    """8-bit colors with counts, their densities by a table, and the lowest density that counts."""

    _fields_ = [("levels", c_void_p), ("counts", c_void_p), ("n", c_int64), ("tables", c_void_p), ("lowest", c_double)]


class Separation(Shared):
    """Amounts of two stains: by a matrix, or by the lasso."""

    _fields_ = [("rows", c_double * 6), ("lasso", c_int32), ("penalty", c_double), ("determinant", c_double)]


class Factorization(Shared):
    """Settings of the sparse factorization."""

    _fields_ = [("penalty", c_double), ("tolerance", c_double), ("collinear", c_double), ("steps", c_int32)]


class EncoderWeights(Shared):
    """Weights of StainLUT's Encoder."""

    _fields_ = [
        *((name, c_void_p) for name in ("first", "middle", "last", "biases", "gain", "shift", "mean", "variance")),
        ("last_bias", c_float), ("epsilon", c_float),
    ]  # fmt: skip


MAPS: tuple[type[Map], ...] = (
    DensityMap, MixtureMap, StainMap, TissueLightMap, TissueDensityMap, LabMap, HsvMap, CurveMap, Lut3D, Lut4D,
)  # fmt: skip

STRUCTURES: tuple[type[Shared], ...] = (
    *MAPS, View, Density, Light, Tissue, GrayLut, Network, Colors, Separation, Factorization, EncoderWeights,
)  # fmt: skip


class Size(Structure):
    """A structure of C++, and its bytes."""

    _fields_ = [("structure", c_char_p), ("bytes", c_int64)]


# ---- functions ------------------------------------------------------------------------------------------------------


class Array:
    """An argument: a contiguous array of one dtype (None: of any), passed as a pointer."""

    def __init__(self, dtype: Any) -> None:
        self.dtype = dtype and np.dtype(dtype)

    def from_param(self, array: np.ndarray) -> c_void_p:
        """As ctypes passes it; TypeError if C++ would read something else."""
        if not array.flags.c_contiguous or (self.dtype and array.dtype != self.dtype):
            raise TypeError(f"a contiguous array of {self.dtype or 'any dtype'} was expected, got {array.dtype} "
                            f"{array.shape} with strides {array.strides}")  # fmt: skip
        return c_void_p(array.ctypes.data)


class Rows(Array):
    """An image ``(rows, columns, 3)`` whose rows are contiguous."""

    def from_param(self, array: np.ndarray) -> c_void_p:
        """As ctypes passes it."""
        if array.dtype != self.dtype or array.strides[1:] != (3 * array.itemsize, array.itemsize):
            raise TypeError(
                f"rows of {self.dtype} colors were expected, got {array.dtype} with strides {array.strides}"
            )
        return c_void_p(array.ctypes.data)


_U8, _I64, _F32, _F64, _ANY = Array(np.uint8), Array(np.int64), Array(np.float32), Array(np.float64), Array(None)
_VIEW, _COLORS, _N, _THREADS = POINTER(View), POINTER(Colors), c_int64, c_int32

KERNELS: dict[str, tuple[Any, ...]] = {
    **{each.function: (_VIEW, _VIEW, POINTER(each), _THREADS) for each in MAPS},
    "sx_gray_lut": (_VIEW, POINTER(GrayLut), _THREADS),
    "sx_gray": (_VIEW, _F32, _U8, _THREADS),
    "sx_to_levels": (_VIEW, _VIEW, c_float),
    "sx_recolor": (_VIEW, _VIEW, _U8, _N, _ANY, _THREADS),
    "sx_encode": (_U8, _N, _N, POINTER(EncoderWeights), c_int32, _F32, _THREADS),
    "sx_halve": (Rows(np.uint8), _N, _N, _N, _U8),
    "sx_sum": (_VIEW, _THREADS),
    "sx_histogram_count": (_VIEW, _THREADS),
    "sx_histogram_take": (_U8, _I64, _N),
    "sx_channel_counts": (_U8, _I64, _N, _I64),
    "sx_count_between": (_U8, _I64, _N, c_int32, c_int32),
    "sx_look_up": (_U8, _N, _F64, _F64),
    "sx_lab_of_levels": (_U8, _N, _F64, _F64, _F64),
    "sx_network": (_F64, _N, POINTER(Network), _F64, _THREADS),
    "sx_project": (_F64, _N, _F64, c_int32, _F64),
    "sx_percentiles": (_F64, _I64, _N, _F64, c_int32, _F64),
    "sx_moments": (_F64, _I64, _N, _F64, _F64),
    "sx_lasso": (_F64, _N, _F64, c_double, c_double, _F64),
    "sx_factorize": (_F64, _F64, _N, POINTER(Factorization), _F64, _F64),
    "sx_level_moments": (_COLORS, _F64, _F64),
    "sx_level_angle_percentiles": (_COLORS, _F64, _F64, c_int32, _F64),
    "sx_level_amount_percentiles": (_COLORS, POINTER(Separation), c_double, _F64),
}
"""Arguments of the kernels. All return int64: a number, 0 where there is none to return, or NO_MEMORY or FAILED."""

NO_MEMORY, FAILED = -1, -2

OTHERS: dict[str, tuple[tuple[Any, ...], Any]] = {
    "sx_select": ((c_char_p,), c_int32),
    "sx_selected": ((), c_char_p),
    "sx_message": ((), c_char_p),
    "sx_sizes": ((), POINTER(Size)),
}
"""Arguments and results of the other functions."""


class MismatchError(Exception):
    """A library is not that of this version."""


def load(path: str) -> ctypes.CDLL:
    """The library in a file, its functions typed. OSError or MismatchError says why it cannot be used."""
    library = ctypes.CDLL(path)
    for name, (arguments, result) in ({name: (types, c_int64) for name, types in KERNELS.items()} | OTHERS).items():
        try:
            function = getattr(library, name)
        except AttributeError:
            raise MismatchError(f"it has no function {name}") from None
        function.argtypes, function.restype = arguments, result
    check_sizes(sizes_in(library))
    return library


def sizes_in(library: ctypes.CDLL) -> dict[str, int]:
    """Bytes of each structure, as the library has it."""
    sizes, entry = {}, library.sx_sizes()
    i = 0
    while entry[i].structure is not None:
        sizes[entry[i].structure.decode()] = entry[i].bytes
        i += 1
    return sizes


def check_sizes(sizes: dict[str, int]) -> None:
    """Raise MismatchError if a structure has another size in C++ than here."""
    for structure in STRUCTURES:
        here, there = ctypes.sizeof(structure), sizes.get(structure.__name__)
        if here != there:
            raise MismatchError(f"its structure {structure.__name__} has {there} bytes, not {here}")
