"""Quality control of a center's training tiles: blank, black, inked, saturated, blurred, folded, stained unlike the rest."""

from stainxform.quality.control import FAULTS, Limits, QualityReport, TileQuality, check_quality
from stainxform.quality.sheet import write_sheet

__all__ = ["FAULTS", "Limits", "QualityReport", "TileQuality", "check_quality", "write_sheet"]
