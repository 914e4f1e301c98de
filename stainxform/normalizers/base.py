"""The one interface of every normalizer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import Field, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np

from stainxform._native.native import scratch
from stainxform._version import __version__
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError
from stainxform.image.blank import OnBlank, check_on_blank, each_unless_blank
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, ValueRange, check_image
from stainxform.image.tissue import MIN_TISSUE, is_blank, tissue_fraction
from stainxform.image.tissue_color import TissueColor
from stainxform.io.modelfile import ModelState, read_model, write_model
from stainxform.io.settings import Settings as BaseSettings
from stainxform.io.settings import init_fields, make_plain, plain
from stainxform.io.sources import histograms_of
from stainxform.maps import ColorMap, ImageMap
from stainxform.maps.base import checked_map
from stainxform.maps.combine import blend

if TYPE_CHECKING:
    from stainxform.normalizers.calibration import Calibration

__all__ = ["CenterInfo", "Normalizer", "PointwiseNormalizer", "Summary", "array_of", "fitted"]


class Summary(Protocol):
    """What a calibration keeps of tiles."""

    @classmethod
    def merge(cls, parts: Iterable[Any]) -> Any:
        """That of all tiles together."""
        ...

    def arrays(self) -> dict[str, np.ndarray]:
        """Its numbers, for a model file; ``from_arrays`` is the way back."""
        ...


_OF_A_BAD_FILE = (
    LookupError, TypeError, ValueError, AttributeError, ArithmeticError, RuntimeError, MemoryError, AssertionError,
)  # fmt: skip
"""What numbers and settings that no fit gave may end in."""


@dataclass(frozen=True)
class CenterInfo:
    """What a model file says about the center it was fitted on: never file names, never pixels."""

    name: str = ""
    tiles: int = 0
    license: str = ""
    library_version: str = __version__
    tissue: TissueColor | None = None
    """Color of its tissue, 20 numbers; None in models fitted before 0.2, or not by ``fit_center``."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Normalizer(ABC):
    """A fitted center: makes images of other centers look like it. Immutable, picklable, thread safe.

    Attributes
    ----------
    info : CenterInfo
        CenterInfo of the fit.
    min_tissue : float
        Fraction of tissue below which a tile counts as blank.
    """

    info: CenterInfo = CenterInfo()
    min_tissue: float = MIN_TISSUE

    method: ClassVar[str]
    """Name under which the method is registered."""

    calibrated_by_alignment: ClassVar[bool] = False
    """Whether a calibration moves another center's tissue to our center's before a network sees it."""

    keeps_blank: ClassVar[bool] = True
    """Whether an image with too little tissue comes back unchanged, unless a call asks for something else."""

    Settings: ClassVar[type[BaseSettings]] = BaseSettings
    """The settings of :meth:`fit`: a dataclass that checks itself."""

    def __post_init__(self) -> None:
        make_plain(self)

    # ---- what a method defines ---------------------------------------------------------------------------------------

    @classmethod
    @abstractmethod
    def fit_tiles(cls, images: Any, settings: Any) -> Self:
        """Fit on tiles.

        Parameters
        ----------
        images : str, Path, array_like, Dataset or iterable of these
            Whatever :meth:`fit` takes. ``stainxform.io.sources`` goes through it as images (``iterate``), uint8 tiles
            (``as_tiles``) or counted colors (``histograms_of``).
        settings : object
            An instance of :attr:`Settings`, checked.

        Raises
        ------
        NotEnoughTissueError
            There is too little to fit on.
        """

    @abstractmethod
    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ImageMap:
        """The map that one image needs.

        Parameters
        ----------
        image : ndarray or Tensor
            One image, checked: it holds enough tissue.
        spec : ImageSpec
            How its values are stored.
        histogram : ColorHistogram
            Its counted colors.

        Raises
        ------
        NotEnoughTissueError
            It cannot be estimated.
        """

    def arrays(self) -> dict[str, np.ndarray]:
        """The fitted numbers, for the model file: by default the fields that are arrays."""
        values = ((name, getattr(self, name)) for name in _own_fields(type(self)))
        return {name: value for name, value in values if isinstance(value, np.ndarray)}

    def parameters(self) -> dict[str, Any]:
        """The JSON-able settings, for the model file: by default the fields that are no arrays."""
        values = ((name, getattr(self, name)) for name in _own_fields(type(self)))
        return {name: value for name, value in values if not isinstance(value, np.ndarray)}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """Rebuild from what :meth:`arrays` and :meth:`parameters` gave.

        By default the fields made by :func:`fitted` must have their shape. Raises KeyError, TypeError or ValueError for
        anything else; it comes from a file.
        """
        values: dict[str, Any] = {name: array_of(arrays, name, shape) for name, shape in _shapes(cls).items()}
        return cls(**values, **parameters)

    @property
    def model_method(self) -> str:
        """The method that a host's transform asks for: of a calibration, that of its target."""
        return self.method

    @property
    def fixed_map(self) -> ColorMap | None:
        """The one color map that every image gets; None where it depends on the image."""
        return None

    def torch_module(self) -> Any:
        """A ``torch.nn.Module`` of torch operations alone that does the same to unit images, float32 ``(N, 3, H, W)``.

        None, the default: inside a model, the whole method becomes one opaque operator.
        """
        return None

    def summary(self, tile: np.ndarray, histogram: ColorHistogram) -> Summary:
        """What a calibration keeps of one tile of another center.

        Parameters
        ----------
        tile : ndarray
            uint8 ``(H, W, 3)``.
        histogram : ColorHistogram
            Its counted colors.

        Returns
        -------
        Summary
            Numbers that merge exactly, and from which :meth:`map_from` makes the map of all tiles together.

        Raises
        ------
        ParameterError
            The method's maps look at more than a pixel's own color.
        """
        raise ParameterError(f"{self.method} has no statistics that tiles could be summed up in")

    def map_from(self, summary: Any) -> ColorMap:
        """The map for all tiles that a merged :meth:`summary` is of; NotEnoughTissueError if it cannot be estimated."""
        raise ParameterError(f"{self.method} has no statistics that tiles could be summed up in")

    def map_between(self, center: Any, group: Any, weight: float, center_map: ColorMap) -> ColorMap:
        """The map for a group of tiles that is believed in part.

        Parameters
        ----------
        center, group : Summary
            Of all tiles of the center, and of those of the group.
        weight : float
            0: the group's own map, 1: the center's; in between their mean in optical density, unless a method knows
            better.
        center_map : ColorMap
            The map of the center, which is known already.

        Raises
        ------
        NotEnoughTissueError
            The group's map cannot be estimated.
        """
        return center_map if weight == 1 else blend(self.map_from(group), center_map, weight)

    # ---- what users call ---------------------------------------------------------------------------------------------

    @classmethod
    def make_settings(cls, **settings: Any) -> Any:
        """Checked settings of a fit; ParameterError for an unknown name or a value that makes no sense."""
        return cls.Settings.of(cls.method, plain(settings))

    @classmethod
    def fit(cls, images: Any, settings: BaseSettings | None = None, **changes: Any) -> Self:
        """Fit on the images of one center.

        Parameters
        ----------
        images : str, Path, array_like, Dataset or iterable of these
            One image or a batch, a folder, a glob pattern, files, a Dataset, or an iterable of these.
        settings : BaseSettings, optional
            An instance of :attr:`Settings`; None: the defaults.
        **changes
            Settings by name, see :attr:`Settings`.

        Raises
        ------
        ParameterError
            An unknown setting, or a value that makes no sense; checked before an image is read.
        InvalidImageError
            An image cannot be read, or is no RGB image.
        NotEnoughTissueError
            Too little to fit on.
        """
        if settings is None:
            return cls.fit_tiles(images, cls.make_settings(**changes))
        if not isinstance(settings, cls.Settings):
            raise ParameterError(f"settings must be {cls.Settings.__name__}, got {type(settings).__name__}")
        return cls.fit_tiles(images, cls.make_settings(**settings.values() | changes))

    def map_for(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> ImageMap:
        """The map that one image needs, to be applied to it or to every tile of the slide that it stands for.

        Raises
        ------
        InvalidImageError
            No RGB image.
        NotEnoughTissueError
            Too little tissue to estimate from.
        """
        spec = check_image(image, value_range, channel_axis)
        return self._checked_map(image, spec)[0]  # the histogram ends with the scratch memory it was counted in

    def map_for_tiles(self, tiles: Any) -> ImageMap:
        """The one map for a slide or a center, estimated from its tiles or a sample of them.

        Parameters
        ----------
        tiles : str, Path, array_like, Dataset or iterable of these
            An array, a batch, a folder, a glob pattern, files, or an iterable of these.

        Raises
        ------
        ParameterError
            The method has no map for several tiles, because its maps are those of one image.
        NotEnoughTissueError
            Too little tissue to estimate from.
        """
        raise ParameterError(f"{self.method} has no one map for several tiles; use map_for on one image")

    def calibrate(
        self,
        images: Any = None,
        *,
        slides: Any = None,
        sampling: Mapping[str, Any] | None = None,
        groups: Any = None,
        center_weight: str | float = "auto",
        strength: float = 1.0,
        keep_groups: bool = False,
        keep_colors: bool = False,
        center: str = "",
        license: str = "",
        min_tissue: float | None = None,
        image_key: str = "image",
        value_range: ValueRange | None = None,
        qc: str = "warn",
    ) -> Calibration:
        """Get to know another center once: a normalizer with a fixed map for its images.

        Parameters
        ----------
        images : str, Path, array_like, Dataset or iterable of these, optional
            Tiles of the other center, without labels, as :func:`stainxform.fit_center` takes them.
        slides : str, Path, Slide or iterable of these, optional
            Its whole slides, instead of tiles; each slide is a group, named after its file, unless ``groups`` says
            otherwise.
        sampling : mapping, optional
            How tiles are drawn from slides, see :func:`stainxform.fit_center`.
        groups : str, mapping, callable or sequence, optional
            Which slide, patient or block each tile is from: "folder", "file", a pattern such as "{group}_*.png", a
            mapping from path, file name or stem to a name, a function of the path, or a list with one name a tile.
        center_weight : str or float, optional
            How much of the whole center, and how much of its own group, an image's map is made for: 0 the group's own
            map, 1 the center's, "auto" what the data say.
        strength : float, optional
            Part of the way from an image to its normalized form, 0 to 1.
        keep_groups : bool, optional
            Whether a file holds names and maps of the groups; without them it holds the center's map alone.
        keep_colors : bool, optional
            Whether the file of a method that counts colors holds them, so that the calibration can grow after loading.
        center : str, optional
            A name for the other center, stored in the file.
        license : str, optional
            The license of the calibration, stored in the file.
        min_tissue : float, optional
            Tiles with a smaller fraction of tissue are skipped; default: as in the fit.
        image_key : str, optional
            Where the image is in dictionary items of a Dataset.
        value_range : (float, float), optional
            Range of float tiles, default (0, 1).
        qc : str, optional
            Quality control of the tiles: "warn", "drop" or "off", see :func:`stainxform.fit_center`.

        Returns
        -------
        Calibration
            A normalizer like any other, for images of the other center; call it with ``group=`` for those of a group.

        Raises
        ------
        ParameterError
            An option that makes no sense, or groups that cannot be told; checked before a tile is read.
        InvalidImageError
            Nothing found, or a tile cannot be read.
        NotEnoughTissueError
            Every tile is blank, or too little tissue to estimate from.
        """
        from stainxform.normalizers.calibration import calibrate

        return calibrate(
            self, images, slides=slides, sampling=sampling, groups=groups, center_weight=center_weight, strength=strength,
            keep_groups=keep_groups, keep_colors=keep_colors, center=center, license=license, min_tissue=min_tissue,
            image_key=image_key, value_range=value_range, qc=qc,
        )  # fmt: skip

    def __call__(
        self,
        image: Image,
        *,
        value_range: ValueRange | None = None,
        channel_axis: int | None = None,
        on_blank: OnBlank = "keep",
        group: Hashable | None = None,
    ) -> Image:
        """Normalize an image, or each image of a batch by itself.

        Parameters
        ----------
        image : ndarray or Tensor
            numpy ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch ``(..., 3, H, W)``; uint8 in 0..255 or float.
        value_range : (float, float), optional
            (low, high) of float images, default (0, 1).
        channel_axis : int, optional
            -1 or -3, default -1 for numpy and -3 for torch.
        on_blank : {"keep", "warn", "raise"}, optional
            A tile with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or raises
            NotEnoughTissueError ("raise").
        group : hashable, optional
            Of a calibration alone: the slide, patient or other group that the image is from.

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
            An option that makes no sense, or a group, and this is no calibration.
        """
        check_on_blank(on_blank)
        if group is not None:
            raise ParameterError(
                f"group={group!r} needs a calibration, and this is a {self.method!r} model; make one with its calibrate(...)"
            )
        spec = check_image(image, value_range, channel_axis)

        def normalize(one: Image) -> Image:
            with scratch():
                color_map, histogram = self._checked_map(one, spec)
                return color_map.apply(one, spec, histogram.levels)

        return each_unless_blank(image, on_blank, normalize)

    def _checked_map(self, image: Image, spec: ImageSpec) -> tuple[ImageMap, ColorHistogram]:
        with scratch():
            histogram = ColorHistogram.of(image, spec)
            self._check_tissue(histogram)
            return checked_map(self.image_map(image, spec, histogram), self), histogram

    def _check_tissue(self, histogram: ColorHistogram) -> None:
        if is_blank(histogram, self.min_tissue):
            raise NotEnoughTissueError(
                f"{tissue_fraction(histogram):.2%} of {histogram.total} pixels are tissue, "
                f"less than min_tissue={self.min_tissue:.2%} or too few to estimate colors from"
            )

    def _set(self, **values: Any) -> None:
        """Set fields while being made: frozen dataclasses have no other way."""
        for name, value in values.items():
            object.__setattr__(self, name, value)

    def to(self, device: Any) -> Self:
        """Move the networks to ``device``; a method without networks returns itself."""
        return self

    def with_info(self, info: CenterInfo, min_tissue: float) -> Self:
        """A copy that carries ``info`` and its own threshold for blank tiles."""
        return replace(self, info=info, min_tissue=min_tissue)

    def state(self) -> ModelState:
        """What a model file holds; :meth:`from_state` is the way back."""
        info, arrays = self.info, self.arrays()
        self._check_fitted(arrays)
        parameters = self.parameters() | {"min_tissue": self.min_tissue}
        if info.tissue is not None:
            parameters["tissue"] = info.tissue.numbers()
        return ModelState(self.method, arrays, parameters, info.name, info.tiles, info.license, info.library_version)

    def _check_fitted(self, arrays: dict[str, np.ndarray]) -> None:
        """ParameterError for a field made by :func:`fitted` that could not be read back."""
        if type(self).from_arrays.__func__ is not Normalizer.from_arrays.__func__:  # type: ignore[attr-defined]
            return
        shapes = _shapes(type(self))
        for name in arrays.keys() - shapes.keys():
            raise ParameterError(
                f"{name} of {type(self).__name__} is an array that could not be read back: declare it by fitted(shape)"
            )
        for name, shape in shapes.items():
            try:
                finite = bool(np.isfinite(array_of(arrays, name, shape)).all())
            except (KeyError, ValueError) as error:
                raise ParameterError(f"{name} must be an array of floats of shape {shape} ({error})") from error
            if not finite:
                raise ParameterError(f"{name} holds NaN or infinite values")

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` model file: statistics and weights, never pixels or names of files.

        Raises
        ------
        ParameterError
            What was fitted cannot be stored: an array of another shape than :func:`fitted` says, or of other values.
        """
        write_model(path, self.state())

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a model file. ``Normalizer.load`` and ``stainxform.load`` take any method's file.

        Raises
        ------
        ParameterError
            No path.
        ModelFileError
            A file that is no complete, unaltered model of this method.
        """
        return cls.from_state(read_model(path), str(path))

    @classmethod
    def from_state(cls, state: ModelState, origin: str = "the model") -> Self:
        """Rebuild a normalizer from a :class:`~stainxform.modelfile.ModelState`."""
        from stainxform.normalizers.registry import normalizer_class, registered

        if state.method == "calibration":
            from stainxform.normalizers.calibration import Calibration

            kind: Any = Calibration
        elif state.method in registered():
            kind = normalizer_class(state.method)
        else:
            raise ModelFileError(
                f"{origin} uses the method {state.method!r}, which this stainxform does not know; "
                "install, or import, the package that brings it"
            )
        if not issubclass(kind, cls):
            raise ModelFileError(
                f"{origin} holds a {state.method!r} model, expected {cls.method!r}; use stainxform.load"
            )
        parameters = dict(state.parameters)
        try:
            min_tissue = parameters.pop("min_tissue")
            if not 0 <= min_tissue <= 1:
                raise ValueError(f"min_tissue is {min_tissue}, not a fraction from 0 to 1")
            tissue = TissueColor.from_numbers(parameters.pop("tissue")) if "tissue" in parameters else None
            normalizer = kind.from_arrays(state.arrays, parameters)
        except _OF_A_BAD_FILE as error:
            raise ModelFileError(f"{origin} is no valid {state.method!r} model ({error}); fit it again") from error
        info = CenterInfo(state.center, state.tiles, state.license, state.library_version, tissue)
        return normalizer.with_info(info, min_tissue)


@dataclass(frozen=True, eq=False, kw_only=True)
class PointwiseNormalizer(Normalizer):
    """A normalizer whose map is a function of color alone, estimated from the color histogram of an image."""

    @classmethod
    def fit_tiles(cls, images: Any, settings: Any) -> Self:
        """Fit on the counted colors of all images."""
        return cls.fit_histograms(histograms_of(images), settings)

    @classmethod
    def fit_histograms(cls, histograms: Iterable[ColorHistogram], settings: Any) -> Self:
        """Fit on the colors of each image: by default on those of all, pooled in bounded memory."""
        return cls.fit_histogram(ColorHistogram.pool(histograms), settings)

    @classmethod
    def fit_histogram(cls, histogram: ColorHistogram, settings: Any) -> Self:
        """Fit on pooled colors: what a method defines, or one of the two methods above."""
        raise NotImplementedError(f"{cls.__name__} defines none of fit_histogram, fit_histograms and fit_tiles")

    @abstractmethod
    def color_map(self, histogram: ColorHistogram) -> ColorMap:
        """The map for an image, or a whole slide, with this histogram; raises NotEnoughTissueError."""

    def map_for_tiles(self, tiles: Any) -> ColorMap:
        """The map for the pooled colors of all tiles, see :meth:`Normalizer.map_for_tiles`."""
        return self.map_from(ColorHistogram.pool(histograms_of(tiles)))

    def summary(self, tile: np.ndarray, histogram: ColorHistogram) -> Summary:
        """All colors of the tile, counted, unless a method can do with less."""
        return histogram

    def map_from(self, summary: Any) -> ColorMap:
        """The map for the colors of all tiles."""
        self._check_tissue(summary)
        return checked_map(self.color_map(summary), self)

    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ColorMap:
        """The map for the colors of the image."""
        return self.color_map(histogram)


def fitted(*shape: int, default: np.ndarray | None = None) -> Any:
    """A dataclass field that holds fitted numbers, float64 of this shape; the model file stores and checks them."""
    metadata = {"shape": shape}
    return field(metadata=metadata) if default is None else field(metadata=metadata, default_factory=default.copy)


def _own_fields(kind: type[Normalizer]) -> dict[str, Field[Any]]:
    """Fields of a method that its model file stores, by name: those of every normalizer are stored elsewhere."""
    return {f.name: f for f in init_fields(kind) if f.name not in ("info", "min_tissue")}


def _shapes(kind: type[Normalizer]) -> dict[str, tuple[int, ...]]:
    """Shapes of the fields made by :func:`fitted`, by name."""
    return {name: field.metadata["shape"] for name, field in _own_fields(kind).items() if "shape" in field.metadata}


def array_of(arrays: dict[str, np.ndarray], name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Take one float array from a model file, with the shape it must have; KeyError or ValueError otherwise."""
    if arrays[name].shape != shape:
        raise ValueError(f"{name} has shape {arrays[name].shape}, expected {shape}")
    if arrays[name].dtype.kind != "f":
        raise ValueError(f"{name} holds {arrays[name].dtype} values, expected floats")
    return arrays[name].astype(np.float64)
