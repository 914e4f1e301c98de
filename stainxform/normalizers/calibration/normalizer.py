"""A calibration: what is known of another center, and the fixed maps that follow from it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar, NoReturn, Self
from weakref import WeakKeyDictionary

import numpy as np

from stainxform.errors import NotEnoughTissueError, ParameterError, StainXformError
from stainxform.image.blank import OnBlank, check_on_blank, each_unless_blank
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, ValueRange, check_image
from stainxform.image.tissue_color import TissueColor
from stainxform.io.modelfile import ModelState
from stainxform.maps import ChainMap, ColorMap, IdentityMap, bake, blend
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.calibration.certainty import uncertainty
from stainxform.normalizers.calibration.groups import group_name
from stainxform.normalizers.calibration.parts import Part
from stainxform.normalizers.calibration.settings import CalibrationSettings
from stainxform.normalizers.calibration.stored import is_storable, pack_map, unpack_map
from stainxform.normalizers.calibration.weight import center_weight
from stainxform.normalizers.transport import Transport

__all__ = ["CENTER", "NODES", "Calibration"]

CENTER = ""
"""Stands for the whole center where maps and parts are named after groups; tiles of no group are a part of this name."""

NODES = 65
"""Of each axis of the 3D table that a map is applied by if it is not compiled in closed form."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class Calibration(Normalizer):
    """A fixed map that makes images of another center look like the target; :meth:`Normalizer.calibrate` makes one.

    Nothing is estimated when it is applied, so every image gets the same map (or that of its group), there are no seams,
    no image is too small, and a blank one is mapped like any other.

    Parameters
    ----------
    target_state : ModelState
        The normalizer of our center, as its model file holds it.
    settings : CalibrationSettings
        How it was made.
    parts : mapping of str to Part
        Statistics of each group; those of tiles in no group under "".
    maps : mapping of str to ColorMap, optional
        Maps that are known already, by group; the center's under "".
    colorizer : ColorMap, optional
        What a method that looks at more than a pixel's own color came down to, see :mod:`.distill`.
    aligned : bool, optional
        Whether tissue is moved to the target's by optimal transport before the colorizer.
    folds : tuple of Part, optional
        Tiles of no group, dealt to parts: what a bootstrap draws from where there are no groups.
    """

    target_state: ModelState
    settings: CalibrationSettings
    parts: Mapping[str, Part]
    maps: Mapping[str, ColorMap] = field(default_factory=dict)
    colorizer: ColorMap | None = None
    aligned: bool = False
    folds: tuple[Part, ...] = ()

    method: ClassVar[str] = "calibration"
    keeps_blank: ClassVar[bool] = False
    Settings = CalibrationSettings

    @classmethod
    def fit_tiles(cls, images: Any, settings: Any) -> NoReturn:
        """Refused: a calibration is made from a normalizer, by ParameterError."""
        raise ParameterError("a calibration is made by normalizer.calibrate(images)")

    # ---- what it is of -----------------------------------------------------------------------------------------------

    @property
    def model_method(self) -> str:
        """The method of the target: a transform for that method takes the calibration, too."""
        return self.target_state.method

    @cached_property
    def target(self) -> Normalizer:
        """The normalizer of our center that was calibrated."""
        return Normalizer.from_state(self.target_state)

    @property
    def groups(self) -> tuple[str, ...]:
        """Names of the groups that have maps of their own, sorted."""
        return tuple(sorted({*self.parts, *self.maps} - {CENTER}))

    @cached_property
    def center(self) -> Part:
        """Statistics of all tiles together."""
        return Part.merge(self.parts[name] for name in sorted(self.parts))

    @cached_property
    def center_weight(self) -> float:
        """The part of the center in the map of a group, 0 to 1: as it was set, or what the data say."""
        if self.settings.center_weight == "auto":
            return center_weight(part.tissue for name, part in sorted(self.parts.items()) if name != CENTER)
        return float(self.settings.center_weight)

    @cached_property
    def target_tissue(self) -> TissueColor | None:
        """Color of the target's tissue; None if its model file does not say."""
        numbers = self.target_state.parameters.get("tissue")
        return None if numbers is None else TissueColor.from_numbers(numbers)

    @property
    def colors(self) -> int:
        """How many distinct colors of the other center a file of it would hold: 0 unless ``keep_colors``."""
        if not self.settings.keep_colors:
            return 0
        kept = [part.summary for part in self._kept_parts().values()]
        return sum(len(summary.counts) for summary in kept if isinstance(summary, ColorHistogram))

    def is_of(self, target: Normalizer) -> bool:
        """Whether it takes images to this target: to the same numbers, wherever they come from."""
        return _same(self.target_state, target.state())

    # ---- the maps ----------------------------------------------------------------------------------------------------

    @property
    def fixed_map(self) -> ColorMap:
        """The map of the whole center, as it is applied."""
        return self.map_of(None)

    def map_of(self, group: Hashable | None) -> ColorMap:
        """The map of a group, as it is applied.

        Parameters
        ----------
        group : hashable or None
            Its name; numbers stand for their text. None, and a group that is not known or has too little tissue: the
            center's.

        Raises
        ------
        ParameterError
            Several names, or something that is no name.
        """
        return _applied(self.closed_map_of(group))

    def closed_map_of(self, group: Hashable | None) -> ColorMap:
        """The map of a group in closed form, of which :meth:`map_of` may be a 3D table."""
        name = group_name(group) or CENTER
        if name not in self.maps and name not in self.parts:
            name = CENTER
        if name in self.maps:
            return self.maps[name]
        if name not in self._made:
            self._made[name] = blend(IdentityMap(), self._make(name), self.settings.strength)
        return self._made[name]

    @cached_property
    def _made(self) -> dict[str, ColorMap]:
        """Maps of groups that were asked for."""
        return {}

    def _make(self, name: str) -> ColorMap:
        if name == CENTER or self.center_weight == 1:
            return self._center_map
        part = self.parts[name]
        try:
            if self.colorizer is None:
                return self.target.map_between(self.center.summary, part.summary, self.center_weight, self._center_map)
            return self._colorized(part)
        except NotEnoughTissueError:
            return self._center_map

    @cached_property
    def _center_map(self) -> ColorMap:
        if self.colorizer is not None:
            return self._colorized(self.center)
        if self.center.summary is None:
            self._cannot_be_made_again()
        return self.target.map_from(self.center.summary)

    def _colorized(self, part: Part) -> ColorMap:
        assert self.colorizer is not None
        if not self.aligned or self.target_tissue is None:
            return self.colorizer
        transport, weight = alignment(self.target_tissue), 1 if part is self.center else self.center_weight
        center = self.center.tissue.pixels
        align = transport.map_between(center, part.tissue.pixels, weight, transport.map_from(center))
        return ChainMap(align, self.colorizer)

    def for_group(self, group: Hashable | None) -> Self:
        """A calibration whose one map is that of a group: for hosts, slides and exports that know no groups."""
        chosen: Self = replace(
            self, parts={CENTER: Part(self.center.tissue)}, maps={CENTER: self.closed_map_of(group)}, folds=()
        )
        return chosen

    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ColorMap:
        """The map of the center, whatever the image."""
        return self.fixed_map

    def map_for(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> ColorMap:
        """The map of the center, whatever the image."""
        check_image(image, value_range, channel_axis)
        return self.fixed_map

    def map_for_tiles(self, tiles: Any) -> ColorMap:
        """The map of the center; the tiles are not read."""
        return self.fixed_map

    def __call__(
        self,
        image: Image,
        *,
        value_range: ValueRange | None = None,
        channel_axis: int | None = None,
        on_blank: OnBlank = "keep",
        group: Hashable | None = None,
    ) -> Image:
        """Normalize an image, or a batch.

        Parameters
        ----------
        image : ndarray or Tensor
            See :meth:`Normalizer.__call__`.
        value_range : (float, float), optional
            See :meth:`Normalizer.__call__`.
        channel_axis : int, optional
            See :meth:`Normalizer.__call__`.
        on_blank : {"keep", "warn", "raise"}, optional
            The map of a calibration is fixed: a blank tile is mapped like any other ("keep"), or looked for, and
            returned unchanged with a StainXformWarning ("warn"), or refused by NotEnoughTissueError ("raise").
        group : hashable, optional
            The group that the image, or the whole batch, is from; one that is not known gets the center's map.

        Returns
        -------
        ndarray or Tensor
            Image of the same type, shape, dtype and device.

        Raises
        ------
        InvalidImageError
            No RGB image, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank tile, with ``on_blank="raise"``.
        """
        check_on_blank(on_blank)
        spec, color_map = check_image(image, value_range, channel_axis), self.map_of(group)
        if on_blank == "keep":
            return color_map.apply(image, spec)

        def unless_blank(one: Image) -> Image:
            self._check_tissue(ColorHistogram.of(one, spec))
            return color_map.apply(one, spec)

        return each_unless_blank(image, on_blank, unless_blank)

    # ---- growing -----------------------------------------------------------------------------------------------------

    def add(self, images: Any = None, **options: Any) -> Self:
        """The calibration with more tiles, as if made of all of them at once.

        Parameters
        ----------
        images : object, optional
            See :meth:`Normalizer.calibrate`.
        **options
            How the tiles are read and grouped: slides, sampling, groups, min_tissue, image_key, value_range, qc.

        Raises
        ------
        ParameterError
            What it was made from is not kept: see ``keep_colors``; a calibrated network is made of all tiles at once. A
            setting of the calibration itself, which stays as it is.
        """
        if fixed := sorted({*self.settings.names(), "center", "license"} & options.keys()):
            raise ParameterError(
                f"{fixed[0]} of a calibration stays as it is when it grows; calibrate anew to change it"
            )
        self._check_growable()
        return self.merge(self.target.calibrate(images, **self.settings.values(), **options))

    def merge(self, other: Calibration) -> Self:
        """This calibration and another one of the same target, as if made at once, with the settings of this one.

        Raises
        ------
        ParameterError
            They are of two targets, hold the same tiles of a group, or what one was made from is not kept.
        """
        if not isinstance(other, Calibration):
            raise ParameterError(f"a calibration merges with another one, got {type(other).__name__}")
        if not _same(self.target_state, other.target_state):
            raise ParameterError("the two calibrations are of different targets; calibrate the same model file twice")
        for one in (self, other):
            one._check_growable()
        for name in self.parts.keys() & other.parts.keys():
            if self.parts[name].tissue.numbers() == other.parts[name].tissue.numbers():
                raise ParameterError(
                    f"both calibrations hold the same tiles{f' of {name!r}' * bool(name)}; they would count twice"
                )
        names = sorted({*self.parts, *other.parts})
        both = {name: [one.parts[name] for one in (self, other) if name in one.parts] for name in names}
        info = replace(self.info, tiles=self.info.tiles + other.info.tiles)
        merged: Self = replace(
            self, parts={name: Part.merge(found) for name, found in both.items()}, maps={}, info=info,
            folds=(*self.folds, *other.folds),
        )  # fmt: skip
        return merged

    def without_colors(self) -> Self:
        """A copy whose file holds no colors of the other center; loaded, it cannot grow."""
        copied: Self = replace(self, settings=replace(self.settings, keep_colors=False))
        return copied

    def _check_growable(self) -> None:
        if self.colorizer is not None:
            raise ParameterError(
                f"a calibration of {self.model_method} is fitted to all tiles at once and cannot grow; "
                "calibrate again with all of them"
            )
        if any(part.summary is None for part in self.parts.values()):
            self._cannot_be_made_again()

    def _cannot_be_made_again(self) -> NoReturn:
        raise ParameterError(
            f"the calibration holds its map, but not what {self.model_method} made it from, so it cannot grow; calibrate "
            "again with all tiles (with keep_colors=True, where colors are counted), and grow that, not one group of it"
        )

    def uncertainty(self, resamples: int = 20, seed: int = 0) -> float:
        """How far the center's map might be off, for want of groups: bootstrap over them.

        Parameters
        ----------
        resamples : int, optional
            How often groups (tiles, where there are no groups) are drawn with replacement.
        seed : int, optional
            Seed of the draws.

        Returns
        -------
        float
            Mean CIEDE2000 between the maps of the draws and the center's, over the colors of the other center's tissue.

        Raises
        ------
        ParameterError
            Fewer than two groups, or tiles, are known: a file holds them with ``keep_groups`` alone.
        """
        named = [part for name, part in self.parts.items() if name != CENTER]
        units = named if len(named) > 1 else [*named, *self.folds]
        return uncertainty(self, units, resamples, seed)

    def map_from_part(self, part: Part) -> ColorMap:
        """The center's map if there were only these tiles."""
        alone = replace(self, parts={CENTER: part}, maps={}, folds=())
        return alone.closed_map_of(None)

    # ---- the file ----------------------------------------------------------------------------------------------------

    def _kept_parts(self) -> dict[str, Part]:
        """What a file keeps: the groups, or the center alone."""
        return dict(self.parts) if self.settings.keep_groups else {CENTER: self.center}

    def arrays(self) -> dict[str, np.ndarray]:
        """Numbers of the target, of the maps, and of what they are made from."""
        return self._packed()[0]

    def parameters(self) -> dict[str, Any]:
        """The target, the maps and what they are made from, as far as JSON holds it."""
        return self._packed()[1]

    def _packed(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        state = self.target_state
        arrays = {f"target/{name}": array for name, array in state.arrays.items()}
        names = [CENTER, *self.groups] if self.settings.keep_groups else [CENTER]
        maps = {
            name: pack_map(_storable(self.closed_map_of(name or None)), f"maps/{number}", arrays)
            for number, name in enumerate(names)
        }
        parts = {
            name: part.pack(f"parts/{number}", arrays, self.settings.keep_colors)
            for number, (name, part) in enumerate(sorted(self._kept_parts().items()))
        }
        colorizer = None if self.colorizer is None else pack_map(_storable(self.colorizer), "colorizer", arrays)
        about = {name: getattr(state, name) for name in _ABOUT}
        parameters = {
            "target": about, "settings": self.settings.values(), "maps": maps, "parts": parts, "colorizer": colorizer,
            "aligned": self.aligned, "colors": self.colors,
        }  # fmt: skip
        return arrays, parameters

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        own = {name.removeprefix("target/"): array for name, array in arrays.items() if name.startswith("target/")}
        colorizer, of_part = parameters["colorizer"], _by_part(arrays)
        try:
            settings = CalibrationSettings(**parameters["settings"])
        except StainXformError as error:
            raise ValueError(str(error)) from error
        return cls(
            target_state=ModelState(arrays=own, **{name: parameters["target"][name] for name in _ABOUT}),
            settings=settings,
            parts={
                name: Part.unpack(packed, of_part.get(str(number), {}))
                for number, (name, packed) in enumerate(sorted(parameters["parts"].items()))
            },
            maps={name: unpack_map(packed, arrays) for name, packed in parameters["maps"].items()},
            colorizer=None if colorizer is None else unpack_map(colorizer, arrays),
            aligned=bool(parameters["aligned"]),
        )

    def __getstate__(self) -> dict[str, Any]:
        """Without what is made again: a pickle, by which caches distinguish models, must not depend on use."""
        return {name: value for name, value in vars(self).items() if name not in _CACHED}

    def __repr__(self) -> str:
        """What a user asks first."""
        return (
            f"Calibration(of {self.model_method!r}, {self.info.tiles} tiles, {len(self.groups)} groups, "
            f"center_weight={self.center_weight:.2f}, strength={self.settings.strength})"
        )


_ABOUT = ("method", "parameters", "center", "tiles", "license", "library_version")
_CACHED = ("target", "center", "center_weight", "target_tissue", "_center_map", "_made")


def alignment(tissue: TissueColor) -> Transport:
    """Optimal transport, in optical density, to the tissue of a target."""
    pixels = tissue.pixels
    return Transport(mean=pixels.mean, covariance=pixels.covariance, pixels=pixels.count, space="od")


_TABLES: WeakKeyDictionary[ColorMap, ColorMap] = WeakKeyDictionary()


def _table(closed: ColorMap) -> ColorMap:
    """A map as a 3D table, made once."""
    if closed not in _TABLES:
        _TABLES[closed] = bake(closed, NODES)
    return _TABLES[closed]


def _applied(closed: ColorMap) -> ColorMap:
    """A map as it is applied: compiled, or as a table."""
    return closed if closed.kernel is not None or isinstance(closed, IdentityMap) else _table(closed)


def _by_part(arrays: dict[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """The arrays of each part, by its number and their own names."""
    found: dict[str, dict[str, np.ndarray]] = {}
    for name, array in arrays.items():
        room, _, rest = name.partition("/")
        if room == "parts":
            number, _, own = rest.partition("/")
            found.setdefault(number, {})[own] = array
    return found


def _storable(closed: ColorMap) -> ColorMap:
    """A map that a file can hold: itself, or as a table."""
    return closed if is_storable(closed) else _table(closed)


def _same(first: ModelState, second: ModelState) -> bool:
    return (first.method, first.parameters, first.arrays.keys()) == (
        second.method, second.parameters, second.arrays.keys(),
    ) and all(np.array_equal(first.arrays[name], second.arrays[name]) for name in first.arrays)  # fmt: skip
