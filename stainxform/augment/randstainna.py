"""RandStainNA: Shen et al., "RandStainNA: Learning Stain-Agnostic Features from Histology Slides by Bridging Stain
Augmentation and Normalization", MICCAI 2022.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import NormalDist
from typing import Any, ClassVar, Self

import numpy as np

from stainxform._version import __version__
from stainxform.augment.base import Augmentation, Draw, Rng
from stainxform.augment.presets import Preset
from stainxform.errors import ModelFileError, NotEnoughTissueError, ParameterError, StainXformWarning
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import ValueRange
from stainxform.image.tissue import MIN_TISSUE, is_blank
from stainxform.io.modelfile import ModelState, read_model, write_model
from stainxform.io.settings import make_plain, plain
from stainxform.io.sources import Tiles
from stainxform.maps import ColorMap
from stainxform.normalizers.base import array_of
from stainxform.normalizers.reinhard import SPACES, Reinhard

__all__ = ["ColorStatistics", "RandStainNA"]

_MIN_STD = 0.1
"""A drawn standard deviation is at least this part of the mean one: near 0 it would flatten the image, and below 0,
which the authors' code lets happen, invert it."""

_FIELDS = ("mean", "mean_spread", "std", "std_spread")


@dataclass(frozen=True, eq=False, kw_only=True)
class ColorStatistics:
    """How the color statistics of single images vary over a training set.

    Parameters
    ----------
    mean, mean_spread : ndarray
        float64 ``(3,)``, mean and standard deviation over images of each channel's mean in an image.
    std, std_spread : ndarray
        float64 ``(3,)``, the same of each channel's standard deviation in an image.
    space : str, optional
        "cielab" (the paper's Lab, in float) or "ruderman" (l-alpha-beta).
    tissue_only : bool, optional
        Statistics over tissue pixels only, here and of the images that are augmented (the paper: all pixels).
    center : str, optional
        Who the training set is.
    tiles : int, optional
        How many tiles were used.
    license : str, optional
        License of the statistics.
    """

    mean: np.ndarray
    mean_spread: np.ndarray
    std: np.ndarray
    std_spread: np.ndarray
    space: str = "cielab"
    tissue_only: bool = False
    center: str = ""
    tiles: int = 0
    license: str = ""

    def __post_init__(self) -> None:
        make_plain(self)
        if self.space not in SPACES:
            raise ParameterError(f"space must be one of {', '.join(SPACES)}, got {self.space!r}")
        if type(self.tissue_only) is not bool:
            raise ParameterError(f"tissue_only must be True or False, got {self.tissue_only!r}")
        for name in _FIELDS:
            values = np.array(getattr(self, name), np.float64)
            if values.shape != (3,) or not np.isfinite(values).all() or (name != "mean" and (values < 0).any()):
                raise ParameterError(f"{name} must be three finite numbers, not negative unless means, got {values}")
            values.setflags(write=False)
            object.__setattr__(self, name, values)

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        space: str = "cielab",
        tissue_only: bool = False,
        min_tissue: float = MIN_TISSUE,
        center: str = "",
        license: str = "",
        image_key: str = "image",
        value_range: ValueRange | None = None,
    ) -> Self:
        """Fit on the tiles of a training set; arguments as in :func:`stainxform.fit_center`.

        Raises
        ------
        InvalidImageError
            Nothing found, or a tile cannot be read.
        NotEnoughTissueError
            Fewer than two tiles hold tissue.
        """
        if space not in SPACES:
            raise ParameterError(f"space must be one of {', '.join(SPACES)}, got {space!r}")
        tiles = Tiles(images, image_key=image_key, value_range=value_range)
        fits = [
            Reinhard.fit(tile, space=space, tissue_only=tissue_only)
            for tile in tiles
            if not is_blank(ColorHistogram.of(tile), min_tissue)
        ]
        if len(fits) < 2:
            raise NotEnoughTissueError(f"{len(fits)} of {len(tiles)} tiles hold enough tissue; at least 2 are needed")
        if len(fits) < len(tiles):
            warnings.warn(
                f"skipped {len(tiles) - len(fits)} of {len(tiles)} tiles: less than {min_tissue:.2%} tissue",
                StainXformWarning,
                stacklevel=2,
            )
        means, stds = np.array([fit.mean for fit in fits]), np.array([fit.std for fit in fits])
        return cls(
            mean=means.mean(0),
            mean_spread=means.std(0),
            std=stds.mean(0),
            std_spread=stds.std(0),
            space=space,
            tissue_only=tissue_only,
            center=center,
            tiles=len(fits),
            license=license,
        )

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file: twelve numbers and how they were fitted; never pixels or names of files."""
        arrays = {name: getattr(self, name) for name in _FIELDS}
        parameters = {"space": self.space, "tissue_only": self.tissue_only}
        state = ModelState(RandStainNA.name, arrays, parameters, self.center, self.tiles, self.license, __version__)
        write_model(path, state)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ModelFileError
            Anything else.
        """
        state = read_model(path)
        if state.method != RandStainNA.name:
            raise ModelFileError(f"{path} holds a {state.method!r} model, expected {RandStainNA.name!r}")
        try:
            fields: dict[str, Any] = {name: array_of(state.arrays, name, (3,)) for name in _FIELDS}
            return cls(**fields, **state.parameters, center=state.center, tiles=state.tiles, license=state.license)
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFileError(f"{path} is no valid {RandStainNA.name!r} model ({error}); fit it again") from error


