"""What a transform of images must hold to, as laws that hypothesis looks for exceptions to.

>>> from stainxform.testing import check_transform
>>> check_transform(MyTransform())  # doctest: +SKIP
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from stainxform._optional import is_tensor
from stainxform.errors import ParameterError
from stainxform.image.layout import as_numpy
from stainxform.testing.images import DTYPES, LAYOUTS, blank_image, in_range, memory_layouts
from stainxform.testing.strategies import he_images

__all__ = [
    "LAWS",
    "Case",
    "Transform",
    "TransformLaws",
    "ValueRange",
    "batch_equals_loop",
    "blank_images_are_no_error",
    "can_be_pickled",
    "check_law",
    "check_transform",
    "input_is_never_written",
    "is_deterministic",
    "kind_is_kept",
    "memory_does_not_matter",
    "nan_is_refused",
    "result_is_in_range",
    "threads_may_share",
    "tile_equals_whole",
    "wrap",
]

Transform = Callable[[Any], Any]
ValueRange = tuple[float, float]


@dataclass(frozen=True)
class Case:
    """A transform, and the images that it takes.

    Attributes
    ----------
    transform : callable
        Function of one image (or batch) that gives back an image.
    dtypes : sequence of str
        Of "uint8", "float16", "float32" and "float64" those it takes.
    layouts : sequence of str
        Of "HWC", "CHW", "NHWC", "NCHW" (numpy), "torch CHW" and "torch NCHW" those it takes.
    value_range : (float, float)
        Range of its floats.
    images : SearchStrategy or None
        Strategy of uint8 ``(H, W, 3)`` that it may be given; None: H&E-like, 1 to 40 pixels wide and high.
    tolerance : float
        How far two results that should be equal may be apart, in 8-bit levels.
    blank : str
        What it gives back for an image without tissue: "kept", the image; "any", an image.
    pointwise : bool
        Whether a pixel of the result depends on the same pixel of the image only.
    examples : int
        Images to try for each law.
    """

    transform: Transform
    dtypes: Sequence[str] = ("uint8",)
    layouts: Sequence[str] = ("HWC",)
    value_range: ValueRange = (0.0, 1.0)
    images: st.SearchStrategy[np.ndarray] | None = None
    tolerance: float = 0.0
    blank: str = "kept"
    pointwise: bool = False
    examples: int = 10

    def __post_init__(self) -> None:
        for name, known in (("dtypes", DTYPES), ("layouts", LAYOUTS)):
            given_values = getattr(self, name)
            if isinstance(given_values, str) or not given_values or not set(given_values) <= set(known):
                raise ParameterError(f"{name} must be some of {', '.join(known)}, got {given_values!r}")
        if len({layout.endswith("CHW") for layout in self.layouts if not layout.startswith("torch")}) > 1:
            raise ParameterError(f"numpy layouts have the channels all first or all last, got {self.layouts!r}")
        if self.blank not in ("kept", "any"):
            raise ParameterError(f"blank must be 'kept' or 'any', got {self.blank!r}")

    def stored(self) -> st.SearchStrategy[Any]:
        """Images in every dtype and layout of this case."""
        pixels = self.images or he_images()
        return st.builds(self.store, pixels, st.sampled_from(self.dtypes), st.sampled_from(self.layouts))

    def store(self, pixels: np.ndarray, dtype: str, layout: str) -> Any:
        """uint8 ``(H, W, 3)`` as this transform takes it; a batch holds it, and half its ink upside down."""
        if "N" in layout:  # two images with other statistics: a transform may pool what it should not
            pixels = np.stack([pixels, 255 - (255 - pixels[::-1]) // 2])
        image = in_range(pixels, dtype, self.value_range)
        return wrap(np.array(np.moveaxis(image, -1, -3) if "CHW" in layout else image, order="C"), layout)

    def same(self, result: Any, wanted: Any, what: str) -> None:
        """Raise AssertionError unless both are equal, up to the tolerance."""
        one, other = as_numpy(result), as_numpy(wanted)
        if one.shape != other.shape or one.dtype != other.dtype:
            raise AssertionError(f"{what}: {one.dtype} {one.shape} instead of {other.dtype} {other.shape}")
        low, high = (0.0, 255.0) if other.dtype == np.uint8 else self.value_range
        levels = np.abs(one.astype(np.float64) - other.astype(np.float64)) * (255 / (high - low))
        worst = float(levels.max(initial=0.0))
        if not worst <= self.tolerance:
            raise AssertionError(f"{what}: results are up to {worst:.4g} levels apart")


def wrap(array: np.ndarray, layout: str) -> Any:
    """The array, or a tensor that shares its memory."""
    if not layout.startswith("torch"):
        return array
    import torch

    return torch.from_numpy(array)


def input_is_never_written(case: Case, image: Any) -> None:
    """The image is the same after the call, and the result does not share its memory."""
    before = as_numpy(image).copy()
    result = as_numpy(case.transform(image))
    if not np.array_equal(as_numpy(image), before):
        raise AssertionError("the input was changed")
    if np.shares_memory(result, as_numpy(image)):
        raise AssertionError("the result shares memory with the input: writing to one changes the other")


def kind_is_kept(case: Case, image: Any) -> None:
    """Type, dtype, shape (so the layout) and device of the result are those of the image."""
    result = case.transform(image)
    for name in ("dtype", "shape", "device"):
        got, wanted = (getattr(each, name, None) for each in (result, image))
        if got != wanted:
            raise AssertionError(f"{name} {wanted} became {got}")
    if is_tensor(image) != is_tensor(result):
        raise AssertionError(f"{type(image).__name__} became {type(result).__name__}")


def result_is_in_range(case: Case, image: Any) -> None:
    """No NaN; floats stay within the value range."""
    result = as_numpy(case.transform(image))
    low, high = (0, 255) if result.dtype == np.uint8 else case.value_range
    if not np.isfinite(result).all():
        raise AssertionError("the result holds NaN or infinite values")
    if result.size and (result.min() < low or result.max() > high):
        raise AssertionError(f"values {result.min():.4g}..{result.max():.4g} are outside {low:g}..{high:g}")


def is_deterministic(case: Case, image: Any) -> None:
    """The same image gives the same result again, also after another one."""
    first = as_numpy(case.transform(image)).copy()
    case.same(case.transform(image), first, "called again")
    case.transform(_like(as_numpy(image)[..., ::-1].copy(), image))
    case.same(case.transform(image), first, "called again after another image")


def memory_does_not_matter(case: Case, image: Any) -> None:
    """Strided, transposed, reversed and read-only arrays give what contiguous ones do."""
    wanted = case.transform(image)
    for name, array in memory_layouts(as_numpy(image), numpy=not is_tensor(image)).items():
        case.same(case.transform(_like(array, image)), wanted, f"{name} memory")


def batch_equals_loop(case: Case, image: Any) -> None:
    """A batch gives what its images give one by one."""
    if image.ndim < 4:
        return
    for i, result in enumerate(case.transform(image)):
        case.same(result, case.transform(image[i]), f"image {i} of a batch")


def can_be_pickled(case: Case, image: Any) -> None:
    """A pickled copy does the same: DataLoader workers and caches need that."""
    try:
        clone = pickle.loads(pickle.dumps(case.transform))
    except Exception as error:
        raise AssertionError(f"the transform cannot be pickled: {error}") from error
    case.same(clone(image), case.transform(image), "a pickled copy")


def threads_may_share(case: Case, image: Any) -> None:
    """Calls from several threads at once do not disturb each other."""
    flipped = _like(as_numpy(image)[..., ::-1, :].copy(), image)
    wanted = [as_numpy(case.transform(each)).copy() for each in (image, flipped)]
    with ThreadPoolExecutor(4) as pool:
        for i, result in enumerate(pool.map(case.transform, [image, flipped] * 4)):
            case.same(result, wanted[i % 2], "in a thread")


def tile_equals_whole(case: Case, image: Any) -> None:
    """Pointwise transforms only: cut first and transform, or transform and then cut, is the same."""
    if not case.pointwise:
        return
    rows = _rows_axis(case, image)
    half = image.shape[rows] // 2
    assume(half)
    cut = (slice(None),) * rows + (slice(0, half),)
    case.same(case.transform(image[cut]), case.transform(image)[cut], "a tile cut out")


def blank_images_are_no_error(case: Case, image: Any) -> None:
    """White and black images come back: unchanged, or as an image of the same kind."""
    layout = next(layout for layout in case.layouts if layout.startswith("torch") == is_tensor(image))
    for level in (255, 0):
        for dtype in case.dtypes:
            blank = case.store(blank_image(level, 16, 16), dtype, layout)
            kind_is_kept(case, blank)
            result_is_in_range(case, blank)
            if case.blank == "kept":
                case.same(case.transform(blank), blank, f"an image of level {level}")


def nan_is_refused(case: Case, image: Any) -> None:
    """One NaN in a float image raises ValueError, instead of spreading or becoming a color."""
    values = as_numpy(image).copy()
    if values.dtype.kind != "f":
        return
    values.flat[values.size // 2] = np.nan
    try:
        case.transform(_like(values, image))
    except ValueError:
        return
    raise AssertionError("an image with a NaN was transformed")


LAWS: dict[str, Callable[[Case, Any], None]] = {
    law.__name__: law
    for law in (
        input_is_never_written,
        kind_is_kept,
        result_is_in_range,
        is_deterministic,
        memory_does_not_matter,
        batch_equals_loop,
        can_be_pickled,
        threads_may_share,
        tile_equals_whole,
        blank_images_are_no_error,
        nan_is_refused,
    )
}
"""Every law by its name: functions of a case and an image that raise AssertionError."""


def check_law(name: str, case: Case) -> None:
    """Try one law on images that hypothesis chooses, the same ones at every call; the smallest exception is reported.

    Raises
    ------
    AssertionError
        It does not hold.
    ParameterError
        An unknown name.
    """
    if name not in LAWS:
        raise ParameterError(f"there is no law {name!r}; the laws are {', '.join(LAWS)}")

    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]

    @settings(max_examples=case.examples, deadline=None, database=None, derandomize=True, suppress_health_check=quiet)
    @given(case.stored())
    def holds(image: Any) -> None:
        LAWS[name](case, image)

    holds()


def check_transform(transform: Transform, *, laws: Sequence[str] = tuple(LAWS), **options: Any) -> None:
    """Hold a transform to the laws.

    Parameters
    ----------
    transform : callable
        Function of an image.
    laws : sequence of str, optional
        Names in LAWS; leave out those that it is not meant to keep, "is_deterministic" for a random one.
    **options
        What it takes and promises, see :class:`Case`; by default numpy uint8 ``(H, W, 3)``.

    Raises
    ------
    AssertionError
        A law does not hold; the message says which, and hypothesis shows the smallest image it found.
    ParameterError
        An unknown law, dtype or layout.
    """
    case = Case(transform, **options)
    for name in laws:
        try:
            check_law(name, case)
        except AssertionError as error:
            raise AssertionError(f"{name}: {error}") from error


class TransformLaws:
    """The same as one pytest test for each law: derive a class ``Test...`` that says what its ``case`` is.

    >>> class TestMyTransform(TransformLaws):  # doctest: +SKIP
    ...     case = Case(MyTransform(), dtypes=("uint8", "float32"))

    ``without`` names laws that are left out.
    """

    case: ClassVar[Case]
    without: ClassVar[Sequence[str]] = ()

    def _check(self, name: str) -> None:
        if name not in self.without:
            check_law(name, replace(self.case))


def _test(name: str) -> Callable[[TransformLaws], None]:
    def test(self: TransformLaws) -> None:
        self._check(name)

    test.__name__, test.__doc__ = f"test_{name}", LAWS[name].__doc__
    return test


for _name in LAWS:
    setattr(TransformLaws, f"test_{_name}", _test(_name))


def _like(array: np.ndarray, image: Any) -> Any:
    """The array as a tensor if ``image`` is one."""
    if not is_tensor(image):
        return array
    return wrap(array if array.flags.writeable else array.copy(), "torch")


def _rows_axis(case: Case, image: Any) -> int:
    first = is_tensor(image) or any(layout in ("CHW", "NCHW") for layout in case.layouts)
    return int(image.ndim - (2 if first else 3))
