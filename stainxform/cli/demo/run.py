"""What ``stainxform demo`` does: fit a center, calibrate another one, normalize its images, compare them with the truth.

The tissue is synthetic (:mod:`stainxform.samples`), so what our center would have shown of it is known exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stainxform.errors import ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer
    from stainxform.samples import Center

__all__ = ["CONTENTS", "METHODS", "Files", "Score", "run_demo"]

METHODS = {"macenko": "Macenko", "transport": "transport"}
"""What is compared, per tile and calibrated. The last one makes the model files."""

CONTENTS = (
    {"cellularity": 0.05, "background": 0.05},
    {"cellularity": 0.9, "background": 0.3},
    {"cellularity": 0.5, "background": 0.15},
)
"""The tiles of a slide: stroma, epithelium beside glass, and both, as in real slides no two tiles show the same."""

SLIDE_TO_SLIDE = 0.05
"""Relative standard deviation of the amounts of stain between the slides of a center."""

_OUR_SEED, _THEIR_SEED, _TEST_SEED = 1, 2, 3  # not the same tissue


@dataclass(frozen=True)
class Score:
    """How close images are to the truth, and what that took."""

    title: str
    psnr: float
    ssim: float
    ciede2000: float
    fit_seconds: float = 0.0
    seconds_per_megapixel: float = 0.0


@dataclass(frozen=True)
class Files:
    """What a demo writes, all in one folder."""

    folder: Path

    @property
    def ours(self) -> Path:
        """Tiles of our center, a folder for each slide: for the fit."""
        return self.folder / "center_a"

    @property
    def theirs(self) -> Path:
        """Tiles of the other center, a folder for each slide: for the calibration."""
        return self.folder / "center_b"

    @property
    def test(self) -> Path:
        """Other tiles of the same slides, to be normalized."""
        return self.folder / "center_b_test"

    @property
    def truth(self) -> Path:
        """The tissue of ``test``, as our center would have shown it."""
        return self.folder / "center_b_truth"

    @property
    def model(self) -> Path:
        """The model file of our center."""
        return self.folder / "demo_center_a.safetensors"

    @property
    def calibration(self) -> Path:
        """The calibration of the other center."""
        return self.folder / "demo_center_b_to_a.safetensors"

    @property
    def picture(self) -> Path:
        """The images side by side."""
        return self.folder / "demo.png"


def run_demo(
    folder: str | Path,
    *,
    slides: int = 4,
    size: int = 256,
    force: bool = False,
    tell: Callable[[str], None] = lambda message: None,
) -> list[Score]:
    """Generate two centers, fit each method on one, calibrate the other one, compare its images with the truth.

    Parameters
    ----------
    folder : str or Path
        Where everything goes, see :class:`Files`.
    slides : int, optional
        Number of slides of each center; a slide has a tile of each of :data:`CONTENTS`.
    size : int, optional
        Side of the tiles in pixels, at least 32.
    force : bool, optional
        Write into a folder that is not empty.
    tell : callable, optional
        Called with one line at every stage.

    Returns
    -------
    list of Score
        The scores: first that of the images as they are, then two for each method, per tile and calibrated.

    Raises
    ------
    ParameterError
        The folder is not empty, or a number makes no sense.
    """
    files = Files(Path(folder))
    if slides < 1 or size < 32:
        raise ParameterError(f"the demo needs at least 1 slide and tiles of 32 px, got {slides} and {size} px")
    if files.folder.exists() and not force and (not files.folder.is_dir() or any(files.folder.iterdir())):
        raise ParameterError(f"{files.folder} exists and is not empty; pass force=True to write into it")
    tell(f"painting {slides} slides of our center, and {slides} of another one, {len(CONTENTS)} tiles of each")
    names, test, truth = _paint(files, slides, size)
    scores, columns = [_score("no normalization", test, truth)], [("Other center", test)]
    for method, title in METHODS.items():
        tell(f"{title}: fitting our center, calibrating the other one, normalizing its tiles")
        for score, images in _try(method, title, files, names, test, truth):
            scores.append(score)
            columns.append((score.title, images))
    _save_picture(files.picture, [*columns, ("Our center", truth)])
    return scores


def _paint(files: Files, slides: int, size: int) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Write all tiles; names of the slides, the other center's tiles to be tested on, and their truth."""
    from stainxform.samples import CENTERS

    names, test, truth = [], [], []
    for number in range(slides):
        name = f"slide_{number + 1}"
        _write_slide(files.ours / name, _stained(CENTERS["a"], number), size, (_OUR_SEED, number))
        theirs = _stained(CENTERS["b"], number)
        _write_slide(files.theirs / name, theirs, size, (_THEIR_SEED, number))
        test += _write_slide(files.test / name, theirs, size, (_TEST_SEED, number))
        truth += _write_slide(files.truth / name, CENTERS["a"], size, (_TEST_SEED, number))
        names += [name] * len(CONTENTS)
    return names, np.stack(test), np.stack(truth)


