"""Micrometers per pixel, from what files say: units converted, and nothing believed that no microscope does."""

from __future__ import annotations

import logging
import math
import re
from pathlib import Path
from typing import Any

__all__ = ["COARSEST_TAG", "SQUARE", "UNITS", "believed", "from_aperio", "from_tags", "micrometers", "number"]

SQUARE = 1.25
"""Pixels whose sides differ by a larger factor are no microscope's."""

COARSEST_TAG = 10.0
"""Micrometers per pixel that TIFF's own tags are believed up to: a 1x objective. Coarser ones are those of prints and
screens: 300 dots per inch are 85 micrometers."""

_PREFIXES = {
    "Y": 24, "Z": 21, "E": 18, "P": 15, "T": 12, "G": 9, "M": 6, "k": 3, "h": 2, "da": 1, "": 0, "d": -1, "c": -2, "m": -3,
    "\u00b5": -6, "\u03bc": -6, "\u00c2\u00b5": -6, "\u00ce\u00bc": -6, "u": -6, "n": -9, "p": -12, "f": -15, "a": -18, "z": -21, "y": -24,
}  # fmt: skip

UNITS = {f"{prefix}m": 10.0 ** (power + 6) for prefix, power in _PREFIXES.items()} | {
    "\u00c5": 1e-4, "\u212b": 1e-4,
    "thou": 25.4, "li": 25400 / 12, "in": 25400.0, "inch": 25400.0, "ft": 304800.0, "yd": 914400.0, "mi": 1.609344e9,
    "ua": 1.495978707e17, "ly": 9.4607304725808e21, "pc": 3.0856775814913673e22, "pt": 25400 / 72,
    "micron": 1.0, "microns": 1.0,
}  # fmt: skip
"""Micrometers of the lengths in OME's schema 2016-06 (UnitsLength), by symbol: SI with both letters for micro, also as
they look where UTF-8 was taken for Latin-1; Å as a letter and as a sign; inches, lines, points and the like. "pixel" and "reference frame" are no lengths."""

_log = logging.getLogger("stainxform.slides")


def micrometers(value: str | None, unit: str | None) -> float | None:
    """A length of OME-XML in micrometers, which is the unit where none is named; NaN where it makes no sense."""
    if value is None:
        return None
    found = number(value)
    return math.nan if found is None else found * UNITS.get((unit or "\u00b5m").strip(), math.nan)


def number(text: str) -> float | None:
    """A decimal number, with a point or, as some scanners write it, a comma."""
    try:
        return float(text.strip().replace(",", ".") if "." not in text else text)
    except ValueError:
        return None


def believed(path: Path, x: float | None, y: float | None, source: str) -> tuple[float, float] | None:
    """Micrometers per pixel along (x, y), if a microscope may have them; one side alone stands for both.

    What is not believed is said in the log: the slide then has no resolution, rather than a wrong one.
    """
    if x is None and y is None:
        return None
    x, y = (y if x is None else x), (x if y is None else y)
    assert x is not None
    assert y is not None
    if min(x, y) > 0 and max(x, y) <= SQUARE * min(x, y):  # False for NaN
        return x, y
    said = "no length" if math.isnan(x + y) else f"{x:g} x {y:g} micrometers"
    _log.warning("%s: the resolution in %s, %s, is not believed", path, source, said)
    return None


def from_aperio(path: Path, text: str) -> tuple[tuple[float, float] | None, float | None]:
    """Resolution and magnification in the description of an Aperio slide."""
    mpp, magnification = (_field(name, text) for name in ("MPP", "AppMag"))
    return believed(path, mpp, mpp, "its description"), magnification


def _field(name: str, text: str) -> float | None:
    found = re.search(rf"\b{name}\s*=\s*([\d.,]+(?:[eE][+-]?\d+)?)", text)
    return number(found[1].rstrip(".,")) if found else None


def from_tags(path: Path, page: Any) -> tuple[float, float] | None:
    """Resolution in the TIFF tags; ImageJ names its unit in the description."""
    text = page.description or ""
    unit = re.search(r"^unit=(.+)$", text, re.M) if text.startswith("ImageJ=") else None
    scale = {2: 25400.0, 3: 10000.0}.get(int(page.resolutionunit or 0))
    if unit:
        scale = UNITS.get(unit[1].strip().replace("\\u00B5", "\u00b5"))
    try:
        x, y = (float(value) for value in page.resolution)
    except (ArithmeticError, TypeError, ValueError):
        return None
    if not scale or not x > 0 or not y > 0:
        return None
    if max(scale / x, scale / y) > COARSEST_TAG:
        _log.info("%s: the resolution in its tags is that of a print or screen", path)
        return None
    return believed(path, scale / x, scale / y, "its TIFF tags")
