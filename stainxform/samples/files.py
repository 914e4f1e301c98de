"""The tiles of a center as files."""

from __future__ import annotations

from pathlib import Path

from stainxform.samples.arguments import Size, count_of, height_width
from stainxform.samples.centers import Center, center_of
from stainxform.samples.drawing import tissue
from stainxform.samples.rendering import noise_seed, render

__all__ = ["write_center"]


def write_center(
    folder: str | Path, center: Center | str, n: int = 8, size: Size = 256, seed: int = 0, **options: float
) -> list[Path]:
    """Write the tiles that ``pair`` would return for one center as PNG files.

    Two centers written with the same ``n``, ``size`` and ``seed`` show the same tissue, file by file.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; files of the same name are overwritten.
    center : Center or str
        As in ``pair``.
    n : int, optional
        As in ``pair``.
    size : int or (int, int), optional
        As in ``pair``.
    seed : int, optional
        As in ``pair``.
    **options : float
        As in ``pair``.

    Returns
    -------
    list of Path
        tile_000.png, tile_001.png and so on, in ``folder``.

    Raises
    ------
    ParameterError
        As in ``pair``.
    """
    from PIL import Image

    folder, center, count, size = Path(folder), center_of(center), count_of(n), height_width(size)
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"tile_{k:03}.png" for k in range(count)]
    for k, path in enumerate(paths):
        slide = tissue(size, seed=(seed, k), **options)
        Image.fromarray(render(slide, center, seed=noise_seed(seed, k, center))).save(path)
    return paths
