"""A calibration's file may hold anything behind a checksum that fits: maps that are none are refused when it is read."""

import numpy as np
import pytest

import stainxform as sx
from stainxform.color import CIELab
from stainxform.errors import ModelFileError
from stainxform.io.modelfile import read_model, write_model
from stainxform.maps import ChannelAffineMap, CurveMap, Lut3DMap, StainMatrixMap
from stainxform.normalizers.calibration.stored import pack_map, unpack_map
from stainxform.normalizers.khan import MonotoneSpline, StainSplineMap

GOOD = {
    "curves": CurveMap(np.tile(np.linspace(0, 1, 256), (3, 1))),
    "matrix": StainMatrixMap(np.eye(3)),
    "lab": ChannelAffineMap(CIELab(), np.ones(3), np.zeros(3)),
    "lut": Lut3DMap(np.random.default_rng(0).uniform(0, 1, (3, 3, 3, 3))),
}

CHANGED = {
    "curves of one dimension": ("curves", "m/curves", np.zeros(256)),
    "curves of one channel": ("curves", "m/curves", np.zeros((1, 256))),
    "curves without nodes": ("curves", "m/curves", np.zeros((3, 0))),
    "a matrix of one dimension": ("matrix", "m/matrix", np.ones(3)),
    "a matrix of nothing": ("matrix", "m/matrix", np.zeros((0, 3))),
    "text for a scale": ("lab", "m/scale", np.array(["a", "b", "c"])),
    "numbers that overflow": ("lab", "m/scale", np.array([1e308, -1e308, 1e308])),
    "a table of no colors": ("lut", "m/table", np.zeros((3, 3, 3, 1))),
}


@pytest.mark.parametrize("name", GOOD)
def test_a_map_comes_back(name):
    arrays = {}
    packed = pack_map(GOOD[name], "m", arrays)
    assert type(unpack_map(packed, arrays)) is type(GOOD[name])


@pytest.mark.parametrize("name", CHANGED)
def test_a_map_that_gives_no_colors_is_refused(name):
    kind, array, values = CHANGED[name]
    arrays = {}
    packed = pack_map(GOOD[kind], "m", arrays)
    assert array in arrays
    arrays[array] = values
    with pytest.raises((ValueError, TypeError, LookupError, AttributeError)):
        unpack_map(packed, arrays)


def test_a_spline_of_unequal_knots_is_refused():
    spline = MonotoneSpline(np.array([0.0, 0.5, 4.0]), np.array([0.0, 0.5, 4.0]))
    arrays = {}
    packed = pack_map(StainSplineMap(np.eye(3), np.eye(3), (spline, spline), np.zeros(3), np.zeros(3)), "m", arrays)
    unpack_map(packed, arrays)
    name = next(name for name in arrays if name.endswith("/y"))
    arrays[name] = np.zeros(9)
    with pytest.raises(ValueError, match="shape"):
        unpack_map(packed, arrays)


@pytest.mark.parametrize(
    "value", [1.5, None, [], "map", {"": 3}, {"": {"type": "Normalizer", "fields": {}}}, {"": {"array": "nothing"}}]
)
def test_a_file_whose_maps_are_none_is_refused(bridge_path, value):
    state = read_model(bridge_path)
    state.parameters["maps"] = value
    write_model(bridge_path, state)
    with pytest.raises(ModelFileError, match="no valid 'calibration' model"):
        sx.load(bridge_path)


@pytest.mark.parametrize("name", ["parts", "target", "settings", "colorizer", "aligned"])
@pytest.mark.parametrize("value", [1.5, [], "text"])
def test_a_file_of_other_parameters_is_refused_or_read(bridge_path, name, value, tiles):
    state = read_model(bridge_path)
    state.parameters[name] = value
    write_model(bridge_path, state)
    try:
        loaded = sx.load(bridge_path)
    except ModelFileError:
        return
    assert loaded(tiles[1][0]).shape == tiles[1][0].shape