def _normal(center: float, scale: float, u: float) -> float:
    return center + scale * NormalDist().inv_cdf(u)


def _laplace(center: float, scale: float, u: float) -> float:
    return center - scale * math.copysign(math.log1p(-2 * abs(u - 0.5)), u - 0.5)


_QUANTILES: dict[str, Callable[[float, float, float], float]] = {"normal": _normal, "laplace": _laplace}


@dataclass(frozen=True, kw_only=True)
class RandStainNA(Augmentation):
    """Reinhard normalization to a target drawn from how a training set varies.

    Parameters
    ----------
    model : str, Path or ColorStatistics
        The fitted :class:`ColorStatistics`, or the path of their file. The file is read once, now.
    spread : float, optional
        Multiplies the spread of the distribution; the authors' std_hyper is spread - 1.
    distribution : str, optional
        "normal" or "laplace" (with the standard deviation as its scale, as in the authors' code).
    """

    model: str | Path | ColorStatistics
    spread: float = 0.7
    distribution: str = "normal"
    statistics: ColorStatistics = field(init=False, repr=False, compare=False)
    """What ``model`` stands for."""

    name: ClassVar[str] = "randstainna"
    title: ClassVar[str] = "Reinhard normalization to a target drawn from a training set's variation"
    source: ClassVar[str] = "Shen et al., MICCAI 2022, arXiv 2206.12694"
    presets: ClassVar[Mapping[str, Preset]] = {
        "light": Preset({"spread": 0.7}, "the example of the authors' code: std_hyper = -0.3"),
        "strong": Preset({"spread": 1.0}, "Shen et al., MICCAI 2022: the fitted distribution itself"),
    }

    def __post_init__(self) -> None:
        if isinstance(self.model, str | Path):
            self.set_fields(model=str(self.model), statistics=ColorStatistics.load(self.model))
        elif isinstance(self.model, ColorStatistics):
            self.set_fields(statistics=self.model)
        else:
            raise ParameterError(f"model must be a path or ColorStatistics, got {type(self.model).__name__}")
        self.check_choice("distribution", list(_QUANTILES))
        self.set_fields(spread=plain(self.spread))
        if not 0 <= self.spread <= 10:
            raise ParameterError(f"spread must be a factor from 0 to 10, got {self.spread!r}")

    @classmethod
    def fit(cls, images: Any, *, spread: float = 0.7, distribution: str = "normal", **settings: Any) -> Self:
        """Fit :class:`ColorStatistics` on a training set and draw from them; ``settings`` as in its ``fit``."""
        return cls(model=ColorStatistics.fit(images, **settings), spread=spread, distribution=distribution)

    @property
    def uses_image(self) -> bool:
        """Its own statistics are matched to the drawn ones."""
        return True

    def sample(self, rng: Rng) -> dict[str, float]:
        """Draw ``mean_0``, ``mean_1``, ``mean_2``, ``std_0``, ``std_1``, ``std_2``, in units of the color space."""
        found = self.statistics
        quantile, draw = _QUANTILES[self.distribution], {}
        for name, centers, spreads in (("mean", found.mean, found.mean_spread), ("std", found.std, found.std_spread)):
            for i, (center, spread) in enumerate(zip(centers.tolist(), spreads.tolist())):
                u = min(max(float(rng.uniform(0, 1)), 2.0**-53), 1 - 2.0**-53)
                value = quantile(center, spread * self.spread, u)
                draw[f"{name}_{i}"] = max(value, _MIN_STD * center) if name == "std" else value
        return draw

    def color_map(self, draw: Draw, histogram: ColorHistogram | None = None) -> ColorMap:
        """The map of a draw for an image with these colors.

        Raises
        ------
        NotEnoughTissueError
            A blank image.
        """
        histogram = self.require_histogram(histogram)
        if is_blank(histogram):
            raise NotEnoughTissueError("too little tissue to take color statistics from")
        mean, std = (np.array([draw[f"{name}_{i}"] for i in range(3)]) for name in ("mean", "std"))
        found = self.statistics
        target = Reinhard(mean=mean, std=std, space=found.space, tissue_only=found.tissue_only)
        return target.color_map(histogram)
