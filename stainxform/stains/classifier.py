"""Which stain a pixel shows: the stain color descriptor and pixel classifier of Khan et al. 2014.

The palette histogram of an image, reduced by principal components, is its stain color descriptor: it says how the
slide was stained. The classifier sees a pixel's color and the descriptor of its image.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from stainxform._optional import require
from stainxform.color import OpticalDensity
from stainxform.errors import ModelFileError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.io.modelfile import ModelState, read_model, write_model

__all__ = ["BUNDLED", "SPACE", "StainClassifier", "bundled_classifier"]

HEMATOXYLIN, EOSIN, BACKGROUND = range(3)
"""The classes. In label images anything else is unlabeled."""

SPACE = OpticalDensity(io=256, offset=1)
"""White is exactly 0 and black finite."""

BUNDLED = Path(__file__).with_name("stain_classifier.safetensors")
"""Made by ``python benchmarks/quality/khan_classifier.py``."""

_PALETTE = 8
"""Levels of each channel in the palette."""

_KIND = "stain_classifier"


@dataclass(frozen=True, eq=False)
class StainClassifier:
    """Multinomial logistic regression on the optical density of a pixel and the descriptor of its image.

    The logits are quadratic in the pixel's optical density, with coefficients linear in the R values of the descriptor:
    how an image is stained moves the borders between the classes.

    Parameters
    ----------
    mean : ndarray
        float64 ``(512,)``, the mean of the training images' palette histograms (square roots of frequencies).
    components : ndarray
        float64 ``(R, 512)``, their principal components, scaled to unit variance.
    coefficients : ndarray
        float64 ``(3, 10, 1 + R)``: class, term of the pixel, and 1 or value of the descriptor.
    """

    mean: np.ndarray
    components: np.ndarray
    coefficients: np.ndarray

    def descriptor(self, histogram: ColorHistogram) -> np.ndarray:
        """Stain color descriptor ``(R,)`` of an image."""
        return self.components @ (_palette_histogram(histogram) - self.mean)

    def probabilities(self, histogram: ColorHistogram) -> np.ndarray:
        """Probability that each color of an image shows hematoxylin, eosin and background, float64 ``(3, K)``."""
        weights = self.coefficients @ np.append(1.0, self.descriptor(histogram))
        terms = _terms(histogram.colors)
        logits = np.stack([sum(w * term for w, term in zip(row, terms)) for row in weights])
        odds = np.exp(logits - logits.max(axis=0))
        return np.asarray(odds / odds.sum(axis=0))

    @classmethod
    def fit(
        cls,
        images: Iterable[np.ndarray],
        labels: Iterable[np.ndarray],
        *,
        components: int = 8,
        pixels: int = 500,
        seed: int = 0,
    ) -> StainClassifier:
        """Train on labeled images; needs scikit-learn (the extra "report").

        Parameters
        ----------
        images : iterable of ndarray
            uint8 ``(H, W, 3)`` each, of as many stainings and scanners as possible.
        labels : iterable of ndarray
            Integers ``(H, W)`` each: 0 hematoxylin, 1 eosin, 2 background, anything else not used.
        components : int, optional
            Length R of the descriptor, less than the number of images.
        pixels : int, optional
            Labeled pixels drawn from each image.
        seed : int, optional
            Seed of the drawing.

        Raises
        ------
        ParameterError
            A class is missing, or there are too few images.
        MissingDependencyError
            scikit-learn is not installed.
        """
        linear_model = require("sklearn.linear_model", "report")
        rng = np.random.default_rng(seed)
        histograms, colors, classes = [], [], []
        for image, label in zip(images, labels, strict=True):
            histograms.append(_palette_histogram(ColorHistogram.of(image)))
            usable = np.flatnonzero(np.isin(label, range(3)))
            chosen = rng.permutation(usable)[:pixels]
            colors.append(image.reshape(-1, 3)[chosen].T / 255.0)
            classes.append(label.reshape(-1)[chosen])
        if len(histograms) <= components:
            raise ParameterError(f"{len(histograms)} images are too few for {components} components; pass more images")
        target = np.concatenate(classes)
        if set(target.tolist()) != {0, 1, 2}:
            raise ParameterError(f"the labels must show the classes 0, 1 and 2, got {sorted(set(target.tolist()))}")
        mean = np.mean(histograms, axis=0)
        _, deviations, axes = np.linalg.svd(histograms - mean, full_matrices=False)
        scaled = axes[:components] * (np.sqrt(len(histograms)) / deviations[:components, None])
        features = [
            np.multiply.outer(np.append(1.0, scaled @ (histogram - mean)), _terms(color)).reshape(-1, color.shape[1])
            for histogram, color in zip(histograms, colors)
        ]
        # Weak shrinkage: it decides only where the training images do not.
        model = linear_model.LogisticRegression(C=0.1, fit_intercept=False, max_iter=5000)
        model.fit(np.concatenate(features, axis=1).T, target)
        return cls(mean, scaled, np.moveaxis(model.coef_.reshape(3, 1 + components, -1), 1, 2))

    def save(self, path: str | Path) -> None:
        """Write a ``.safetensors`` file of a few kilobytes."""
        write_model(path, ModelState(_KIND, {name: value.astype(np.float32) for name, value in vars(self).items()}))

    @classmethod
    def load(cls, path: str | Path) -> StainClassifier:
        """Read what :meth:`save` wrote.

        Raises
        ------
        ModelFileError
            Anything else.
        """
        state = read_model(path)
        if state.method != _KIND:
            raise ModelFileError(f"{path} holds a {state.method!r} model, no stain classifier")
        return cls.from_arrays(state.arrays)

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray]) -> StainClassifier:
        """Rebuild from ``mean``, ``components`` and ``coefficients``; KeyError or ValueError if they do not fit."""
        mean, components, coefficients = (arrays[name] for name in ("mean", "components", "coefficients"))
        size, (length, _) = _PALETTE**3, components.shape
        shapes = [mean.shape, components.shape, coefficients.shape]
        if shapes != [(size,), (length, size), (3, len(_terms(np.zeros((3, 1)))), 1 + length)]:
            raise ValueError(f"a stain classifier cannot have arrays of the shapes {shapes}")
        return cls(*(array.astype(np.float64) for array in (mean, components, coefficients)))


@cache
def bundled_classifier() -> StainClassifier:
    """The classifier that comes with the package, trained on synthetic tissue of many random centers."""
    return StainClassifier.load(BUNDLED)


def _palette_histogram(histogram: ColorHistogram) -> np.ndarray:
    """Square roots of the frequencies of the colors of a palette, ``(512,)``: rare colors, too, show the staining."""
    red, green, blue = np.rint(histogram.colors * 255).astype(np.intp) // (256 // _PALETTE)
    index = (red * _PALETTE + green) * _PALETTE + blue
    counts = np.bincount(index, histogram.counts, minlength=_PALETTE**3)
    return np.asarray(np.sqrt(counts / histogram.total))


def _terms(colors: np.ndarray) -> np.ndarray:
    """1, and the products of up to two optical densities of each color, ``(10, K)``."""
    r, g, b = SPACE.from_rgb(colors)
    return np.stack([np.ones_like(r), r, g, b, r * r, g * g, b * b, r * g, r * b, g * b])
