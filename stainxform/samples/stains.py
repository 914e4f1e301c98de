"""How much hematoxylin and eosin what was drawn takes."""

from __future__ import annotations

import numpy as np

from stainxform.samples.fields import Floats, ramp, smooth_noise
from stainxform.samples.nuclei import Cells, Nuclei

__all__ = ["stain"]


def stain(
    rng: np.random.Generator,
    strands: Floats,
    depth: Floats,
    epithelium: Floats,
    nuclei: Nuclei,
    cells: Cells,
    blood: Floats,
) -> Floats:
    """Concentrations of hematoxylin and eosin."""
    shape = depth.shape
    foam = smooth_noise(rng, shape, 3)
    body = ramp(cells.reach, 2.2, 1.2)
    membrane = ramp(cells.rival - cells.reach, 0.22, 0) * ramp(cells.rival, 2.3, 1.9)

    eosin = 0.42 + 0.09 * foam + 0.18 * membrane
    hematoxylin = 0.2 + 0.05 * foam + 0.06 * membrane
    if len(nuclei.y):
        eosin *= 1 + body * (nuclei.appetite[cells.owner] - 1)
    collagen = 0.56 * (0.2 + 0.8 * ramp(strands, -2.4, -0.6)) * (1 + 0.2 * strands) + 0.05 * foam + 0.1 * body
    eosin = collagen + epithelium * (eosin - collagen) + 0.4 * epithelium * (1 - epithelium)
    ground = 0.05 + 0.08 * body
    hematoxylin = ground + epithelium * (hematoxylin - ground)

    edge = 0.1 + 1.05 * ramp(depth, 0, 0.2) - 0.15 * ramp(depth, 0.2, 0.5)
    eosin, hematoxylin = eosin * edge, hematoxylin * edge
    if len(nuclei.y):
        _stain_nuclei(rng, nuclei, cells, hematoxylin, eosin)
    eosin += blood * (1.25 - eosin)
    hematoxylin *= 1 - blood
    thickness = np.exp(0.08 * smooth_noise(rng, shape, 150))
    stains: Floats = np.maximum(np.stack([hematoxylin, eosin]) * thickness, 0)
    return stains


def _stain_nuclei(rng: np.random.Generator, nuclei: Nuclei, cells: Cells, hematoxylin: Floats, eosin: Floats) -> None:
    """Paint chromatin, rim and nucleoli into the two maps."""
    at = np.nonzero(cells.reach < 1.2)
    owner, reach = cells.owner[at], cells.reach[at]
    count = len(nuclei.y)
    grain = smooth_noise(rng, (320, 320), 2) + 0.8 * smooth_noise(rng, (320, 320), 4.5)
    corner = (np.stack([nuclei.y, nuclei.x]) - rng.uniform(80, 240, (2, count))).astype(np.intp)
    vesicular, radius = nuclei.vesicular[owner], np.sqrt(nuclei.long * nuclei.short)[owner]
    inward = (1 - reach) * radius
    inside = ramp(inward / nuclei.focus[owner], -0.5, 0.5)
    clumps = grain[at[0] - corner[0][owner], at[1] - corner[1][owner]]
    rim = np.exp(-(((inward - 1.5) / 1.3) ** 2))

    size = np.where(nuclei.vesicular > 0.5, rng.uniform(1.2, 2.6, count), 0.01)
    offset = rng.normal(0, 0.25, (2, count)) * nuclei.short
    rows, columns = at[0] - (nuclei.y + offset[0])[owner], at[1] - (nuclei.x + offset[1])[owner]
    nucleolus = np.exp(-(rows**2 + columns**2) / (2 * size[owner] ** 2))

    dense = 1 + 0.12 * clumps
    pale = 0.55 + 0.2 * clumps + 0.5 * rim + 0.8 * nucleolus
    chromatin = nuclei.dark[owner] * np.maximum(dense + vesicular * (pale - dense), 0.1)
    hematoxylin[at] += inside * (chromatin - hematoxylin[at])
    eosin[at] *= 1 - 0.6 * inside
    eosin[at] += inside * 0.3 * nucleolus
