"""The public names, and that each one is documented: a change here is a change for users."""

import ast
import configparser
import contextlib
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import public_api
import pytest

import stainxform as sx
from stainxform.errors import MissingDependencyError

PACKAGE = Path(sx.__file__).parent


def modules():
    """Every public module that the installed extras allow, by name."""
    names = {"stainxform"} | {
        found.name for found in pkgutil.walk_packages(sx.__path__, "stainxform.", lambda name: None)
    }
    for name in sorted(names):
        if not any(part.startswith("_") for part in name.split(".")):
            with contextlib.suppress(MissingDependencyError):
                yield name, importlib.import_module(name)


def test_the_public_names_are_those_of_the_committed_list():
    """Other names are a change for users: rewrite the list with the command in its first line, and look at the diff."""
    run = subprocess.run([sys.executable, public_api.__file__, "--print"], capture_output=True, text=True, check=True)
    assert run.stdout == public_api.FILE.read_text()


def test_every_public_name_can_be_had():
    found = dict(modules())
    documented = public_api.read(public_api.FILE.read_text())
    assert documented.keys() >= {"stainxform", "stainxform.monai", "stainxform.errors"}
    for name, module in found.items():
        public = module.__all__
        assert len(set(public)) == len(public), name
        for attribute in public:
            with contextlib.suppress(MissingDependencyError):
                assert getattr(module, attribute) is not None, f"{name}.{attribute}"
        if name in documented:
            assert set(documented[name]) <= set(public), name


def test_every_public_name_of_the_package_is_in_its_stub():
    tree = ast.parse((PACKAGE / "__init__.pyi").read_text())
    named = {alias.asname for node in tree.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert sorted(named) == sorted(sx.__all__) == dir(sx)
    assert {method.path.rpartition(":")[2] for method in sx.methods().values()} <= named


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


def test_the_stubs_are_installed_with_the_package():
    """attach_stub reads the one beside ``__init__.py``."""
    configured = configparser.ConfigParser()
    configured.read(PACKAGE.parent / "setup.cfg")
    patterns = configured["options.package_data"]["stainxform"].split(", ")
    shipped = {path for pattern in patterns for path in PACKAGE.glob(pattern)}
    assert set(PACKAGE.rglob("*.pyi")) <= shipped


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
