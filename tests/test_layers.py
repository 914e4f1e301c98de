"""Dependencies point one way, and importing the package loads numpy only."""

import subprocess
import sys

import pytest
from rooms import PACKAGE, House, circles, room

import stainxform as sx

LAYERS = [
    {"_version", "errors"},
    {"_optional", "_plugins"},
    {"_torch", "color"},
    {"_native"},
    {"image", "ops"},
    {"io"},
    {"learning", "modelfile", "stains"},
    {"maps", "quality"},
    {"slides", "tiling"},
    {"normalizers"},
    {"augment", "evaluate", "nn", "pipeline", "samples"},
    {"_hosts", "onnx", "report"},
    {"albumentations", "cli", "monai", "testing", "torchvision"},
    {"__main__"},
]
"""The rooms, from the ground: a room imports only from layers below its own. ``python tests/rooms.py`` counts."""

HEAVY = {
    "torch",
    "triton",
    "monai",
    "albumentations",
    "skimage",
    "scipy",
    "PIL",
    "safetensors",
    "rich",
    "typer",
    "tifffile",
    "imagecodecs",
    "openslide",
    "cucim",
    "cv2",
    "distributed",
    "zarr",
    "torchvision",
    "onnx",
    "onnxscript",
    "sklearn",
    "umap",
    "hypothesis",
}

LEARNED = {
    method.path.removeprefix("stainxform.").replace(".", "/").partition(":")[0]: bool(method.needs)
    for method in sx.methods().values()
    if method.extra == "torch" and method.path.startswith("stainxform.")
}
"""Files of learned normalizers, and whether they load torch when they are imported."""

HOUSE = House()
MAY_IMPORT_AT_THE_TOP = {
    "torch": (
        "_torch.py",
        "ops/",
        "learning/",
        "nn/",
        "monai/",
        "torchvision/",
        "normalizers/network.py",
        *(f.rpartition("/")[0] + "/" for f in LEARNED),
    ),
    "triton": ("ops/triton_kernels",),
    "monai": ("monai/",),
    "albumentations": ("albumentations/",),
    "torchvision": ("torchvision/",),
    "PIL": ("torchvision/",),
    "typer": ("cli/",),
    "hypothesis": ("testing/",),
}
"""Heavy packages, and how the names of the files begin that load them when imported."""

MAY_NOT = {f"{file}.py" for file, loads_torch in LEARNED.items() if not loads_torch}

every_file = pytest.mark.parametrize("file", HOUSE.files)
FACADE = "__init__.py"


def layer(name):
    found = [rank for rank, names in enumerate(LAYERS) if name in names]
    assert found, f"stainxform.{name} has no layer: give it one in this test"
    return found[0]


@pytest.mark.parametrize("file", [file for file in HOUSE.files if file != FACADE])
def test_dependencies_point_one_way(file):
    own = room(file)
    for one in HOUSE.imports(file):
        if one.module.startswith("stainxform.") and not one.for_types:
            below = one.arrow[1]
            assert below == own or layer(below) < layer(own), f"{file} imports {one.module}, which lies above or beside"


def test_every_layer_holds_rooms_that_are_there():
    named = [name for names in LAYERS for name in names]
    assert sorted(named) == sorted({room(file) for file in HOUSE.files} - {"__init__"})


def test_no_circles():
    assert circles(HOUSE.arrows()) == []


def test_a_circle_is_found():
    assert circles({("a", "b"), ("b", "c"), ("c", "b")}) == [["b", "c"]]


def test_the_house_stays_small():
    assert len(HOUSE.entries) <= 34
    assert len(HOUSE.arrows(for_types=True)) < 200


def test_the_facade_imports_lazily():
    assert [one.module for one in HOUSE.imports(FACADE) if not one.lazy and one.module.startswith("stainxform")] == []


@every_file
def test_heavy_packages_are_imported_when_used(file):
    for one in HOUSE.imports(file):
        package = one.module.partition(".")[0]
        if package in HEAVY and not one.lazy and not one.for_types:
            allowed = file.startswith(MAY_IMPORT_AT_THE_TOP.get(package, "never")) and file not in MAY_NOT
            assert allowed, f"{file} imports {one.module} at its top"


def loaded_after(statement):
    code = f"import sys; {statement}; print(*sorted({{name.partition('.')[0] for name in sys.modules}}))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent)
    return set(run.stdout.split())


def test_importing_the_package_loads_numpy_at_most():
    assert not loaded_after("import stainxform") & HEAVY


def test_methods_without_extras_are_imported_and_run_without_heavy_packages():
    run = (
        "import numpy as np; import stainxform as sx; from stainxform.normalizers.registry import normalizer_class;"
        "[normalizer_class(name) for name, method in sx.methods().items() if not method.needs];"
        "image = np.random.default_rng(0).integers(20, 220, (16, 16, 3), dtype=np.uint8);"
        "sx.fit_center([image], 'reinhard')(image); sx.Macenko()(image); sx.tissue_mask(image)"
    )
    assert not loaded_after(run) & HEAVY
