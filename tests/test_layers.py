"""Dependencies point one way, and importing the package loads numpy only."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import stainxform as sx

PACKAGE = Path(__file__).parents[1] / "stainxform"

LAYERS = [
    {"errors", "_version"},
    {"_optional", "native", "settings"},
    {"color"},
    {"kernels"},
    {"images", "separation", "interpolation"},
    {"blank"},
    {"histogram"},
    {"tissue", "background", "densities"},
    {"maps", "stains", "modelfile", "references"},
    {"factorization", "classifier", "color_features", "tiling"},
    {"files"},
    {"sources"},
    {"slides"},
    {"quality", "outputs"},
    {"ops"},
    {"lut3d"},
    {"nets"},
    {"train"},
    {"normalizers"},
    {"center", "stain_tools"},
    {"pipeline"},
    {"augment"},
    {"_hosts", "_augment_hosts"},
    {"monai_augment", "monai_slides", "albumentations_augment"},
    {"nn"},
    {"monai", "albumentations", "torchvision", "onnx", "evaluate", "samples"},
    {"demo", "testing", "report"},
    {"cli"},
    {"__main__"},
]
"""A module imports only from layers above its own; the files of one folder may import one another."""

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

WITHOUT_EXTRAS = {method.path.partition(":")[0] for method in sx.methods().values() if not method.needs}
NETWORKS = tuple(
    f"normalizers/{path.name}"
    for path in (PACKAGE / "normalizers").glob("*.py")
    if path.stem not in ("__init__", "base", "registry") and f"stainxform.normalizers.{path.stem}" not in WITHOUT_EXTRAS
)

MAY_IMPORT_AT_THE_TOP = {
    "torch": ("ops/", "nets/", "train/", "nn/", "monai", "torchvision", *NETWORKS),
    "triton": ("ops/triton_kernels",),
    "monai": ("monai",),
    "albumentations": ("albumentations",),
    "torchvision": ("torchvision",),
    "PIL": ("torchvision",),
    "typer": ("cli/",),
    "hypothesis": ("testing/",),
}
"""Heavy packages, and how the names of the files begin that load them when imported."""

FILES = sorted(path.relative_to(PACKAGE).as_posix() for path in PACKAGE.rglob("*.py"))
every_file = pytest.mark.parametrize("file", FILES)
FACADE = "__init__.py"


def unit(module):
    """``normalizers.base`` -> ``normalizers``."""
    return module.partition(".")[0].removesuffix(".py")


def layer(name):
    found = [rank for rank, names in enumerate(LAYERS) if name in names]
    assert found, f"stainxform.{name} has no place in the order of layers: give it one in this test"
    return found[0]


def home(name):
    """The module that ``from stainxform import name`` comes from."""
    return sx._LAZY.get(name, name).partition(":")[0]


def imports(file, at_the_top=False):
    """Names of the modules that a file imports, in full; for typing only ones are left out."""

    def visit(node):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            children = node.orelse
        elif at_the_top and isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            return
        else:
            children = list(ast.iter_child_nodes(node))
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute"
            yield from (
                [f"stainxform.{home(a.name)}" for a in node.names] if node.module == "stainxform" else [node.module]
            )
        for child in children:
            yield from visit(child)

    yield from visit(ast.parse((PACKAGE / file).read_text()))


@pytest.mark.parametrize("file", [file for file in FILES if file != FACADE])
def test_dependencies_point_one_way(file):
    own = unit(file.partition("/")[0])
    for module in imports(file):
        root, _, inside = module.partition(".")
        if root == "stainxform" and unit(inside) != own:
            assert layer(unit(inside)) < layer(own), f"{file} imports {module}, which lies above or beside it"


def test_the_facade_imports_lazily():
    eager = [module for module in imports(FACADE, at_the_top=True) if module.startswith("stainxform")]
    assert eager == ["stainxform._version"]


@every_file
def test_heavy_packages_are_imported_when_used(file):
    for module in imports(file, at_the_top=True):
        package = module.partition(".")[0]
        if package in HEAVY:
            assert file.startswith(MAY_IMPORT_AT_THE_TOP.get(package, "never")), f"{file} imports {module} at its top"


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
