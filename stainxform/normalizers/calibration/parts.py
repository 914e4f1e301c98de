"""What is known of some tiles of another center: it merges, so that a calibration can grow."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.image.moments import Moments
from stainxform.image.tissue_color import TissueColor

__all__ = ["Part"]


@dataclass(frozen=True, eq=False)
class Part:
    """Statistics of some tiles.

    Parameters
    ----------
    tissue : TissueColor
        Color of their tissue, for any method: how much groups differ, what is far from the target.
    summary : Summary or None
        What the method makes its map from; None if it is not kept.
    """

    tissue: TissueColor
    summary: Any = None

    @classmethod
    def merge(cls, parts: Iterable[Part]) -> Part:
        """Of all the tiles together; the summary is lost where a part has none."""
        found = list(parts)
        summaries = [part.summary for part in found]
        lost = not found or any(summary is None for summary in summaries)
        return cls(
            TissueColor.merge(part.tissue for part in found), None if lost else type(summaries[0]).merge(summaries)
        )

    @property
    def tiles(self) -> int:
        """How many tiles with tissue."""
        return self.tissue.tiles.count

    def pack(self, prefix: str, arrays: dict[str, np.ndarray], colors: bool) -> dict[str, Any]:
        """Put its arrays, by names with this prefix, and give back what JSON holds; counted colors only if asked."""
        packed: dict[str, Any] = {"tissue": self.tissue.numbers()}
        if self.summary is not None and (colors or not isinstance(self.summary, ColorHistogram)):
            packed["summary"] = type(self.summary).__name__
            arrays |= {f"{prefix}/{name}": array for name, array in self.summary.arrays().items()}
        return packed

    @classmethod
    def unpack(cls, packed: dict[str, Any], prefix: str, arrays: dict[str, np.ndarray]) -> Part:
        """Rebuild from :meth:`pack`; KeyError, TypeError or ValueError for anything else: it comes from a file."""
        tissue, name = TissueColor.from_numbers(packed["tissue"]), packed.get("summary")
        if name is None:
            return cls(tissue)
        own = {key.removeprefix(f"{prefix}/"): array for key, array in arrays.items() if key.startswith(f"{prefix}/")}
        return cls(tissue, _kind(name).from_arrays(own))


def _kind(name: str) -> Any:
    if name == "OffsetSum":
        from stainxform.normalizers.colornormnet.normalizer import OffsetSum

        return OffsetSum
    return {"ColorHistogram": ColorHistogram, "Moments": Moments}[name]
