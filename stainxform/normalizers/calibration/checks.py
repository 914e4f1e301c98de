"""What a calibration warns of: too little data, another stain, and nothing to do."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from stainxform.image.tissue_color import TissueColor
from stainxform.maps import IdentityMap
from stainxform.normalizers.calibration.certainty import difference, tissue_colors
from stainxform.normalizers.calibration.normalizer import CENTER, Calibration

__all__ = ["FAR_CENTER", "FAR_GROUP", "MIN_TILES", "NOTHING", "problems", "stain_angle"]

MIN_TILES = 10
"""Fewer tiles hardly tell a stain from what they happen to show."""

FAR_CENTER, FAR_GROUP = 20.0, 25.0
"""Degrees between mean optical densities beyond which tissue is hardly of the same stains. Of seven sets of H&E tiles no
two lie more than 16 degrees apart, and none of their slides more than 23 from another set; blue iron stain lies 34 to 48
from them, green ink 33 to 48. Brown immunostaining over hematoxylin cannot be told in this way: 4 to 19."""

NOTHING = 1.0
"""Mean CIEDE2000 below which a map changes nothing that could be seen."""

_NAMED = 3


def stain_angle(first: TissueColor, second: TissueColor) -> float:
    """Degrees between the mean optical densities of two tissues: independent of how strongly they are stained."""
    one, other = (
        tissue.pixels.mean / max(float(np.linalg.norm(tissue.pixels.mean)), 1e-9) for tissue in (first, second)
    )
    return float(np.degrees(np.arccos(np.clip(one @ other, -1, 1))))


def problems(calibration: Calibration) -> Iterator[str]:
    """One sentence for each thing that a user should know."""
    center, target = calibration.center, calibration.target_tissue
    if center.tiles < MIN_TILES:
        yield (
            f"{center.tiles} tiles with tissue are few to calibrate a center; take {MIN_TILES} or more, "
            "from several slides"
        )
    elif len(named := [name for name in calibration.parts if name != CENTER]) in (1, 2):
        yield f"{len(named)} groups are few: the map may be theirs rather than the center's; take more slides"
    if target is not None:
        angle = stain_angle(center.tissue, target)
        if angle > FAR_CENTER:
            yield (
                f"the tissue's color lies {angle:.0f} degrees from the target's: "
                "another stain, or ink? Colors cannot be made alike across stains"
            )
        else:
            far = [
                name
                for name, part in calibration.parts.items()
                if name != CENTER and part.tiles and stain_angle(part.tissue, target) > FAR_GROUP
            ]
            if far:
                shown = ", ".join(far[:_NAMED]) + (" and others" if len(far) > _NAMED else "")
                yield (
                    f"the tissue of {len(far)} of {len(calibration.groups)} groups ({shown}) lies more than {FAR_GROUP:.0f} "
                    "degrees from the target's color: another stain, or ink? Leave them out"
                )
    if calibration.settings.strength and center.tissue.pixels.count:
        colors = tissue_colors(center.tissue.pixels)
        changed = difference(calibration.closed_map_of(None), IdentityMap(), colors)
        if changed < NOTHING * calibration.settings.strength:
            yield f"the calibration changes colors by {changed:.2f} (CIEDE2000) on average: hardly anything to normalize"
