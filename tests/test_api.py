"""The public names, and that each one is documented: a change here is a change for users."""

import ast
import sys
from pathlib import Path

import pytest

import stainxform as sx
from stainxform.errors import MissingDependencyError

PACKAGE = Path(sx.__file__).parent

NAMES = [
    "ColorMap",
    "ColorNormNet",
    "HistogramMatching",
    "Khan",
    "Lut3DMap",
    "Macenko",
    "Method",
    "Normalizer",
    "Ramakrishnan",
    "Reinhard",
    "ReinhardModified",
    "StainGAN",
    "StainLUT",
    "StainNet",
    "Vahadane",
    "__version__",
    "background_intensity",
    "bake",
    "bake_center",
    "bake_error",
    "combine_stains",
    "complement_stains",
    "estimate_stain_matrix",
    "fit_center",
    "load",
    "match_stains",
    "methods",
    "normalize_slides",
    "open_slide",
    "read_cube",
    "reference_stains",
    "register",
    "separate_stains",
    "set_threads",
    "slide_map",
    "tissue_mask",
    "write_cube",
]


def test_the_public_names():
    assert sorted(sx.__all__) == NAMES
    assert dir(sx) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_can_be_had(name):
    try:
        assert getattr(sx, name) is not None
    except MissingDependencyError as error:
        pytest.skip(str(error))


def test_a_name_that_needs_an_extra_names_it(monkeypatch):
    for loaded in ("torch", "stainxform.normalizers.stainlut.normalizer"):
        monkeypatch.delitem(sys.modules, loaded, raising=False)
    monkeypatch.delitem(vars(sx), "StainLUT", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[torch\]'"):
        sx.StainLUT  # noqa: B018


def test_another_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'Vahadene'"):
        sx.Vahadene  # noqa: B018


def public_definitions(node, prefix):
    """Public functions and classes with their public methods, as (dotted name, definition)."""
    for child in node.body:
        if isinstance(child, ast.FunctionDef | ast.ClassDef) and not child.name.startswith("_"):
            yield f"{prefix}.{child.name}", child
            if isinstance(child, ast.ClassDef):
                yield from public_definitions(child, f"{prefix}.{child.name}")


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_every_module_and_public_definition_has_a_docstring(path):
    tree = ast.parse(path.read_text())
    assert ast.get_docstring(tree), f"{path} has no docstring"
    missing = [name for name, node in public_definitions(tree, path.stem) if not ast.get_docstring(node)]
    assert not missing
