"""The one interface of every augmentation: a distribution, a draw from it as plain numbers, and the map of a draw."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any, ClassVar, Protocol, Self, TypeVar, cast

from stainxform.augment.presets import Preset
from stainxform.errors import ParameterError
from stainxform.image.blank import OnBlank, check_on_blank, each_unless_blank
from stainxform.image.histogram import ColorHistogram, PixelHistogram
from stainxform.image.layout import Image, ValueRange, check_image
from stainxform.maps import ColorMap
from stainxform.maps.base import checked_map

__all__ = ["Augmentation", "Draw", "Interval", "Rng", "T", "draw_each", "interval", "per_stain"]

T = TypeVar("T")

Interval = tuple[float, float]
"""(low, high), both included."""

Draw = Mapping[str, float]
"""What :meth:`Augmentation.sample` returns: JSON-able, and all that it takes to repeat an augmentation."""


class Rng(Protocol):
    """What a draw is made with. numpy's Generator, RandomState (MONAI) and Python's ``random.Random`` are all this."""

    def uniform(self, low: float, high: float, /) -> float:
        """A number between ``low`` and ``high``."""
        ...


@dataclass(frozen=True, kw_only=True)
class Augmentation(ABC):
    """A distribution of color changes. Immutable, picklable, thread safe: the random state stays with the caller.

    >>> import numpy as np
    >>> from stainxform.augment import HSV
    >>> hsv = HSV.preset("light")
    >>> draw = hsv.sample(np.random.default_rng(0))
    >>> sorted(draw)
    ['hue', 'saturation']
    >>> hsv(np.full((2, 2, 3), 128, np.uint8), draw).shape
    (2, 2, 3)
    """

    name: ClassVar[str]
    """Name in :data:`stainxform.augment.AUGMENTATIONS`."""

    title: ClassVar[str]
    """What it does, in a few words."""

    source: ClassVar[str]
    """The publication that defines it."""

    presets: ClassVar[Mapping[str, Preset]] = {}
    """Its strengths by name; "light" is its default."""

    @property
    def uses_image(self) -> bool:
        """Whether the map of a draw depends on the colors of the image, too."""
        return False

    @property
    def neutral(self) -> Draw | None:
        """The draw that changes nothing (but the last bits of floats); None if there is none."""
        return None

    @abstractmethod
    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw from the distribution. Every draw takes the same number of random numbers."""

    @abstractmethod
    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw: a pure function of the draw and, where ``uses_image``, the colors of the image.

        Raises
        ------
        NotEnoughTissueError
            The image has too little tissue to estimate from.
        ParameterError
            The image's colors are needed, and not given.
        """

    def __call__(
        self,
        image: Image,
        draw: Draw,
        *,
        value_range: ValueRange | None = None,
        channel_axis: int | None = None,
        on_blank: OnBlank = "keep",
    ) -> Image:
        """Apply a draw to an image, or to each image of a batch by itself.

        Parameters
        ----------
        image : ndarray or Tensor
            numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``; uint8 in 0..255 or float.
        draw : Draw
            What :meth:`sample` returned. The same draw gives bit-equal pixels in every host.
        value_range : (float, float), optional
            (low, high) of float images, default (0, 1).
        channel_axis : int, optional
            -1 or -3, default -1 for numpy and -3 for torch.
        on_blank : {"keep", "warn", "raise"}, optional
            Where the map is estimated from the image, one with too little tissue is returned unchanged ("keep"), with a
            StainXformWarning ("warn"), or raises NotEnoughTissueError ("raise").

        Returns
        -------
        ndarray or Tensor
            Image of the same type, shape, dtype and device; uint8 is rounded, floats are clipped to the range.

        Raises
        ------
        InvalidImageError
            No RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank tile, with ``on_blank="raise"``.
        ParameterError
            ``draw`` is not what :meth:`sample` returns.
        """
        check_on_blank(on_blank)
        spec = check_image(image, value_range, channel_axis)
        if not self.uses_image:
            return self._map(draw).apply(image, spec)

        def augment(one: Image) -> Image:
            return self._map(draw, PixelHistogram(one, spec)).apply(one, spec)

        return each_unless_blank(image, on_blank, augment)

    def _map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw that may come from a log."""
        if not (isinstance(draw, Mapping) and all(isinstance(value, Real) for value in draw.values())):
            raise ParameterError(f"a draw holds numbers by name, as {type(self).__name__}.sample gives, got {draw!r}")
        try:
            found = self.color_map(draw, histogram)
        except KeyError as error:
            raise ParameterError(
                f"a draw of {type(self).__name__} needs {error}, as sample gives; this one has: {', '.join(draw) or 'none'}"
            ) from error
        return cast("ColorMap", checked_map(found, self))

    @classmethod
    def preset(cls, name: str, **others: Any) -> Self:
        """One of the published strengths, by name, see :attr:`presets`.

        Parameters
        ----------
        name : str
            "light", "strong", ...
        **others
            Parameters that the preset does not set.

        Raises
        ------
        ParameterError
            An unknown preset, or a parameter that the preset sets.
        """
        if not isinstance(name, str) or name not in cls.presets:
            raise ParameterError(f"{cls.__name__} has no preset {name!r}; it has: {', '.join(cls.presets) or 'none'}")
        parameters = cls.presets[name].parameters
        twice = sorted(parameters.keys() & others.keys())
        if twice:
            raise ParameterError(
                f"the preset {name!r} sets {', '.join(twice)}; leave it out, or give all ranges instead"
            )
        return cls(**parameters, **others)

    def set_fields(self, **values: Any) -> None:
        """Set fields in ``__post_init__``, and nowhere else: a frozen dataclass has no other way."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def check_intervals(self, lowest: float, highest: float, *names: str) -> None:
        """Make (low, high) pairs of floats of the fields ``names``: JSON brings lists.

        Raises
        ------
        ParameterError
            A field that is no such pair within ``lowest`` to ``highest``.
        """
        self.set_fields(**{name: interval(name, getattr(self, name), lowest, highest) for name in names})

    def check_choice(self, name: str, choices: Sequence[str]) -> None:
        """Raise ParameterError if the field ``name`` is none of ``choices``."""
        if getattr(self, name) not in choices:
            raise ParameterError(f"{name} must be one of {', '.join(choices)}, got {getattr(self, name)!r}")

    def require_histogram(self, histogram: ColorHistogram | None) -> ColorHistogram:
        """The image's colors, which :meth:`color_map` was given; ParameterError if it was not."""
        if histogram is None:
            raise ParameterError(f"{type(self).__name__} needs the colors of the image: pass ColorHistogram.of(image)")
        return histogram


def interval(name: str, value: Any, lowest: float, highest: float) -> Interval:
    """``value`` as (low, high) within ``lowest`` to ``highest``; ParameterError if it is not that."""
    try:
        low, high = (float(bound) for bound in value)
    except (TypeError, ValueError):
        raise ParameterError(f"{name} must be two numbers (low, high), got {value!r}") from None
    if not lowest <= low <= high <= highest:
        raise ParameterError(f"{name} must be (low, high) with {lowest:g} <= low <= high <= {highest:g}, got {value!r}")
    return low, high


def draw_each(rng: Rng, intervals: Mapping[str, Interval]) -> dict[str, float]:
    """One uniform number from each interval, in order."""
    return {name: float(rng.uniform(low, high)) for name, (low, high) in intervals.items()}


def per_stain(stains: str, **values: T) -> dict[str, T]:
    """The same value for every stain: "he" and sigma=v make ``{"sigma_h": v, "sigma_e": v}``."""
    return {f"{kind}_{stain}": value for kind, value in values.items() for stain in stains}
