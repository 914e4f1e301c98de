"""Four data sets with nuclei at 0.5 um a pixel, each in two halves of whole groups, and in tested and other tiles.

What learns on one half is tested on the other; what calibrates is never a tested tile, unless a table says so.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
from nuclei_instances import parts
from nuclei_labs import FOLDS, SIDE, Lab, coventry, curie
from PIL import Image

from stainxform.io.images import read_image

TEST_TILES = 24
"""At most so many tiles of a data set are scored."""
STRIDE = 8
"""The network halves a tile three times."""


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set, or some tiles of it.

    Attributes
    ----------
    tiles : uint8 ``(n, H, W, 3)``.
    nuclei : int32 ``(n, H, W)``: 0 outside, another number for each nucleus.
    groups : the patient, image or block of each tile, ``(n,)``.
    half : 0 or 1, which half the group is in, ``(n,)``.
    tested : whether a tile is scored, ``(n,)``; the others may calibrate.
    """

    tiles: np.ndarray
    nuclei: np.ndarray
    groups: np.ndarray
    half: np.ndarray
    tested: np.ndarray

    @classmethod
    def of(cls, lab: Lab) -> DataSet:
        half = np.argmax([lab.test(fold) for fold in range(FOLDS)], axis=0)
        return cls(lab.tiles, lab.nuclei, np.array(lab.groups), half, _tested(lab.groups))

    def __getitem__(self, rows: np.ndarray) -> DataSet:
        return DataSet(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def test(self) -> DataSet:
        """What is scored."""
        return self[self.tested]

    @property
    def spare(self) -> DataSet:
        """What is not scored."""
        return self[~self.tested]

    def of_half(self, half: int) -> DataSet:
        """Tiles of half of the groups: what a network is taught, and its target is fitted on."""
        return self[self.half == half]


def _tested(groups: list[str]) -> np.ndarray:
    """Every second tile of a group at most: the first of each, then the third of each, and so on."""
    turn = np.array([groups[:i].count(group) for i, group in enumerate(groups)])
    order = [i for i in np.argsort(turn, kind="stable") if turn[i] % 2 == 0]
    return np.isin(np.arange(len(groups)), order[:TEST_TILES])


def _more(data: Path, name: str) -> Lab:
    """Tiles of one folder of ``nuclei_more``; larger images are cut in four."""
    folder = data / "nuclei_more"
    with (folder / "tiles.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["lab"] == name]
    tiles, nuclei, groups = [], [], []
    for row in rows:
        image = read_image(folder / name / "images" / row["file"])
        labels = parts(np.asarray(Image.open(folder / name / "masks" / row["file"]).convert("L")), 1)
        side = SIDE if labels.shape == (SIDE, SIDE) else min(labels.shape) // 2 // STRIDE * STRIDE
        for down, right in np.ndindex(labels.shape[0] // side, labels.shape[1] // side):
            window = np.s_[side * down : side * (down + 1), side * right : side * (right + 1)]
            tiles.append(image[window])
            nuclei.append(parts(labels[window]))
            groups.append(row["group"])
    return Lab(np.stack(tiles), np.stack(nuclei), groups)


def monuseg(data: Path) -> Lab:
    """MoNuSeg (Kumar et al., IEEE TMI 39(5), 2020): 15 patients of TCGA, several organs and many hospitals."""
    return _more(data, "monuseg")


def nuinsseg(data: Path) -> Lab:
    """NuInsSeg (Mahbod et al., Scientific Data 11, 2024): organs of human and mouse, Vienna; blocks are no patients."""
    return _more(data, "nuinsseg")


LOADERS: dict[str, Callable[[Path], Lab]] = {
    "tnbc": curie, "consep": coventry, "monuseg": monuseg, "nuinsseg": nuinsseg,
}  # fmt: skip
TITLES = {"tnbc": "TNBC", "consep": "CoNSeP", "monuseg": "MoNuSeg", "nuinsseg": "NuInsSeg"}
GROUPS = {"tnbc": "patients", "consep": "images", "monuseg": "patients", "nuinsseg": "blocks of tiles"}


def load(data: Path, name: str) -> DataSet:
    """A data set by name."""
    return DataSet.of(LOADERS[name](data))
