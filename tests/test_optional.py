"""Packages that are missing, or do not load, name the extra that brings them."""

import importlib
import sys

import pytest

from stainxform._optional import pick_device, require
from stainxform.errors import MissingDependencyError, ParameterError


def test_a_package_that_cannot_be_imported_names_its_extra():
    with pytest.raises(MissingDependencyError, match=r"nosuch cannot be imported .*pip install 'stainxform\[some\]'"):
        require("nosuch.part", "some")


@pytest.mark.parametrize("error", [ImportError, OSError, RuntimeError])
def test_so_does_one_that_does_not_fit_the_others(error, tmp_path, monkeypatch):
    (tmp_path / "broken_extension.py").write_text(f"raise {error.__name__}('operator nms does not exist')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(MissingDependencyError, match=r"operator nms does not exist.*stainxform\[some\]"):
        require("broken_extension", "some")


def test_other_errors_of_a_package_are_its_own(tmp_path, monkeypatch):
    (tmp_path / "broken_otherwise.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ZeroDivisionError):
        require("broken_otherwise", "some")


def test_without_torchvision_the_error_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "stainxform.torchvision", raising=False)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    monkeypatch.delitem(sys.modules, "torchvision.transforms.v2", raising=False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[torchvision\]'"):
        importlib.import_module("stainxform.torchvision")


def test_a_device_that_torch_does_not_have_is_one_sentence():
    torch = pytest.importorskip("torch")
    assert pick_device("cpu") == pick_device(torch.device("cpu")) == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for device in ("quantum:7", "cuda:99"):
        with pytest.raises(ParameterError, match=rf"torch has no device '{device}' here \(.*\); pass device='cpu'"):
            pick_device(device)


def test_a_device_without_torch_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingDependencyError, match=r"stainxform\[torch\]"):
        pick_device("auto")
