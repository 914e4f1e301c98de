"""ONNX files, run by onnxruntime against the plain path."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import torch

import stainxform as sx
from stainxform.errors import MissingDependencyError, ParameterError
from stainxform.nn import Normalize
from stainxform.onnx import export

FLOAT = 1e-5
"""How far onnxruntime may be from the plain path; in 8 bits that is at most one level."""


def session(path):
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def run(path, image):
    return session(path).run(None, {"image": image})[0]


def plain(model, batch):
    """The plain path, image by image, NCHW."""
    return np.stack([model(image, channel_axis=-3) for image in batch])


@pytest.fixture(scope="session")
def eight_bit(tiles) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(tiles[1], -1, 1))


@pytest.fixture(scope="session")
def unit(eight_bit) -> np.ndarray:
    return (eight_bit / 255).astype(np.float32)


@pytest.mark.slow
def test_every_method_is_exported_whole_or_as_a_map(normalizer, tiles, unit, tmp_path):
    path, model = tmp_path / "model.onnx", normalizer
    if not Normalize(normalizer).native:
        with pytest.raises(ParameterError, match="estimates from every image"):
            export(normalizer, path)
        assert not path.exists()
        model = normalizer.map_for(tiles[1][0])
    export(model, path)
    for batch in (unit, unit[:1], unit[:2, :, :40, :33]):
        np.testing.assert_allclose(run(path, batch), plain(model, batch), atol=FLOAT, rtol=0)
    assert np.abs(run(path, unit) - unit).max() > 0.01


@pytest.mark.slow
@pytest.mark.parametrize("method", ["macenko", "stainlut"])
def test_8_bit_images(method, normalizers, eight_bit, tmp_path):
    model = normalizers[method]
    model = model if Normalize(model).native else model.map_for(eight_bit[0], channel_axis=-3)
    export(model, tmp_path / "model.onnx", dtype="uint8")
    result = run(tmp_path / "model.onnx", eight_bit)
    assert result.dtype == np.uint8
    assert np.abs(result.astype(int) - plain(model, eight_bit)).max() <= 1


@pytest.mark.slow
def test_value_ranges(macenko, tiles, unit, tmp_path):
    model = macenko.map_for(tiles[1][0])
    export(model, tmp_path / "model.onnx", value_range=(-1, 1))
    wanted = np.stack([model(image * 2 - 1, value_range=(-1, 1), channel_axis=-3) for image in unit])
    np.testing.assert_allclose(run(tmp_path / "model.onnx", unit * 2 - 1), wanted, atol=2 * FLOAT, rtol=0)


@pytest.mark.slow
def test_blank_images_are_kept(normalizers, unit, tmp_path):
    for method in ("stainlut", "stainnet"):
        batch = unit.copy()
        batch[1] = 0.97
        export(normalizers[method], tmp_path / "model.onnx")
        np.testing.assert_array_equal(run(tmp_path / "model.onnx", batch)[1], batch[1])


@pytest.mark.slow
def test_tables(macenko, tiles, unit, tmp_path):
    table = sx.bake(macenko.map_for(tiles[1][0]), 17)
    export(table, tmp_path / "table.onnx")
    np.testing.assert_allclose(run(tmp_path / "table.onnx", unit), plain(table, unit), atol=FLOAT, rtol=0)


@pytest.mark.slow
def test_inputs_metadata_and_no_file_names(normalizers, tiles, tmp_path):
    normalizers["stainnet"].save(tmp_path / "patient.safetensors")
    export(tmp_path / "patient.safetensors", tmp_path / "model.onnx", value_range=(0, 255))
    opened = session(tmp_path / "model.onnx")
    for put, name in zip((opened.get_inputs(), opened.get_outputs()), ("image", "normalized")):
        assert [(p.name, p.type, p.shape) for p in put] == [(name, "tensor(float)", ["N", 3, "H", "W"])]
    facts = opened.get_modelmeta().custom_metadata_map
    assert facts == {
        "stainxform.method": "stainnet",
        "stainxform.version": sx.__version__,
        "stainxform.dtype": "float32",
        "stainxform.value_range": "[0.0, 255.0]",
    }
    assert json.loads(facts["stainxform.value_range"]) == [0, 255]
    data = (tmp_path / "model.onnx").read_bytes()
    for trace in (b".py", b"patient", b"site-packages", b"Traceback", str(tmp_path).encode()):
        assert trace not in data
    onnx.checker.check_model(onnx.load(tmp_path / "model.onnx"), full_check=True)


def test_arguments(macenko, tiles, tmp_path):
    color_map = macenko.map_for(tiles[1][0])
    with pytest.raises(ParameterError, match="dtype must be 'float32' or 'uint8'"):
        export(color_map, tmp_path / "model.onnx", dtype="float16")
    with pytest.raises(ParameterError, match="value_range"):
        export(color_map, tmp_path / "model.onnx", value_range=(1, 0))


def test_what_torch_cannot_express_is_one_sentence(macenko, tiles, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise torch.onnx.OnnxExporterError("many lines")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(ParameterError, match="torch cannot express 'StainMatrixMap' in ONNX"):
        export(macenko.map_for(tiles[1][0]), tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_it_the_error_names_the_extra(package, macenko, tiles, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'stainxform\[onnx\]'"):
        export(macenko.map_for(tiles[1][0]), tmp_path / "model.onnx")


@pytest.mark.slow
def test_nothing_is_said_while_exporting(macenko, tiles, tmp_path, capfd):
    export(macenko.map_for(tiles[1][0]), tmp_path / "model.onnx")
    assert capfd.readouterr() == ("", "")
