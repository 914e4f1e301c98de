"""Every Python block of README and docs runs, page by page, with what their readers are supposed to have at hand."""

import re
from pathlib import Path

import numpy as np
import pytest
import slide_files
from conftest import TINY

import stainxform as sx
from stainxform.samples import pair

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS = {"torchvision": "torchvision", "monai": "monai", "albumentations": "albumentations", "onnx": "onnxscript"}
"""A block that imports the one is skipped where the other does not import."""


def blocks(page):
    return BLOCK.findall(page.read_text())


PAGES = [page for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))) if blocks(page)]


@pytest.fixture(scope="module")
def center_files(tmp_path_factory):
    """Folders of tiles, and models of both centers."""
    folder = tmp_path_factory.mktemp("docs")
    for name, tiles in zip(("center_a", "center_b"), pair(3, 96, seed=1)):
        (folder / name).mkdir()
        for number, tile in enumerate(tiles):
            write(folder / name / f"{number}.png", tile)
        fitted = fitting(folder / name, "stainlut")
        for model in (name, "stainlut"):
            fitted.save(folder / f"{model}.safetensors")
        fitting(folder / name, "macenko").save(folder / f"macenko{name.removeprefix('center')}.safetensors")
    (folder / "slides").mkdir()
    slide_files.write(folder / "slides" / "one.tif", slide_files.tissue(300, 600))
    for copy in ("slide_17", "train"):
        (folder / copy).symlink_to(folder / "center_b")
    slide_files.write(folder / "slide.svs", np.tile(slide_files.tissue(520, 940), (10, 10, 1)), levels=4)
    return folder


def write(path, tile):
    from PIL import Image

    Image.fromarray(tile).save(path)


def fitting(images=None, method="stainlut", **settings):
    """``fit_center`` of few steps."""
    quick = {name: value for name, value in TINY.get(method, {}).items() if name not in settings or name == "steps"}
    settings = {name: value for name, value in settings.items() if name != "steps" and name not in quick}
    return _fit_center(images, method, **settings, **quick)


_fit_center = sx.fit_center


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_blocks_of_a_page_run(page, center_files, tmp_path, monkeypatch):
    for entry in center_files.iterdir():
        (tmp_path / entry.name).symlink_to(entry)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sx, "fit_center", fitting)
    images = pair(12, 64, seed=1)[1]
    names = {
        "sx": sx, "np": np, "torch": torch, "image": images[0], "images": images, "tiles": images,
        "some_tiles": images, "paths": sorted((center_files / "center_b").iterdir()),
        "backbone": torch.nn.Flatten(), "labels": stain_labels(images),
    }  # fmt: skip
    names |= PAGE_NAMES.get(page.name, lambda names: {})(names)
    ran = 0
    for block in blocks(page):
        lacking = [needed for word, needed in NEEDS.items() if word in block and not importable(needed)]
        if not lacking:
            exec(compile(block, str(page), "exec"), names)
            ran += 1
    if not ran:
        pytest.skip("no block of this page can run here")


def stain_labels(images):
    """Roughly: 2 on glass, elsewhere 1 where much red is left (eosin), 0 where hematoxylin took it away."""
    tissue = np.array([sx.tissue_mask(image) for image in images])
    return np.where(tissue, images[..., 0] > np.median(images[tissue][:, 0]), 2)


def importable(package):
    try:
        __import__(package)
    except Exception:
        return False
    return True


PAGE_NAMES = {
    "evaluate.md": lambda names: {
        "slides_of_a": [0, 1, 1], "slides_of_b": [0, 1, 1], "patients": [0, 0, 1],
        "masks": [(names["labels"][i] == 0, names["labels"][i] < 2) for i in range(3)],
    },
    "testing.md": lambda names: {"MyTransform": sx.Macenko},
    "deployment.md": lambda names: {
        "images": torch.from_numpy(names["images"]).movedim(-1, 1) / 255, "center": fitting("center_a", "macenko"),
    },
}  # fmt: skip
"""What a page means by a name, where it means something else than the others."""
