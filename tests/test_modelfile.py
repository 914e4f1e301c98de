import dataclasses
import json
import os
import pickle
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save
from strategies import he_image, laws

import stainxform as sx
from stainxform import Macenko, Reinhard
from stainxform.errors import ModelFileError, ParameterError
from stainxform.io.atomic import atomic_write
from stainxform.modelfile import FORMAT, ModelState, digest, read_model, settings_digest, write_model
from stainxform.normalizers.base import CenterInfo, Normalizer

FITTED = {
    "macenko": Macenko.fit(he_image(1)),
    "macenko paper": Macenko.fit(he_image(2), definition="paper", alpha=2.5, beta=0.2),
    "macenko reference": Macenko(),
    "reinhard": Reinhard.fit(he_image(1)),
    "reinhard ruderman": Reinhard.fit(he_image(2), space="ruderman", tissue_only=True),
}
every_normalizer = pytest.mark.parametrize("normalizer", FITTED.values(), ids=FITTED)


def model_bytes(normalizer, path):
    normalizer.save(path)
    return path.read_bytes()


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.safetensors"


@pytest.fixture
def good(path):
    return model_bytes(FITTED["macenko"].with_info(CenterInfo("Center A", 7, "CC0-1.0"), 0.05), path)


def refused(path, data, words=None):
    """The file is refused by one ModelFileError of one sentence."""
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=words) as caught:
        sx.load(path)
    assert "\n" not in str(caught.value)


@every_normalizer
def test_a_loaded_model_gives_bit_equal_output(normalizer, path):
    normalizer.save(path)
    images = he_image(7), he_image(8) / 255, np.float32(he_image(9) / 255)
    for load in (sx.load, Normalizer.load, type(normalizer).load):
        for image in images:
            assert np.array_equal(load(path)(image), normalizer(image))


@every_normalizer
def test_a_loaded_model_has_equal_fields(normalizer, path):
    normalizer = normalizer.with_info(CenterInfo("Zürich 1", 12, "CC0-1.0"), 0.25)
    normalizer.save(path)
    loaded = sx.load(path)
    assert type(loaded) is type(normalizer)
    for field in dataclasses.fields(normalizer):
        saved, read = getattr(normalizer, field.name), getattr(loaded, field.name)
        assert np.array_equal(saved, read) if isinstance(saved, np.ndarray) else saved == read, field.name


@every_normalizer
def test_the_same_state_gives_the_same_bytes(normalizer, tmp_path):
    first = model_bytes(normalizer, tmp_path / "a.safetensors")
    assert model_bytes(normalizer, tmp_path / "b.safetensors") == first
    assert model_bytes(sx.load(tmp_path / "a.safetensors"), tmp_path / "c.safetensors") == first


@laws
@given(
    st.text(max_size=20).filter(lambda text: text.isprintable()),
    st.integers(0, 10**9),
    st.floats(0, 1),
    st.dictionaries(st.text("abc", min_size=1, max_size=3), st.integers(0, 99), max_size=3),
)
def test_any_state_comes_back(tmp_path_factory, center, tiles, number, numbers):
    path = tmp_path_factory.mktemp("states") / "model.safetensors"
    arrays = {f"a{name}": np.full((2, value), number, np.float32) for name, value in numbers.items()}
    state = ModelState("m", arrays, {"number": number, **numbers}, center, tiles, "CC0-1.0", "1.2.3")
    write_model(path, state)
    read = read_model(path)
    assert read.arrays.keys() == arrays.keys()
    assert all(np.array_equal(read.arrays[name], arrays[name]) for name in arrays)
    assert read.sha256 == digest(arrays)
    assert dataclasses.replace(read, arrays={}, sha256="") == dataclasses.replace(state, arrays={})


def test_the_file_names_no_file_and_no_folder(tmp_path):
    from PIL import Image

    folder = tmp_path / "PATIENT-4711"
    folder.mkdir()
    Image.fromarray(he_image()).save(folder / "SLIDE-0815.png")
    data = model_bytes(sx.fit_center(folder, "macenko", center="A"), tmp_path / "OUTNAME.safetensors")
    for secret in ("PATIENT", "4711", "SLIDE", "0815", "OUTNAME", str(tmp_path), os.path.expanduser("~"), ".png"):
        assert secret.encode() not in data


def test_the_file_holds_the_fields_that_the_documentation_names(good):
    length = struct.unpack_from("<Q", good)[0]
    record = json.loads(json.loads(good[8 : 8 + length])["__metadata__"]["stainxform"])
    names = "format method library_version center tiles license parameters sha256 settings_sha256"
    assert sorted(record) == sorted(names.split())
    assert (record["format"], record["method"], record["tiles"]) == (FORMAT, "macenko", 7)


