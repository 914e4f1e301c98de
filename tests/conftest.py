"""Fixtures shared by all tests. A newly registered method is covered by them with no new line, unless it needs tiny
training settings.
"""

from __future__ import annotations

import contextlib
import os
import signal
import warnings

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask PyPI for the newest version

import numpy as np
import pytest
from torchvision_stand_ins import let_torchvision_import

import stainxform as sx
from stainxform.errors import MissingDependencyError, StainXformWarning
from stainxform.samples import pair

let_torchvision_import()

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as of what runs in the background of a shell
    signal.signal(signal.SIGINT, signal.default_int_handler)

_QUICK = {"steps": 2, "device": "cpu", "progress": False}

TINY = {
    "colornormnet": {"batch": 2, "crop": 32, **_QUICK},
    "staingan": {"source": pair(1, 40, seed=2)[1], "width": 4, "blocks": 1, "crop": 32, "pool": 2, **_QUICK},
    "stainlut": {"bases": 2, "size": 5, "crop": 32, **_QUICK},
    "stainnet": {"teacher": sx.Macenko(), "batch": 64, **_QUICK},
}
"""Settings that make the fit of a learned method quick, with the teacher or the other center that it needs."""


@pytest.fixture(scope="session")
def tiles() -> tuple[np.ndarray, np.ndarray]:
    """The same tissue at the center that models are fitted on and at another: uint8 ``(3, 72, 56, 3)`` each."""
    ours, theirs = pair(3, (72, 56), seed=1)
    for images in (ours, theirs):
        images.setflags(write=False)
    return ours, theirs


@pytest.fixture(scope="session")
def normalizers(tiles) -> dict[str, sx.Normalizer]:
    """Every method that can be imported here, fitted on our tiles."""
    fitted = {}
    for method in sx.methods():
        with contextlib.suppress(MissingDependencyError):
            fitted[method] = sx.fit_center(tiles[0], method, **TINY.get(method, {}))
    return fitted


@pytest.fixture(scope="session")
def bridge(tiles):
    """A calibration of the other center, with a map of its own for each of its tiles: groups "a", "b" and "3"."""
    target = sx.fit_center(tiles[0], "transport", qc="off")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StainXformWarning)  # few tiles
        return target.calibrate(tiles[1], groups=["a", "b", 3], center_weight=0, keep_groups=True, qc="off")


@pytest.fixture
def bridge_path(bridge, tmp_path) -> str:
    """Its file."""
    path = tmp_path / "b_to_a.safetensors"
    bridge.save(path)
    return str(path)


@pytest.fixture(scope="session", params=list(sx.methods()))
def normalizer(request, normalizers) -> sx.Normalizer:
    """Each registered method."""
    if request.param not in normalizers:
        pytest.skip(f"{request.param} needs the extra {sx.methods()[request.param].extra!r}")
    return normalizers[request.param]


@pytest.fixture(scope="session")
def model_path(normalizer, tmp_path_factory) -> str:
    """The model file of each method."""
    path = tmp_path_factory.mktemp("models") / f"{normalizer.method}.safetensors"
    normalizer.save(path)
    return str(path)


@pytest.fixture(scope="session")
def macenko(normalizers) -> sx.Normalizer:
    """One of them, for what does not depend on the method."""
    return normalizers["macenko"]


@pytest.fixture
def macenko_path(macenko, tmp_path) -> str:
    """Its model file."""
    path = tmp_path / "macenko.safetensors"
    macenko.save(path)
    return str(path)
