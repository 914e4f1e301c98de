"""Several centers before and after normalization: everything that the report shows."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform.color import GRAY_WEIGHTS
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError
from stainxform.evaluate.color_distances import (
    frechet_distance,
    mean_stain_matrix,
    stain_angle,
    wasserstein_of_tiles,
)
from stainxform.evaluate.downstream import auc
from stainxform.evaluate.findings import findings_of, warnings_of
from stainxform.evaluate.identifiability import Identifiability, center_identifiability
from stainxform.evaluate.intervals import Interval, bootstrap_interval
from stainxform.evaluate.metrics import ciede2000, psnr, ssim
from stainxform.evaluate.projection import check_projection, fit_projection
from stainxform.evaluate.result import (
    RAW,
    CenterSummary,
    ColorGap,
    Evaluation,
    MethodResult,
    StructureKept,
    Tile,
)
from stainxform.evaluate.structure import luminance_ssim
from stainxform.io.sources import Tiles
from stainxform.stains.features import FEATURE_NAMES, TileColors

__all__ = ["PAIRED", "STAINS", "Group", "Normalize", "evaluate_centers", "normalize_function", "tiles_of_centers"]

STAINS = ("hematoxylin", "eosin")
PAIRED = {"psnr": psnr, "ssim": ssim, "ciede2000": ciede2000}

Normalize = Callable[[np.ndarray], np.ndarray]
Group = tuple[Any, ...]


def evaluate_centers(
    centers: Mapping[str, Any],
    normalizers: Mapping[str, Any],
    *,
    target: str,
    groups: Mapping[str, Sequence[Any]] | None = None,
    masks: Mapping[str, Sequence[np.ndarray]] | None = None,
    aligned: bool = False,
    threshold: float = 0.9,
    projection: str = "pca",
    level: float = 0.95,
    repeats: int = 1000,
    seed: int = 0,
) -> Evaluation:
    """Measure whether normalizers make centers look alike, and what they do to the tissue.

    The target's own tiles are never normalized: the others should look like them as they are.

    Parameters
    ----------
    centers : mapping
        Tiles of each center by its name: whatever ``fit_center`` takes. Two centers or more.
    normalizers : mapping
        Normalizers by the name to print: fitted normalizers, paths of model files, or functions from uint8
        ``(H, W, 3)`` to the same. Of a calibration it is the center's map that is measured.
    target : str
        Name of the center that the normalizers were fitted on.
    groups : mapping of str to sequence, optional
        For each center the slide or patient of each tile; the same name at two centers is one patient. None: every tile
        by itself, which makes intervals too narrow and identifiability too high.
    masks : mapping of str to sequence of ndarray, optional
        Nuclei of each tile, ``(H, W)`` with numbers above 0 inside, for the centers that have them.
    aligned : bool, optional
        Tile i shows the same tissue at every center: adds PSNR, SSIM and CIEDE2000 to the target.
    threshold : float, optional
        Tiles whose luminance SSIM to their source is below it are counted.
    projection : str, optional
        "pca", or "umap" (extra ``umap``).
    level : float, optional
        Those of the bootstrap, see :func:`stainxform.evaluate.bootstrap_interval`.
    repeats, seed : int, optional
        Those of the bootstrap, see :func:`stainxform.evaluate.bootstrap_interval`.

    Returns
    -------
    Evaluation
        What was measured, for each normalizer and for the images as they are.

    Raises
    ------
    ParameterError
        Fewer than two centers, an unknown target, or lists of the wrong length. Checked before any tile is normalized.
    InvalidImageError
        A tile cannot be read, or a normalizer gave back something else than a tile of the same size.
    NotEnoughTissueError
        All tiles of a center are blank.
    MissingDependencyError
        scikit-learn (extra ``report``) or umap-learn is not installed.
    """
    tiles = tiles_of_centers(centers, normalizers)
    _check(tiles, normalizers, target, groups, masks, aligned, threshold)
    check_projection(projection)
    functions = {name: normalize_function(normalizer) for name, normalizer in normalizers.items()}
    bootstrap = {"level": level, "repeats": repeats, "seed": seed}
    study = _Study(tiles, target, groups, masks or {}, aligned, threshold, bootstrap)
    before = study.measure(tiles)
    for name, colors in before.items():
        if not len(colors):
            raise NotEnoughTissueError(f"all {len(tiles[name])} tiles of center {name!r} are blank")
    map_of = fit_projection(np.concatenate([colors.features for colors in before.values()]), projection, seed)
    raw = study.result(RAW, before, before, map_of, tiles, None)
    methods = [raw]
    warnings = study.limits(before)
    for name, function in functions.items():
        normalized, seconds = study.normalize(name, function)
        after = study.measure(normalized)
        empty = [center for center, colors in after.items() if not len(colors)]
        if empty:
            raise NotEnoughTissueError(f"{name} made all tiles of center {empty[0]!r} blank")
        lost = sum(len(before[center]) - len(after[center]) for center in tiles)
        if lost:
            warnings.append(f"{name} made {lost} tiles blank; they are missing from its colors")
        methods.append(study.result(name, after, before, map_of, normalized, seconds))
    return Evaluation(
        target=target,
        centers={
            name: CenterSummary(len(tiles[name]), len(tiles[name]) - len(colors), len(set(study.groups_of(name))))
            for name, colors in before.items()
        },
        methods=methods,
        feature_names=list(FEATURE_NAMES),
        settings={**bootstrap, "threshold": threshold, "projection": projection, "aligned": aligned},
        warnings=warnings + [text for method in methods[1:] for text in warnings_of(method)],
        findings=[text for method in methods[1:] for text in findings_of(method, raw)],
    )


def tiles_of_centers(centers: Mapping[str, Any], normalizers: Mapping[str, Any]) -> dict[str, Tiles]:
    """The tiles of each center; ParameterError for what is no mapping."""
    for what, named in (("centers", centers), ("normalizers", normalizers)):
        if not isinstance(named, Mapping):
            raise ParameterError(f"{what} must be a mapping, by name, got {type(named).__name__}")
    return {str(name): Tiles(images) for name, images in centers.items()}


def _check(
    tiles: Mapping[str, Tiles],
    normalizers: Mapping[str, Any],
    target: str,
    groups: Mapping[str, Sequence[Any]] | None,
    masks: Mapping[str, Sequence[np.ndarray]] | None,
    aligned: bool,
    threshold: float,
) -> None:
    if len(tiles) < 2:
        raise ParameterError(f"an evaluation needs at least two centers, got {len(tiles)}")
    if not isinstance(target, str) or target not in tiles:
        raise ParameterError(f"the target {target!r} is none of the centers {', '.join(tiles)}")
    if not normalizers or RAW in normalizers:
        raise ParameterError(f"give at least one normalizer, under another name than {RAW!r}")
    if not 0 < threshold <= 1:
        raise ParameterError(f"threshold is an SSIM above 0 and up to 1, got {threshold}")
    for what, lists in (("groups", groups), ("masks", masks)):
        if not isinstance(lists, Mapping | None):
            raise ParameterError(f"{what} must be a mapping, a list for each center, got {type(lists).__name__}")
    if groups is not None and set(groups) != set(tiles):
        raise ParameterError(f"groups must name the centers {', '.join(tiles)}, got {', '.join(map(str, groups))}")
    for what, lists in (("groups", groups or {}), ("masks", masks or {})):
        for name, entries in lists.items():
            if name not in tiles:
                raise ParameterError(f"{what} name the center {name!r}, which is none of {', '.join(tiles)}")
            if len(entries) != len(tiles[name]):
                raise ParameterError(f"center {name!r} has {len(tiles[name])} tiles and {len(entries)} {what}")
    if aligned and len({len(images) for images in tiles.values()}) > 1:
        raise ParameterError("aligned centers have the same number of tiles, tile i showing the same tissue")


def normalize_function(normalizer: Any) -> Normalize:
    """A fitted normalizer, the path of a model file, or a function, as a function of tiles."""
    if isinstance(normalizer, str) or hasattr(normalizer, "__fspath__"):
        from stainxform.normalizers.base import Normalizer

        return Normalizer.load(normalizer)
    if not callable(normalizer):
        raise ParameterError(
            f"a normalizer is a fitted one, a model file or a function, got {type(normalizer).__name__}"
        )
    return normalizer  # type: ignore[no-any-return]


@dataclass(frozen=True, eq=False)
class _Study:
    """The tiles, and how everything about them is measured."""

    tiles: dict[str, Tiles]
    target: str
    groups: Mapping[str, Sequence[Any]] | None
    masks: Mapping[str, Sequence[np.ndarray]]
    aligned: bool
    threshold: float
    bootstrap: dict[str, Any]

    @property
    def others(self) -> list[str]:
        return [name for name in self.tiles if name != self.target]

    def groups_of(self, center: str) -> list[Group]:
        if self.groups is None:
            # Aligned tiles are one piece of tissue, wherever they were scanned.
            return [(i,) if self.aligned else (center, i) for i in range(len(self.tiles[center]))]
        return [(group,) for group in self.groups[center]]

    def measure(self, images: Mapping[str, Sequence[np.ndarray]]) -> dict[str, TileColors]:
        return {name: TileColors.of(sequence) for name, sequence in images.items()}

    def normalize(self, name: str, function: Normalize) -> tuple[dict[str, Sequence[np.ndarray]], float]:
        """The tiles of all centers, the target's as they are; and the median of seconds per megapixel."""
        seconds: list[float] = []
        function(np.array(self.tiles[self.others[0]][0]))  # the first call loads what later ones have

        def timed(tile: np.ndarray) -> np.ndarray:
            start = time.perf_counter()
            result = function(tile)
            seconds.append((time.perf_counter() - start) / (tile[..., 0].size / 1e6))
            if not isinstance(result, np.ndarray) or result.shape != tile.shape or result.dtype != np.uint8:
                kind = f"{result.dtype} {result.shape}" if isinstance(result, np.ndarray) else type(result).__name__
                raise InvalidImageError(f"{name} gave back {kind} for a uint8 tile {tile.shape}")
            return result

        done: dict[str, Sequence[np.ndarray]] = {
            center: self.tiles[center] if center == self.target else [timed(tile) for tile in self.tiles[center]]
            for center in self.tiles
        }
        return done, float(np.median(seconds))

    def limits(self, before: Mapping[str, TileColors]) -> list[str]:
        """What the data cannot say."""
        found = []
        if self.groups is None:
            found.append(
                "no slides or patients were named: tiles count as independent, so intervals are too narrow and "
                "identifiability may be too high"
            )
        for name, colors in before.items():
            if len({self.groups_of(name)[i] for i in colors.index}) < 2:
                found.append(f"center {name} has tissue of one slide or patient only: no intervals, no identifiability")
            if len(colors) < len(self.tiles[name]):
                blank = len(self.tiles[name]) - len(colors)
                found.append(f"{blank} of {len(self.tiles[name])} tiles of center {name} are blank and left out")
        return found

    def result(
        self,
        name: str,
        colors: dict[str, TileColors],
        before: dict[str, TileColors],
        map_of: Callable[[np.ndarray], np.ndarray],
        images: Mapping[str, Sequence[np.ndarray]],
        seconds: float | None,
    ) -> MethodResult:
        features = np.concatenate([each.features for each in colors.values()])
        target = before[self.target]
        return MethodResult(
            name,
            self._identifiability(colors),
            {center: self._gap(colors[center], before[center], center, target) for center in self.others},
            None if seconds is None else self._structure(images),
            seconds,
            self._nuclei(images),
            self._to_target(images) if self.aligned else None,
            [(center, int(i)) for center, each in colors.items() for i in each.index],
            features.tolist(),
            map_of(features).tolist(),
        )

    def _identifiability(self, colors: dict[str, TileColors]) -> Identifiability | None:
        names = [center for center, each in colors.items() for _ in each.index]
        groups = [self.groups_of(center)[i] for center, each in colors.items() for i in each.index]
        if any(len({g for c, g in zip(names, groups) if c == center}) < 2 for center in colors):
            return None
        features = np.concatenate([each.features for each in colors.values()])
        return center_identifiability(features, names, groups, **self.bootstrap)

    def _gap(self, source: TileColors, raw: TileColors, center: str, target: TileColors) -> ColorGap:
        both = TileColors(
            *(
                np.concatenate([getattr(source, part), getattr(target, part)])
                for part in ("index", "features", "lab", "stains")
            )
        )
        ours = np.arange(len(both)) >= len(source)
        groups = [self.groups_of(center)[i] for i in source.index]
        groups += [self.groups_of(self.target)[i] for i in target.index]
        scale = target.features.std(0)
        features = both.features / np.where(scale > 0, scale, 1)

        def measured(function: Callable[[np.ndarray, np.ndarray], float], rows: np.ndarray) -> Interval:
            """``rows``: which of both sets count."""

            def statistic(drawn: np.ndarray) -> float:
                pair = drawn[~ours[drawn]], drawn[ours[drawn]]
                return function(*pair) if all(map(len, pair)) else float("nan")

            return self._interval(rows, [groups[i] for i in rows], ours[rows], statistic)

        def lab(distributions: np.ndarray) -> Callable[[np.ndarray, np.ndarray], float]:
            cdf = np.cumsum(distributions, axis=-1)

            def distance(theirs: np.ndarray, others: np.ndarray) -> float:
                shares = (np.bincount(rows, minlength=len(both)) / len(rows) for rows in (theirs, others))
                return float(wasserstein_of_tiles(np.subtract(*shares), cdf).sum())

            return distance

        def change(theirs: np.ndarray, others: np.ndarray) -> float:
            return now(theirs, others) - earlier(theirs, others)

        now, earlier = lab(both.lab), lab(np.concatenate([raw.lab, target.lab]))
        paired = source is not raw and np.array_equal(source.index, raw.index)

        def angle(stain: int) -> Callable[[np.ndarray, np.ndarray], float]:
            return lambda *pair: stain_angle(*(mean_stain_matrix(both.stains[rows]) for rows in pair))[stain]

        every = np.arange(len(both))
        two = np.flatnonzero(np.isfinite(both.stains).all(axis=(1, 2)))
        known = ours[two].any() and not ours[two].all()
        return ColorGap(
            {channel: measured(lab(both.lab[:, i : i + 1]), every) for i, channel in enumerate("Lab")},
            measured(now, every),
            measured(change, every) if paired else None,
            {stain: measured(angle(i), two) for i, stain in enumerate(STAINS)} if known else None,
            measured(lambda *pair: frechet_distance(*(features[rows] for rows in pair)), every)
            if min(len(source), len(target)) > 1
            else None,
        )

    def _interval(
        self,
        values: np.ndarray,
        groups: list[Group],
        strata: np.ndarray | None = None,
        statistic: Callable[[np.ndarray], float] | None = None,
    ) -> Interval:
        """The value alone where a center has one group: an interval would say more than is known."""
        labels = np.zeros(len(values), np.intp) if strata is None else strata.astype(np.intp)
        if any(len({g for g, s in zip(groups, labels) if s == label}) < 2 for label in set(labels.tolist())):
            return Interval(float(values.mean() if statistic is None else statistic(values)))
        shared = len(set(zip(groups, labels.tolist()))) > len(set(groups))  # a patient seen at both centers
        return bootstrap_interval(
            values, groups, statistic=statistic, strata=None if shared else labels.tolist(), **self.bootstrap
        )

    def _structure(self, images: Mapping[str, Sequence[np.ndarray]]) -> StructureKept:
        tiles: list[Tile] = [(center, i) for center in self.others for i in range(len(self.tiles[center]))]
        values = np.array([luminance_ssim(images[center][i], self.tiles[center][i]) for center, i in tiles])
        groups = [self.groups_of(center)[i] for center, i in tiles]
        order = np.argsort(values, kind="stable")
        return StructureKept(
            self._interval(values, groups),
            self._interval((values < self.threshold).astype(np.float64), groups),
            self.threshold,
            [tiles[i] for i in order],
            values[order].tolist(),
        )

    def _nuclei(self, images: Mapping[str, Sequence[np.ndarray]]) -> Interval | None:
        values, groups = [], []
        for center in self.others:
            for i, mask in enumerate(self.masks.get(center, ())):
                inside = np.asarray(mask) > 0
                if inside.shape != images[center][i].shape[:2]:
                    raise ParameterError(
                        f"mask {i} of center {center!r} has shape {inside.shape}, not that of its tile"
                    )
                if inside.any() and not inside.all():
                    values.append(auc(inside.ravel(), -(images[center][i].reshape(-1, 3) @ np.array(GRAY_WEIGHTS))))
                    groups.append(self.groups_of(center)[i])
        return self._interval(np.array(values), groups) if values else None

    def _to_target(self, images: Mapping[str, Sequence[np.ndarray]]) -> dict[str, Interval]:
        pairs = [(center, i) for center in self.others for i in range(len(self.tiles[center]))]
        groups = [self.groups_of(center)[i] for center, i in pairs]
        found = {}
        for name, metric in PAIRED.items():
            values = np.array([metric(images[center][i], self.tiles[self.target][i]) for center, i in pairs])
            finite = np.isfinite(values)  # PSNR of equal tiles is infinite
            if finite.any():
                found[name] = self._interval(values[finite], [g for g, kept in zip(groups, finite) if kept])
        return found
