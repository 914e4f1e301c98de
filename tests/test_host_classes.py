"""The classes of the hosts follow from the registries, and so do the stubs in which editors find them."""

import ast
import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path

import pytest

import stainxform as sx
from stainxform.augment import AUGMENTATIONS
from stainxform.errors import MissingDependencyError

ROOT = Path(__file__).parents[1]
HOSTS = ["monai", "albumentations", "torchvision"]


def run(*command, paths=()):
    env = os.environ | {"PYTHONPATH": os.pathsep.join([*map(str, paths), *sys.path])}
    done = subprocess.run([sys.executable, *map(str, command)], capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(params=HOSTS)
def host(request):
    try:
        return importlib.import_module(f"stainxform.{request.param}")
    except MissingDependencyError as error:
        pytest.skip(str(error))


def stub_of(module):
    return ast.parse(Path(inspect.getfile(module)).with_suffix(".pyi").read_text())


def test_no_stub_is_stale():
    run(ROOT / ".ci" / "stubs.py", "--check")


def test_a_stub_names_what_the_host_has(host):
    (listed,) = (
        ast.literal_eval(n.value)
        for n in stub_of(host).body
        if isinstance(n, ast.Assign) and "__all__" in ast.unparse(n)
    )
    assert listed == sorted(host.__all__)
    assert set(host.__all__) <= set(dir(host))


def arguments(kind):
    """Of a class; Python 3.11.3 and older ask MONAI's ``__new__``, which says nothing, before ``__init__``."""
    if "__signature__" in vars(kind):
        return list(inspect.signature(kind).parameters.values())
    _, *found = inspect.signature(kind.__init__).parameters.values()
    return found


def test_a_stub_says_what_the_class_says(host):
    classes = [node for node in stub_of(host).body if isinstance(node, ast.ClassDef)]
    assert len(classes) >= len(sx.methods()) + len(AUGMENTATIONS)
    for node in classes:
        kind = getattr(host, node.name)
        assert ast.get_docstring(node) == inspect.getdoc(kind)
        assert [base.__name__ for base in kind.__bases__] == [ast.unparse(base) for base in node.bases]
        (init,) = (child for child in node.body if isinstance(child, ast.FunctionDef))
        scope = {}
        init.body, init.returns, init.decorator_list = [ast.Pass()], None, []
        tree = ast.Module([ast.ImportFrom("__future__", [ast.alias("annotations")], 0), init], [])
        exec(compile(ast.fix_missing_locations(tree), "stub", "exec"), scope)
        _, *stub = inspect.signature(scope["__init__"]).parameters.values()
        assert stub == arguments(kind), node.name


def test_every_class_says_that_it_lives_in_the_host(host):
    for name in host.__all__:
        if name != "WholeSlide":  # made for all readers of slides
            assert getattr(host, name).__module__ == host.__name__
            assert getattr(host, name) is getattr(host, name)


def test_no_names_of_others_leak(host):
    namespace = {}
    exec(f"from {host.__name__} import *", namespace)
    assert set(namespace) - {"__builtins__"} == set(host.__all__)
    assert not {"MapTransform", "Transform", "ImageOnlyTransform", "require", "attach"} & set(dir(host))


def test_other_names_are_attribute_errors(host):
    for name in ("Vahadene", "RandVahadene", "_nothing", "__wrapped__"):
        with pytest.raises(AttributeError, match=f"no attribute '{name}'"):
            getattr(host, name)


def test_a_plugin_is_found_in_every_host(tmp_path):
    """A method registered after the hosts were imported, an augmentation announced by an installed package."""
    pytest.importorskip("monai")
    pytest.importorskip("albumentations")
    info = tmp_path / "installed" / "toy_plugin-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: toy-plugin\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[stainxform.augmentations]\ndim = toy_plugin:Dim\n")
    for task in ("save", "load"):
        run(ROOT / "tests" / "use_toy_plugin.py", task, tmp_path, paths=[info.parent, ROOT / "tests"])
