"""What ``stainxform demo`` does: fit a center, normalize another center's images, compare them with the truth.

The tissue is synthetic (:mod:`stainxform.samples`), so what our center would have shown of it is known exactly.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stainxform.errors import MissingDependencyError, ParameterError

if TYPE_CHECKING:
    from stainxform.normalizers.base import Normalizer

__all__ = ["METHODS", "RANDOMIZATION", "STEPS", "TEST_TILES", "Files", "Score", "run_demo"]

METHODS = {"reinhard": "Reinhard", "macenko": "Macenko", "stainlut": "StainLUT"}
"""What is compared. The last one that can run makes the model file."""

STEPS = 600
"""Training steps of StainLUT: few enough for a minute on two cores, enough to see what it does."""

RANDOMIZATION = {"brightness": 0.25, "contrast": 0.25, "saturation": 0.25}
"""Wider than the default: the other center is much darker than ours, as two real ones may be."""

TEST_TILES = 6
_FIT_SEED, _TEST_SEED = 1, 2  # not the same tissue


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
        """Tiles of our center, for the fit."""
        return self.folder / "center_a"

    @property
    def other(self) -> Path:
        """Tiles of the other center."""
        return self.folder / "center_b"

    @property
    def truth(self) -> Path:
        """The tissue of ``other``, as our center would have shown it."""
        return self.folder / "center_b_truth"

    @property
    def model(self) -> Path:
        """The model file of our center."""
        return self.folder / "center_a.safetensors"

    @property
    def picture(self) -> Path:
        """The images side by side."""
        return self.folder / "demo.png"


def run_demo(
    folder: str | Path,
    *,
    steps: int = STEPS,
    tiles: int = 12,
    size: int = 256,
    force: bool = False,
    tell: Callable[[str], None] = lambda message: None,
) -> list[Score]:
    """Generate two centers, fit each method on one, normalize the other one, compare with the truth.

    Parameters
    ----------
    folder : str or Path
        Where everything goes, see :class:`Files`.
    steps : int, optional
        Training steps of StainLUT.
    tiles : int, optional
        Number of tiles to fit on.
    size : int, optional
        Side of the tiles in pixels, at least 32.
    force : bool, optional
        Write into a folder that is not empty.
    tell : callable, optional
        Called with one line at every stage.

    Returns
    -------
    list of Score
        The scores: first that of the images as they are, then one for each method that could run.

    Raises
    ------
    ParameterError
        The folder is not empty, or a number makes no sense.
    """
    files = Files(Path(folder))
    if tiles < 1 or size < 32:
        raise ParameterError(f"the demo needs at least 1 tile of 32 px, got {tiles} of {size} px")
    if files.folder.exists() and not force and (not files.folder.is_dir() or any(files.folder.iterdir())):
        raise ParameterError(f"{files.folder} exists and is not empty; pass force=True to write into it")
    tell(f"painting {tiles} tiles of our center, and other tissue as another center shows it")
    other, truth = _paint(files, tiles, size)
    scores, columns = [_score("no normalization", other, truth)], [("Other center", other)]
    for method, title in METHODS.items():
        tell(f"{title}: fitting our center, normalizing the other one")
        try:
            settings = {"steps": steps, "color_randomization": RANDOMIZATION} if method == "stainlut" else {}
            score, images = _try(method, title, settings, files, other, truth)
        except MissingDependencyError as error:
            tell(f"{title} left out: {error}")
            continue
        scores.append(score)
        columns.append((title, images))
    _save_picture(files.picture, [*columns, ("Our center", truth)])
    return scores


def _paint(files: Files, tiles: int, size: int) -> tuple[np.ndarray, np.ndarray]:
    from stainxform.io.images import read_image
    from stainxform.samples import write_center

    write_center(files.ours, "a", tiles, size, _FIT_SEED)
    folders = ((files.other, "b"), (files.truth, "a"))
    written = [write_center(folder, center, TEST_TILES, size, _TEST_SEED) for folder, center in folders]
    other, truth = (np.stack([read_image(path) for path in paths]) for paths in written)
    return other, truth


def _try(
    method: str, title: str, settings: dict[str, Any], files: Files, other: np.ndarray, truth: np.ndarray
) -> tuple[Score, np.ndarray]:
    """Fit, save, normalize, measure."""
    from stainxform import fit_center

    start = time.perf_counter()
    normalizer: Normalizer = fit_center(files.ours, method, center="synthetic center a", license="CC0-1.0", **settings)
    fitted = time.perf_counter()
    images = normalizer(other)
    seconds = time.perf_counter() - fitted
    normalizer.save(files.model)
    return _score(title, images, truth, fitted - start, seconds / (other[..., 0].size / 1e6)), images


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