@pytest.mark.parametrize("position", [*range(17), *(i / 24 for i in range(24))])
def test_a_truncated_file_is_refused(path, good, position):
    refused(path, good[: position if isinstance(position, int) else int(position * len(good))], "not a complete")


def test_a_file_with_one_byte_too_many_or_too_few_is_refused(path, good):
    refused(path, good + b"\0", "not a complete")
    refused(path, good[:-1], "not a complete")


@laws
@given(where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7), part=st.sampled_from(["header", "weights"]))
def test_a_flipped_bit_is_noticed(tmp_path_factory, where, bit, part):
    path = tmp_path_factory.getbasetemp() / "flipped.safetensors"
    data = bytearray(model_bytes(FITTED["macenko"], path))
    start = 8 + struct.unpack_from("<Q", data)[0]
    low, high = (0, start) if part == "header" else (start, len(data))
    data[low + int(where * (high - low))] ^= 1 << bit
    refused(path, bytes(data), None if part == "header" else "weights in .* do not match their checksum")


@laws
@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_refused(tmp_path_factory, data):
    refused(tmp_path_factory.getbasetemp() / "arbitrary.safetensors", data)


@pytest.mark.parametrize("length", [0, 7, 10**6, 10**8 + 1, 2**40, 2**63, 2**64 - 1])
def test_a_wrong_header_length_is_refused(path, good, length):
    refused(path, struct.pack("<Q", length) + good[8:])


HEADERS = {
    "no object": b"[]",
    "null": b"null",
    "empty": b"",
    "no UTF-8": b'{"\xff":1}',
    "deep": b"[" * 100_000,
    "metadata list": b'{"__metadata__":[]}',
    "metadata not text": b'{"__metadata__":{"stainxform":3}}',
    "no metadata": b"{}",
    "null metadata": b'{"__metadata__":null}',
    "overflowing shape": b'{"a":{"dtype":"F64","shape":[99999999999,99999999],"data_offsets":[0,0]}}',
    "twice": b'{"__metadata__":{"stainxform":"{}","stainxform":"[]"}}',
}


@pytest.mark.parametrize("header", HEADERS.values(), ids=HEADERS)
def test_a_hostile_header_is_refused(path, header):
    refused(path, struct.pack("<Q", len(header)) + header)


def test_a_pickle_is_refused_and_never_run(path, tmp_path):
    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "exploded"),)

    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        refused(path, pickle.dumps(Bomb(), protocol), "not a complete .safetensors")
    assert not (tmp_path / "exploded").exists()


def test_a_torch_file_is_refused(path):
    torch = pytest.importorskip("torch")
    torch.save({"weight": torch.ones(3)}, path)
    refused(path, path.read_bytes(), "not a complete .safetensors")


@pytest.mark.parametrize("metadata", [None, {}, {"format": "pt"}])
def test_a_foreign_safetensors_file_is_refused(path, metadata):
    refused(path, save({"weight": np.ones(3)}, metadata=metadata), "no stainxform model")


ARRAYS = {"stain_matrix": np.ones((3, 2)), "max_concentrations": np.ones(2)}
RECORD = {
    "format": FORMAT,
    "method": "macenko",
    "library_version": "0",
    "center": "",
    "tiles": 1,
    "license": "",
    "parameters": {"definition": "veta", "alpha": 1.0, "beta": None, "min_tissue": 0.01},
}


def crafted(arrays=ARRAYS, text=None, settings=None, **changes):
    """A file with right checksums and chosen contents."""
    record = RECORD | {"sha256": digest(arrays)} | changes
    if settings:
        record["parameters"] = RECORD["parameters"] | settings
    record = {name: value for name, value in record.items() if value is not ...}
    record["settings_sha256"] = settings_digest(record)
    return save(arrays, metadata={"stainxform": json.dumps(record) if text is None else text})


def test_a_crafted_file_with_right_contents_is_read(path):
    path.write_bytes(crafted())
    assert isinstance(sx.load(path), Macenko)


def test_a_newer_format_says_how_to_upgrade(path):
    refused(path, crafted(format=FORMAT + 1), rf"format {FORMAT + 1}.*pip install -U stainxform")


@pytest.mark.parametrize("method", ["", "vahadene", "../macenko", "os:system", "Macenko"])
def test_an_unknown_method_is_named(path, method):
    refused(path, crafted(method=method), "which this stainxform does not know")


