"""Tiles with nuclei of two labs, brought to one pixel size."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from nuclei_instances import parts
from PIL import Image

from stainxform.io.images import read_image

MPP = 0.5
"""Pixel size at which everything is done, in um: nominally 20x."""
SIDE = 256
CURIE_MPP = 0.25
"""Philips at 40x."""
COVENTRY_MPP = 0.275
"""Omnyx VL120 at 40x."""
PATCH = 256
PATCHES = [*np.ndindex(3, 3), (3, 0), (3, 1), (3, 2), (0, 3), (1, 3), (2, 3), (3, 3)]
"""Row and column of each patch of an image of Coventry: whole ones first, then those at its lower and right edge."""
FOLDS = 2


@dataclass(frozen=True, eq=False)
class Lab:
    """One lab.

    Attributes
    ----------
    tiles : uint8 ``(n, 256, 256, 3)`` at 0.5 um a pixel.
    nuclei : int32 ``(n, 256, 256)``: 0 outside, another number for each nucleus.
    groups : the patient of each tile; the image where patients are not told.
    """

    tiles: np.ndarray
    nuclei: np.ndarray
    groups: list[str]

    def test(self, fold: int) -> np.ndarray:
        """Which tiles are held out in a fold: groups are dealt to two halves, large ones first."""
        names = sorted(set(self.groups), key=lambda group: (-self.groups.count(group), group))
        return np.array([names.index(group) % FOLDS == fold for group in self.groups])


def curie(data: Path) -> Lab:
    """TNBC (Naylor et al., IEEE TMI 38(2), 2019): breast, Institut Curie, Paris; one folder for each patient."""
    tiles, nuclei, groups = [], [], []
    for path in sorted((data / "tnbc_curie" / "TNBC").glob("Slide_*/*.png")):
        mask = path.parents[1] / path.parent.name.replace("Slide", "GT") / path.name
        tile = read_image(path)
        size = [round(side * CURIE_MPP / MPP) for side in tile.shape[1::-1]]
        tiles.append(_resized(tile, size))
        nuclei.append(_instances(np.asarray(Image.open(mask).convert("L")), size))
        groups.append(path.parent.name)
    return Lab(np.stack(tiles), np.stack(nuclei), groups)


def coventry(data: Path) -> Lab:
    """CoNSeP (Graham et al., Medical Image Analysis 58, 2019): colon, UHCW, Coventry; 14 images of 1000 px.

    The 16 patches of an image are put together again; four tiles are cut from its middle.
    """
    folder = data / "consep_patches"
    images, types = folder / "images" / "test", folder / "seg_mask" / "test"
    names = sorted({path.stem.rpartition("_")[0] for path in images.glob("*.jpg")})
    tiles, nuclei, groups = [], [], []
    for name in names:
        numbers = [f"{name}_{i:03d}" for i in range(len(PATCHES))]
        whole = _joined([read_image(images / f"{number}.jpg") for number in numbers])
        kinds = _joined([np.asarray(Image.open(types / f"{number}.png")) for number in numbers])
        size = [round(side * COVENTRY_MPP / MPP) for side in whole.shape[1::-1]]
        start = (size[0] - 2 * SIDE) // 2
        image, labels = _resized(whole, size), _instances(kinds, size)
        for corner in np.ndindex(2, 2):
            window = tuple(slice(start + SIDE * i, start + SIDE * (i + 1)) for i in corner)
            tiles.append(image[window])
            nuclei.append(parts(labels[window]))
            groups.append(name)
    return Lab(np.stack(tiles), np.stack(nuclei), groups)


def _joined(patches: list[np.ndarray], side: int = 1000) -> np.ndarray:
    """The image whose patches these are; the last row and column overlap their neighbors."""
    whole = np.empty((side, side, *patches[0].shape[2:]), patches[0].dtype)
    for place, patch in zip(PATCHES, patches, strict=True):
        row, column = (min(PATCH * i, side - PATCH) for i in place)
        whole[row : row + PATCH, column : column + PATCH] = patch
    return whole


def _resized(image: np.ndarray, size: list[int], resampling: Image.Resampling = Image.Resampling.BICUBIC) -> np.ndarray:
    return np.asarray(Image.fromarray(image).resize(tuple(size), resampling))


def _instances(mask: np.ndarray, size: list[int]) -> np.ndarray:
    """Connected parts of one value, which is all that these masks tell about nuclei that touch."""
    return parts(_resized(parts(mask, 1), size, Image.Resampling.NEAREST))


LABS = {"curie": curie, "coventry": coventry}
TITLES = {"curie": "TNBC (Curie, Paris)", "coventry": "CoNSeP (Coventry)"}
