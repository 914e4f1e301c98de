"""Normalizers: a method is a file, or a room if it learns; :mod:`.registry` has the table of methods.

What a normalizer of your own needs can be imported from here; *Write your own* in the docs shows one.
"""

from stainxform.image.histogram import ColorHistogram
from stainxform.io.settings import Settings
from stainxform.normalizers.base import CenterInfo, Normalizer, PointwiseNormalizer, fitted

__all__ = ["CenterInfo", "ColorHistogram", "Normalizer", "PointwiseNormalizer", "Settings", "fitted"]