WRONG = {int: [..., None, [], 1.5, True, "1", -1], str: [..., None, [], 1, 10**400], dict: [..., None, [], "{}", 1]}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name in RECORD for value in WRONG[type(RECORD[name])]])
def test_missing_and_wrongly_typed_metadata_is_refused(path, name, value):
    refused(path, crafted(**{name: value}), "metadata")


def test_a_format_without_end_is_refused(path):
    refused(path, crafted(format=10**400))


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "null", "1", '"a"', "NaN", "{}", "[" * 10**5, '{"format":1e999}'], ids=repr
)
def test_unreadable_metadata_is_refused(path, text):
    refused(path, crafted(text=text[: 10**5]), "metadata")


@pytest.mark.parametrize("value", [None, "0.5", [], {}, -0.1, 1.1, float("nan"), float("inf"), 10**400], ids=str)
def test_a_senseless_min_tissue_is_refused(path, value):
    refused(path, crafted(settings={"min_tissue": value}), "no valid 'macenko' model")


@pytest.mark.parametrize(
    "settings",
    [
        {"definition": "matlab"},
        {"definition": []},
        {"definition": None},
        {"alpha": "1"},
        {"alpha": None},
        {"alpha": 10**400},
        {"alpha": -1},
        {"alpha": float("nan")},
        {"beta": {}},
        {"beta": "x"},
        {"unknown": 1},
        {"stain_matrix": 1},
        {"__class__": 1},
    ],
    ids=str,
)
def test_senseless_settings_are_refused(path, settings):
    refused(path, crafted(settings=settings), "no valid 'macenko' model")


@pytest.mark.parametrize(
    "arrays",
    [
        {},
        {"stain_matrix": np.ones((3, 2))},
        {**ARRAYS, "stain_matrix": np.ones((2, 3))},
        {**ARRAYS, "stain_matrix": np.ones(6)},
        {**ARRAYS, "stain_matrix": np.ones((0, 2))},
        {**ARRAYS, "max_concentrations": np.ones(3)},
        {**ARRAYS, "stain_matrix": np.ones((3, 2), int)},
        {**ARRAYS, "stain_matrix": np.ones((3, 2), bool)},
    ],
    ids=lambda arrays: " ".join(f"{name}{a.shape}{a.dtype}" for name, a in arrays.items()) or "none",
)
def test_missing_and_misshapen_weights_are_refused(path, arrays):
    refused(path, crafted(arrays), "no valid 'macenko' model")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_refused(path, value):
    refused(path, crafted({**ARRAYS, "max_concentrations": np.array([1, value])}), "NaN or infinite")


def test_complex_weights_are_refused(path):
    refused(path, crafted({**ARRAYS, "stain_matrix": np.ones((3, 2), np.complex64)}), r"no real numbers \(complex64\)")


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn"])
def test_weights_of_types_that_numpy_lacks_are_refused(path, dtype):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save

    refused(path, save({"stain_matrix": torch.ones(3, 2, dtype=getattr(torch, dtype))}, metadata={"stainxform": "{}"}))


def test_a_file_of_another_method_is_refused_by_the_class_and_read_by_load(path, good):
    path.write_bytes(good)
    with pytest.raises(ModelFileError, match=r"use stainxform\.load"):
        Reinhard.load(path)
    assert isinstance(sx.load(path), Macenko)
    refused(path, crafted(method="reinhard"), "no valid 'reinhard' model")


@pytest.mark.parametrize("name", ["missing.safetensors", "", "a\0b"])
def test_a_file_that_cannot_be_opened_is_refused(tmp_path, name):
    with pytest.raises(ModelFileError, match="cannot read"):
        sx.load(f"{tmp_path}/{name}")


@pytest.mark.parametrize("failing", ["replace", "fsync"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(path, good, monkeypatch, failing):
    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="disk full"):
        FITTED["reinhard"].save(path)
    assert path.read_bytes() == good
    assert list(path.parent.iterdir()) == [path]


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(path, good, monkeypatch):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    with pytest.raises(KeyboardInterrupt):
        atomic_write(path, b"new")
    assert path.read_bytes() == good
    assert list(path.parent.iterdir()) == [path]


def test_saving_replaces_the_old_file_and_leaves_nothing_else(path, good):
    FITTED["reinhard"].save(path)
    assert isinstance(sx.load(path), Reinhard)
    assert list(path.parent.iterdir()) == [path]


def test_what_cannot_be_stored_leaves_no_file(path):
    with pytest.raises(ParameterError):
        write_model(path, ModelState("m", {}, {"alpha": object()}))
    with pytest.raises(ValueError, match="JSON"):
        write_model(path, ModelState("m", {}, {"alpha": float("nan")}))
    assert not path.exists()
