"""Every Python block of README and docs runs, page by page, with what their readers are supposed to have at hand."""

import ast
import inspect
import re
from pathlib import Path

import numpy as np
import pytest
import slide_files
from conftest import TINY

import stainxform as sx
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.normalizers.registry import normalizer_class
from stainxform.samples import pair
from stainxform.slides import READERS

torch = pytest.importorskip("torch")

ROOT = Path(__file__).parents[1]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
NEEDS = {"torchvision": "torchvision", "monai": "monai", "albumentations": "albumentations", "onnx": "onnxscript"}
"""A block that imports the one is skipped where the other does not import."""


def blocks(page):
    return BLOCK.findall(page.read_text())


OWN_TESTS = {"write_your_own.md"}
"""Pages that register something, which a test of theirs takes back."""

PAGES = [
    page
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if blocks(page) and page.name not in OWN_TESTS
]


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
    for copy in ("slide_17", "train", "more_of_center_b"):
        (folder / copy).symlink_to(folder / "center_b")
    slide_files.write(folder / "slide.svs", np.tile(slide_files.tissue(520, 940), (10, 10, 1)), levels=4)
    return folder


def write(path, tile):
    from PIL import Image

    Image.fromarray(tile).save(path)


GLASS = np.full((64, 64, 3), 245, np.uint8)

_fit_center = sx.fit_center


def fitting(images=None, method="transport", **settings):
    """``fit_center`` with every setting that a page says, but for fewer ``steps``; what it leaves open is quick."""
    check_settings(method, settings)
    quick = TINY.get(method, {})
    fewer = {"steps": min(settings["steps"], quick["steps"])} if "steps" in settings else {}
    return _fit_center(images, method, **(quick | settings | fewer))


def check_settings(method, settings):
    """The method has each of the settings, and their values make sense: that comes before the one blank tile does."""
    of_the_fit = {name: value for name, value in settings.items() if name not in {"slides", "sampling"}}
    with pytest.raises(NotEnoughTissueError, match="none of the 1 tiles"):
        _fit_center(GLASS, method, **of_the_fit)


def test_a_page_is_run_with_what_it_says(monkeypatch):
    ran = []
    monkeypatch.setitem(globals(), "check_settings", lambda *_: None)
    monkeypatch.setitem(globals(), "_fit_center", lambda images, method, **settings: ran.append(settings))
    fitting("center_a/", "staingan", source="center_b/", width=16, crop=128, steps=2000, workdir="runs")
    fitting("center_a/", "macenko", alpha=2)
    assert ran[0] == TINY["staingan"] | {"source": "center_b/", "width": 16, "crop": 128, "workdir": "runs"}
    assert ran[0]["steps"] < 2000
    assert ran[1] == {"alpha": 2}


@pytest.mark.parametrize(
    ("method", "wrong"),
    [("macenko", {"steps": 2000}), ("macenko", {"alpha": -1}), ("stainlut", {"steps": 0}), ("stainlut", {"stepz": 1})],
)
def test_a_page_cannot_name_a_setting_that_is_none(method, wrong):
    with pytest.raises(ParameterError, match=next(iter(wrong))):
        fitting(GLASS, method, **wrong)


METHOD_PAGES = [page for page in sorted((ROOT / "docs" / "methods").glob("*.md")) if page.stem in sx.methods()]
ROW = re.compile(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", re.MULTILINE)
INLINE = re.compile(r"`[^`\n]*`")
SAID = re.compile(r"\b(\w+)=(\"[^\"]*\"|True|False|None|-?[\d.]+(?:e-?\d+)?)")


@pytest.mark.parametrize("page", METHOD_PAGES, ids=lambda page: page.stem)
def test_a_page_names_settings_of_its_method_with_their_defaults(page):
    known = inspect.signature(normalizer_class(page.stem).Settings).parameters
    table = page.read_text().partition("\n| parameter | default |")[2].partition("\n\n")[0]
    for names, defaults in ROW.findall(table):
        names = [name.strip("`") for name in names.split(", ")]
        assert set(names) <= set(known)
        for name, default in zip(names, defaults.split(", "), strict=True):
            value = literal(default.strip("`"))
            assert value is NotImplemented or value == known[name].default, f"{name}={known[name].default!r}"


@pytest.mark.parametrize("page", METHOD_PAGES, ids=lambda page: page.stem)
def test_settings_in_the_text_of_a_page_have_legal_values(page):
    known = inspect.signature(normalizer_class(page.stem).Settings).parameters
    text = BLOCK.sub("", page.read_text())
    for code in INLINE.findall(text):
        for name, value in SAID.findall(code):
            if name in known:
                check_settings(page.stem, TINY.get(page.stem, {}) | {name: literal(value)})


def literal(text):
    """The value that a table shows, or NotImplemented where it is said in words."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return NotImplemented


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
    with READERS.temporarily():  # what a page registers ends with it
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


def of_torchvision(names):
    """What the pages' torchvision transforms are given beside an image."""
    if not importable("torchvision.tv_tensors"):
        return {}
    from torchvision import tv_tensors

    height, width = names["image"].shape[:2]
    boxes = tv_tensors.BoundingBoxes([[1, 2, 9, 12]], format="XYXY", canvas_size=(height, width))
    return {"boxes": boxes, "mask": tv_tensors.Mask(torch.zeros(height, width))}


PAGE_NAMES = {
    "README.md": of_torchvision,
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