def _stained(center: Center, slide: int) -> Center:
    """A center on one of its slides: no two are stained alike."""
    factors = np.random.default_rng((ord(center.name), slide)).normal(1, SLIDE_TO_SLIDE, 2)
    return replace(center, strength=center.strength * factors)


def _write_slide(folder: Path, center: Center, size: int, seed: tuple[int, int]) -> list[np.ndarray]:
    from stainxform.io.images import write_image
    from stainxform.samples import render, tissue

    folder.mkdir(parents=True, exist_ok=True)
    tiles = []
    for number, content in enumerate(CONTENTS):
        drawn = tissue(size, seed=(*seed, number), **content)
        tiles.append(render(drawn, center, seed=(*seed, number, ord(center.name))))
        write_image(folder / f"tile_{number}.png", tiles[-1])
    return tiles


def _try(
    method: str, title: str, files: Files, names: list[str], test: np.ndarray, truth: np.ndarray
) -> Iterator[tuple[Score, np.ndarray]]:
    """Fit, calibrate, save, and normalize either way; measure."""
    from stainxform import fit_center

    start = time.perf_counter()
    center = fit_center(files.ours, method, center="synthetic center a", license="CC0-1.0")
    fitted = time.perf_counter()
    calibration = center.calibrate(files.theirs, groups="folder", keep_groups=True, center="synthetic center b")
    calibrated = time.perf_counter()
    center.save(files.model)
    calibration.save(files.calibration)
    yield _measured(f"{title}, per tile", [center] * len(names), fitted - start, test, truth)
    groups = [calibration.for_group(name) for name in names]
    yield _measured(f"{title}, calibrated", groups, calibrated - start, test, truth)


def _measured(
    title: str, normalizers: Sequence[Normalizer], fit_seconds: float, test: np.ndarray, truth: np.ndarray
) -> tuple[Score, np.ndarray]:
    """Each tile by its own normalizer; timed the second time, when fixed maps are made."""
    images = np.stack([normalizer(tile) for normalizer, tile in zip(normalizers, test, strict=True)])
    start = time.perf_counter()
    for normalizer, tile in zip(normalizers, test):
        normalizer(tile)
    seconds = time.perf_counter() - start
    return _score(title, images, truth, fit_seconds, seconds / (test[..., 0].size / 1e6)), images


def _score(title: str, images: np.ndarray, truth: np.ndarray, *seconds: float) -> Score:
    from stainxform.evaluate import ciede2000, psnr, ssim

    means = (float(np.mean([metric(a, b) for a, b in zip(images, truth)])) for metric in (psnr, ssim, ciede2000))
    return Score(title, *means, *seconds)


# ---------------------------------------------------------------- the picture

_ROWS = 2
_GAP, _HEADER, _CAPTION = 14, 52, 34
_INK, _FAINT, _PAPER = (32, 33, 36), (95, 99, 104), (255, 255, 255)


def _save_picture(path: Path, columns: Sequence[tuple[str, np.ndarray]]) -> None:
    """Write columns of tiles side by side; the last column is the truth that the captions measure against."""
    from PIL import Image, ImageDraw

    from stainxform.evaluate import psnr
    from stainxform.io.images import write_image

    truth = columns[-1][1]
    rows, (height, width) = min(_ROWS, len(truth)), truth.shape[1:3]
    sheet = Image.new(
        "RGB",
        (len(columns) * (width + _GAP) + _GAP, _HEADER + rows * (height + _CAPTION) + _GAP // 2),
        _PAPER,
    )
    draw = ImageDraw.Draw(sheet)
    for column, (title, images) in enumerate(columns):
        left = _GAP + column * (width + _GAP)
        _write(draw, (left + width // 2, _HEADER // 2), title, 24, _INK)
        for row in range(rows):
            top = _HEADER + row * (height + _CAPTION)
            sheet.paste(Image.fromarray(images[row]), (left, top))
            caption = "reference" if images is truth else f"{psnr(images[row], truth[row]):.1f} dB"
            _write(draw, (left + width // 2, top + height + _CAPTION // 2), caption, 17, _FAINT)
    write_image(path, np.asarray(sheet))


def _write(draw: Any, middle: tuple[int, int], text: str, size: int, color: tuple[int, int, int]) -> None:
    from PIL import ImageFont

    draw.text(middle, text, fill=color, font=ImageFont.load_default(size), anchor="mm")
