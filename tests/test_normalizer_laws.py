"""The public test class for normalizers, on every method of ours, as a plug-in would use it."""

import pytest
from conftest import TINY

import stainxform as sx
from stainxform.testing import NormalizerTests

for _name, _method in sx.methods().items():
    if _method.needs:
        pytest.importorskip(_method.needs)
    _members = {"method": _name, "settings": TINY.get(_name, {}), "__doc__": f"{_name}, held to the public tests."}
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (NormalizerTests,), _members)
