"""Stain matrices: published ones, estimation from colors, separation into amounts, and what they say of a tile.

>>> from stainxform.stains import estimate
>>> estimate(ColorHistogram.of(image), "macenko").stain_matrix  # doctest: +SKIP
"""

from stainxform.stains.classifier import StainClassifier
from stainxform.stains.estimate import ESTIMATORS, estimate, register_estimator
from stainxform.stains.estimator import StainEstimator, Stains

__all__ = ["ESTIMATORS", "StainClassifier", "StainEstimator", "Stains", "estimate", "register_estimator"]
