"""Do two commits give the same outputs, bit for bit, on one machine?

    python benchmarks/same_outputs.py record OUT.json               # every case, with the stainxform that is importable
    python benchmarks/same_outputs.py compare A.json B.json         # what differs or is missing; exit code 1 if any
    python benchmarks/same_outputs.py commits OLD NEW -o runs/same  # both for two commits, with and without the kernels

For changes that must not change results, such as moving modules. Only documented import paths are used, so the same
script serves both commits; a record takes about a minute and a half. A case is the SHA-256 of an output: of dtype,
shape and bytes of arrays, of the bytes of files. Warnings, and the messages of errors, are recorded as they are. What
the compiled kernels compute is recorded, or with ``STAINXFORM_NATIVE=off`` in the environment what numpy does.

Model files that a record writes are left in a folder beside it; another record loads them with ``--models FOLDER``, to
show that new code still reads old files. Not recorded: bytes of ONNX files, times, versions of packages.
"""

from __future__ import annotations

import argparse
import dataclasses
import hashlib
import inspect
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # its import would ask PyPI for the newest version

import numpy as np

SIZE = (72, 56)
"""Of the tiles, height and width: no square, so that axes that are mixed up are noticed."""

QUICK = {"steps": 2, "device": "cpu", "progress": False}
"""Training that takes no time; what is learned does not matter here."""


# ---- recording ------------------------------------------------------------------------------------------------------


def feed(sha, value):
    """Add a value to a hash: what it is, then its bytes. TypeError for what has no lasting form."""
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        sha.update(f"{type(value).__name__} {value!r};".encode())
    elif isinstance(value, bytes):
        sha.update(b"bytes %d;" % len(value) + value)
    elif isinstance(value, np.ndarray):
        sha.update(f"{type(value).__name__} {value.dtype.str} {value.shape};".encode())
        sha.update(np.ascontiguousarray(value).tobytes())
    elif type(value).__module__.partition(".")[0] == "torch" and type(value).__name__ in ("dtype", "device"):
        sha.update(f"{value};".encode())
    elif hasattr(value, "detach"):
        import torch

        plain = value.detach().as_subclass(torch.Tensor).cpu()
        sha.update(f"{type(value).__name__} {plain.dtype} {tuple(plain.shape)};".encode())
        sha.update(plain.contiguous().flatten().view(torch.uint8).numpy().tobytes())
    elif isinstance(value, dict):
        sha.update(f"dict {len(value)};".encode())
        for key in sorted(value, key=str):
            feed(sha, key)
            feed(sha, value[key])
    elif hasattr(value, "map_for"):  # a normalizer
        feed(sha, value.state())
    elif dataclasses.is_dataclass(value):
        sha.update(f"{type(value).__name__};".encode())
        feed(sha, {field.name: getattr(value, field.name) for field in dataclasses.fields(value)})
    elif isinstance(value, list | tuple):
        sha.update(f"sequence {len(value)};".encode())
        for item in value:
            feed(sha, item)
    else:
        raise TypeError(f"no hash for {type(value).__name__}")


def sha256(value):
    """Hexadecimal SHA-256 of a value, see ``feed``."""
    sha = hashlib.sha256()
    feed(sha, value)
    return sha.hexdigest()


class Record:
    """Cases by name. Names of temporary folders do not get in."""

    def __init__(self, folder):
        self.folder = folder
        self.cases = {}

    def __call__(self, name, function, /, *args, **kwargs):
        """Call a function and record what it returns, or raises, and what it warns of; returns the same, or None."""
        result = None
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                result = function(*args, **kwargs)
                value = sha256(result)
            except Exception as error:  # errors are outputs, too
                value = f"raises {type(error).__name__}: {self.plain(error)}"
        self.text(name, value)
        ours = [w for w in caught if w.category.__name__ in ("StainXformWarning", "RuntimeWarning")]
        for number, warning in enumerate(ours):
            self.text(f"{name}/warning {number}", f"{warning.category.__name__}: {self.plain(warning.message)}")
        return result

    def made(self, name, function, /, *args, **kwargs):
        """What a function returns, where only what is done with it is recorded; None, and recorded, if it raises."""
        try:
            return function(*args, **kwargs)
        except Exception as error:
            self.text(name, f"raises {type(error).__name__}: {self.plain(error)}")
            return None

    def value(self, name, value):
        """Record a value that is there already."""
        self(name, lambda: value)

    def file(self, name, path):
        """Record the bytes of a file."""
        self(name, Path(path).read_bytes)

    def tree(self, name, folder):
        """Record the names and bytes of all files in a folder; those of JSON files without what depends on packages."""
        for path in sorted(Path(folder).rglob("*")):
            if path.is_file():
                data = path.read_bytes()
                if path.suffix == ".json":
                    facts = json.loads(data)
                    if isinstance(facts, dict):
                        facts.pop("versions", None)
                    data = json.dumps(facts, sort_keys=True).encode()
                self.value(f"{name}/{path.relative_to(folder)}", data)

    def text(self, name, text):
        """Record a text as it is."""
        if name in self.cases:
            raise RuntimeError(f"two cases have the name {name!r}")
        self.cases[name] = text

    def plain(self, text):
        """A message without the names of our folders."""
        return str(text).replace(str(self.folder), "FOLDER")


# ---- what every section works on ------------------------------------------------------------------------------------


class World:
    """Tiles of two centers, and the models fitted on one of them."""

    def __init__(self, folder, models):
        from stainxform.samples import pair
        from stainxform.testing import blank_image

        self.folder = folder
        self.models = models
        """Folder of the model files."""
        self.ours, self.theirs = pair(3, SIZE, seed=1)
        self.blank = blank_image(245, *SIZE)
        self.image = self.theirs[0]
        self.fitted = {}
        """Normalizers with default settings, by method."""

    def fresh(self, name):
        """A new, empty folder."""
        path = self.folder / name
        path.mkdir(parents=True)
        return path

    def path(self, method):
        """The model file of a method."""
        return str(self.models / f"{method}.safetensors")

    def chw(self, image=None):
        """An image with channels first."""
        return np.ascontiguousarray(np.moveaxis(self.image if image is None else image, -1, -3))


def tiny():
    """Settings that make the fit of a learned method quick, with the teacher or the other center that it needs."""
    import stainxform as sx
    from stainxform.samples import pair

    return {
        "colornormnet": {"batch": 2, "crop": 32, **QUICK},
        "staingan": {"source": pair(1, 40, seed=2)[1], "width": 4, "blocks": 1, "crop": 32, "pool": 2, **QUICK},
        "stainlut": {"bases": 2, "size": 5, "crop": 32, **QUICK},
        "stainnet": {"teacher": sx.Macenko(), "batch": 64, **QUICK},
    }


SETTINGS = {
    "colornormnet": [{"decay": "constant", "seed": 3, "val_fraction": 0}, {"l2_weight": 0, "max_offset": 5}],
    "khan": [{"glass": "white"}, {"confidence": 0.6}],
    "macenko": [
        {"definition": "paper"},
        {"definition": "staintools"},
        {"combine": "averaged"},
        {"alpha": 5.0, "beta": 0.3},
    ],
    "ramakrishnan": [{"patches": 2}, {"max_white": 0.5, "regularization": 0.05}],
    "reinhard": [{"space": "ruderman"}, {"tissue_only": True}],
    "reinhard_modified": [{"space": "ruderman", "tissue_only": True}],
    "staingan": [{"seed": 3, "decay": "cosine", "identity_weight": 0}],
    "stainlut": [
        {"gray": "bt601"},
        {"inference": "fast"},
        {"encoder_norm": "running"},
        {"encoder_norm": "none", "predictor_norm": "none"},
        {"gray": (0.2, 0.3, 0.5), "color_randomization": False, "crop": None},
        {"context_nodes": 3, "seed": 3, "decay": "constant", "learning_rates": {"luts": 1e-3}, "steps": 5},
    ],
    "stainnet": [{"seed": 3, "decay": "constant", "pixels": 100}],
    "vahadane": [{"definition": "matlab"}, {"regularization": 0.2, "concentration_regularization": 0.02}],
}
"""Settings of methods that take another way through the code."""


# ---- fitting --------------------------------------------------------------------------------------------------------


def fits(record, world):
    """Every method, with default and with other settings, on tiles one of which is blank; its model file."""
    import stainxform as sx
    from stainxform.modelfile import read_model

    tiles = [*world.ours, world.blank]
    record.value("public names", sorted(sx.__all__))
    for method, entry in sx.methods().items():
        record.value(f"{method}/entry", [entry.name, entry.title, entry.source, entry.extra, entry.needs])
        for settings in [{}, *SETTINGS.get(method, [])]:
            label = method + "".join(f" {name}={value}" for name, value in settings.items())
            chosen = tiny().get(method, {}) | settings
            about = {"center": "Lab A", "license": "CC0-1.0"}
            normalizer = record(f"{label}/fit", sx.fit_center, tiles, method, **about, **chosen)
            if normalizer is None:
                continue
            if not settings:
                world.fitted[method] = normalizer
            path = world.models / f"{re.sub('[^a-z0-9_.=-]+', '-', label.lower())}.safetensors"
            record(f"{label}/save", normalizer.save, path)
            record.file(f"{label}/model file", path)
            state = normalizer.state()
            record.value(f"{label}/arrays", state.arrays)
            record.value(f"{label}/parameters", state.parameters)
            record(f"{label}/read_model", read_model, path)
            record(f"{label}/applied", normalizer, world.image)
            record(f"{label}/applied to floats", normalizer, world.chw() / np.float32(255), channel_axis=-3)
            record(f"{label}/loaded and applied", lambda path=path: sx.load(path)(world.image))
            record(f"{label}/for tiles", lambda n=normalizer: n.map_for_tiles(world.theirs)(world.image))


def _fit(images=None, method="macenko", **options):
    """A quick fit."""
    import stainxform as sx

    return sx.fit_center(images, method, **tiny().get(method, {}), **options)


def sources(record, world):
    """Tiles from everywhere: arrays, tensors, folders, patterns, files, datasets; quality control; min_tissue."""
    import torch
    from PIL import Image

    from stainxform.samples import pair, write_center
    from stainxform.testing import PENS, blurred, folded, overexposed, saturated, with_strokes

    folder = world.folder / "tiles"
    files = write_center(folder, "a", 4, SIZE, 7)
    for file in files:
        record.file(f"samples/write_center/{file.name}", file)
    Image.fromarray(world.blank).save(folder / "zz_blank.png")
    (folder / "deeper").mkdir()
    Image.fromarray(world.ours[1]).save(folder / "deeper" / "one.png")
    Image.fromarray(world.ours[2]).save(folder / "deeper" / "two.jpg", quality=95)

    items = [{"image": world.chw(tile)} for tile in world.ours]
    named = [{"he": torch.from_numpy(world.chw(tile))} for tile in world.ours]
    given = {
        "folder": (str(folder), {}),
        "Path": (folder, {}),
        "pattern": (str(folder / "*.png"), {}),
        "files": ([str(file) for file in files], {}),
        "array": (world.ours, {}),
        "one array": (world.ours[0], {}),
        "channels first": ([world.chw(tile) for tile in world.ours], {}),
        "tensors": ([torch.from_numpy(world.chw(tile)) for tile in world.ours], {}),
        "floats": ([tile / np.float32(255) for tile in world.ours], {}),
        "floats in 0..255": ([tile.astype(np.float32) for tile in world.ours], {"value_range": (0, 255)}),
        "dictionaries": (items, {}),
        "image_key": (named, {"image_key": "he"}),
        "nothing": ([], {}),
        "missing folder": (str(folder / "missing"), {}),
        "blank only": ([world.blank], {}),
        "min_tissue 0": ([*world.ours, world.blank], {"min_tissue": 0}),
        "min_tissue 0.9": ([*world.ours, world.blank], {"min_tissue": 0.9}),
    }
    for name, (images, options) in given.items():
        record(f"sources/{name}/macenko", _fit, images, **options)
    for name in ("folder", "floats", "tensors"):
        record(f"sources/{name}/stainlut", _fit, given[name][0], "stainlut")

    good = pair(12, 64, ("a",), 5)[0]
    bad = [blurred(good[0], 2), with_strokes(good[1], PENS["green pen"]), folded(good[2]), saturated(good[3])]
    tiles = [*good, *bad, overexposed(good[4]), world.blank]
    world.faulty = tiles
    for qc in ("warn", "drop", "off"):
        for method in ("macenko", "reinhard", "stainnet"):
            record(f"qc {qc}/{method}", _fit, tiles, method, qc=qc)
    record("qc drop/everything", _fit, bad[1:2], qc="drop")


def errors(record, world):
    """Wrong arguments: which error, and what it says."""
    import stainxform as sx
    from stainxform import errors as module

    kinds = [value for value in vars(module).values() if inspect.isclass(value)]
    record.value("errors", {kind.__name__: [base.__name__ for base in kind.__mro__] for kind in kinds})
    macenko, tiles = world.fitted["macenko"], world.ours
    broken = world.folder / "broken.safetensors"
    data = Path(world.path("macenko")).read_bytes()

    def load(data):
        broken.write_bytes(data)
        return sx.load(broken).state()

    calls = {
        "no images": lambda: sx.fit_center(),
        "images and slides": lambda: sx.fit_center(tiles, slides="x"),
        "sampling without slides": lambda: sx.fit_center(tiles, "macenko", sampling={"size": 3}),
        "unknown sampling": lambda: sx.fit_center(slides="x", method="macenko", sampling={"sise": 3}),
        "unknown method": lambda: sx.fit_center(tiles, "macenco"),
        "unknown setting": lambda: sx.fit_center(tiles, "macenko", gamma=1),
        "min_tissue": lambda: sx.fit_center(tiles, "macenko", min_tissue=2),
        "qc": lambda: sx.fit_center(tiles, "macenko", qc="maybe"),
        "no teacher": lambda: sx.fit_center(tiles, "stainnet"),
        "no source": lambda: sx.fit_center(tiles, "staingan"),
        "missing model": lambda: sx.load(world.folder / "missing.safetensors"),
        "truncated model": lambda: load(data[:-7]),
        "changed weights": lambda: load(data[:-1] + b"\x01"),
        "changed settings": lambda: load(data.replace(b"Lab A", b"Lab B")),
        "no model": lambda: load(b"text"),
        "model of another method": lambda: sx.Reinhard.load(world.path("macenko")),
        "gray image": lambda: macenko(world.image[..., 0]),
        "RGBA": lambda: macenko(np.zeros((8, 8, 4), np.uint8)),
        "int16": lambda: macenko(world.image.astype(np.int16)),
        "NaN": lambda: macenko(np.full((8, 8, 3), np.nan)),
        "out of range": lambda: macenko(world.image.astype(np.float32)),
        "no image": lambda: macenko("image"),
        "on_blank": lambda: macenko(world.image, on_blank="ignore"),
        "value_range": lambda: macenko(world.image, value_range=(1, 0)),
        "channel_axis": lambda: macenko(world.image, channel_axis=0),
        "bake 1 node": lambda: sx.bake(macenko.map_for(world.image), 1),
        "bake StainLUT": lambda: sx.bake(world.fitted["stainlut"].map_for(world.image)),
        "map for no tiles": lambda: macenko.map_for_tiles([]),
        "map for blank tiles": lambda: macenko.map_for_tiles([world.blank]),
        "reader": lambda: sx.open_slide("slide.svs", "magic"),
        "missing slide": lambda: sx.open_slide(world.folder / "missing.svs"),
        "no slide": lambda: sx.open_slide(broken),
        "threads": lambda: sx.set_threads(-1),
        "attribute": lambda: sx.nothing,
    }
    for method, settings in (
        ("macenko", {"definition": "none"}),
        ("macenko", {"combine": "none"}),
        ("vahadane", {"definition": "none"}),
        ("reinhard", {"space": "none"}),
        ("khan", {"glass": "none"}),
        ("ramakrishnan", {"patches": 0}),
        ("stainlut", {"gray": "none"}),
        ("stainlut", {"inference": "none"}),
        ("stainlut", {"learning_rates": {"none": 1}}),
        ("colornormnet", {"crop": 3}),
        ("stainnet", {"teacher": 3}),
        ("staingan", {"source": tiles, "steps": -1}),
    ):
        calls[f"{method} {list(settings)[-1]}"] = lambda m=method, s=settings: sx.fit_center(tiles, m, **s)
    for name, call in calls.items():
        record(f"errors/{name}", call)


# ---- applying -------------------------------------------------------------------------------------------------------


def applied(record, world):
    """Every method on every dtype and layout, on memory of all kinds, on odd images and in other ranges."""
    import torch

    from stainxform.testing import DTYPES, LAYOUTS, blank_image, corrupted_tiles, memory_layouts, store

    odd = {**corrupted_tiles(), "glass": blank_image(), "no pixels": np.zeros((0, 7, 3), np.uint8)}
    for name, image in odd.items():
        record.value(f"testing/{name}", image)
    for method, model in world.fitted.items():
        for dtype in DTYPES:
            for layout in LAYOUTS:
                stored = store(world.image, dtype, layout)
                record(f"{method}/{dtype}/{layout}", model, stored.image, **stored.keywords)
        record(f"{method}/bfloat16/torch CHW", model, torch.from_numpy(world.chw() / 255).to(torch.bfloat16))
        record(f"{method}/uint8/torch NDCHW", model, torch.from_numpy(world.chw(world.theirs))[None])
        record(f"{method}/uint8/torch HWC", model, torch.from_numpy(world.image.copy()), channel_axis=-1)
        for dtype in ("uint8", "float32"):
            for name, image in memory_layouts(store(world.image, dtype).image).items():
                record(f"{method}/{dtype}/{name}", model, image)
            tensor = store(world.image, dtype, "torch CHW").image
            record(f"{method}/{dtype}/strided tensor", model, tensor.repeat_interleave(2, -1)[..., ::2])
        record(f"{method}/range 0..255", model, world.image.astype(np.float32), value_range=(0, 255))
        record(f"{method}/range -1..1", model, world.image / 127.5 - 1, value_range=(-1, 1))
        for name, image in odd.items():
            record(f"{method}/{name}", model, image)
            record(f"{method}/{name}/on_blank warn", model, image / np.float32(255), on_blank="warn")
            record(f"{method}/{name}/on_blank raise", model, image, on_blank="raise")
        batch = np.stack([world.image, world.blank, world.theirs[1]])
        record(f"{method}/batch with a blank one", model, batch, on_blank="warn")


def large(record, world):
    """Images that are split over threads."""
    from stainxform.samples import pair

    image = np.ascontiguousarray(np.tile(pair(1, 256, seed=9)[1][0], (5, 4, 1))[:1100, :1000])
    for method in ("histogram_matching", "khan", "macenko", "reinhard", "stainlut", "stainnet", "vahadane"):
        record(f"{method}/large", world.fitted[method], image)
    record("macenko/large floats", world.fitted["macenko"], image / np.float32(255))


def maps(record, world):
    """Maps of images and tiles, in tiles, baked, as .cube files."""
    import stainxform as sx
    from stainxform import tiling
    from stainxform.maps import IdentityMap

    unit = world.image / np.float32(255)
    record("maps/identity", IdentityMap(), unit)
    tiles = [*world.theirs, world.blank]
    for method, model in world.fitted.items():
        for name, make, source in (("map_for", model.map_for, world.image), ("for_tiles", model.map_for_tiles, tiles)):
            image_map = record.made(f"{method}/{name}", make, source)
            if image_map is None:
                continue
            record.value(f"{method}/{name}/needs", [image_map.halo, image_map.align, image_map.tile])
            record(f"{method}/{name}/uint8", image_map, world.image)
            record(f"{method}/{name}/float32", image_map, unit)
            record(f"{method}/{name}/in tiles", tiling.apply_in_tiles, image_map, world.image, 24)
            record(f"{method}/{name}/in tiles CHW", tiling.apply_in_tiles, image_map, world.chw(), 17, channel_axis=-3)
            record(f"{method}/{name}/surroundings", tiling.surroundings, image_map, (24, 16, 24, 24), SIZE)
        for nodes, interpolation in ((17, "tetrahedral"), (5, "trilinear")):
            lut = record(f"{method}/bake {nodes} {interpolation}", _baked, model, world.image, nodes, interpolation)
            if lut is not None:
                lut = sx.Lut3DMap(lut, interpolation)
                record(f"{method}/baked {nodes}/uint8", lut, world.image)
                record(f"{method}/baked {nodes}/float32", lut, unit)
        record(f"{method}/bake_center", lambda m=model: sx.bake_center(m, world.theirs, 9).table)
    color_map = world.fitted["macenko"].map_for(world.image)
    lut, path = sx.bake(color_map, 9), world.folder / "lut.cube"
    record("bake_error/random", sx.bake_error, color_map, lut)
    record("bake_error/images", sx.bake_error, color_map, lut, world.theirs)
    record("write_cube", sx.write_cube, path, lut, "b to a")
    record.file("write_cube/file", path)
    record("read_cube", lambda: sx.read_cube(path, "trilinear").table)
    record("read_cube/applied", lambda: sx.read_cube(path)(world.image))


def _baked(model, image, nodes, interpolation):
    """The table of the map of an image."""
    import stainxform as sx

    return sx.bake(model.map_for(image), nodes, interpolation).table


# ---- hosts ----------------------------------------------------------------------------------------------------------


def in_monai(record, world):
    """Normalizers as MONAI transforms."""
    import torch
    from monai.data import MetaTensor
    from monai.transforms import Compose, LoadImaged, ScaleIntensityd
    from PIL import Image

    from stainxform import monai as host

    path = world.folder / "monai.png"
    Image.fromarray(world.image).save(path)
    values = world.chw().astype(np.float32)
    kinds = {
        "uint8/CHW": world.chw(),
        "float32/CHW": values,
        "uint8/torch CHW": torch.from_numpy(world.chw()),
        "float32/MetaTensor": MetaTensor(torch.from_numpy(values), meta={"site": "b"}),
    }
    for method, model in world.fitted.items():
        own = getattr(host, type(model).__name__)
        dictionary = getattr(host, f"{type(model).__name__}d")
        for name, image in kinds.items():
            record(f"{method}/{name}/monai array", host.StainNormalize(model), image)
            record(f"{method}/{name}/monai own array", own(world.path(method)), image)
            record(f"{method}/{name}/monai dict", host.StainNormalized("image", model), {"image": image, "label": 3})
            record(f"{method}/{name}/monai own dict", dictionary(["image"], world.path(method)), {"image": image})
        record(f"{method}/0..1/monai", host.StainNormalize(model, (0, 1), "warn"), values / 255)
        steps = [
            LoadImaged("image", ensure_channel_first=True),
            dictionary("image", model=world.path(method)),
            ScaleIntensityd("image"),
        ]
        record(f"{method}/monai pipeline", lambda steps=steps: Compose(steps)({"image": str(path)})["image"])
    macenko = world.fitted["macenko"]
    record("monai/other method", host.Reinhard, macenko)
    record("monai/batch", host.StainNormalize(macenko), world.chw(world.theirs))
    record("monai/blank", host.StainNormalize(macenko, on_blank="warn"), world.chw(world.blank))
    record("monai/missing key", host.StainNormalized("image", macenko), {"label": 3})
    record("monai/allowed", host.StainNormalized("image", macenko, allow_missing_keys=True), {"label": 3})


def in_albumentations(record, world):
    """Normalizers as albumentations transforms."""
    import albumentations

    from stainxform import albumentations as host

    unit, mask = world.image / np.float32(255), world.image[..., 0]
    for method, model in world.fitted.items():
        own = getattr(host, type(model).__name__)
        for name, transform in (("", host.StainNormalize(model)), (" own", own(model=world.path(method)))):
            pipeline = albumentations.Compose([transform], seed=0)
            record(f"{method}/uint8/albumentations{name}", lambda p=pipeline: p(image=world.image, mask=mask))
            record(f"{method}/float32/albumentations{name}", lambda p=pipeline: p(image=unit))
            record(f"{method}/images/albumentations{name}", lambda p=pipeline: p(images=world.theirs))
    macenko = world.fitted["macenko"]
    record("albumentations/blank", lambda: host.StainNormalize(macenko, "warn")(image=world.blank))
    record("albumentations/other method", host.Reinhard, macenko)
    record("albumentations/not serializable", lambda: albumentations.to_dict(host.StainNormalize(macenko)))


def in_torchvision(record, world):
    """Normalizers and augmentations as torchvision transforms, where torchvision can be imported."""
    import torch

    try:
        from stainxform import torchvision as host
    except (ImportError, RuntimeError):  # missing, or built for another torch
        record.value("torchvision", "cannot be imported")
        return
    from PIL import Image
    from torchvision import tv_tensors

    from stainxform.augment import AUGMENTATIONS

    kinds = {
        "Image": tv_tensors.Image(torch.from_numpy(world.chw())),
        "Video": tv_tensors.Video(torch.from_numpy(world.chw(world.theirs))),
        "tensor": torch.from_numpy(world.chw() / np.float32(255)),
        "PIL": Image.fromarray(world.image),
    }

    def run(transform, image):
        torch.manual_seed(6)
        result = transform(image)
        return np.asarray(result) if isinstance(result, Image.Image) else result

    for method, model in world.fitted.items():
        own = getattr(host, type(model).__name__)
        for name, image in kinds.items():
            record(f"{method}/{name}/torchvision", run, host.StainNormalize(model), image)
            record(f"{method}/{name}/torchvision own", run, own(world.path(method)), image)
    for name, kind in AUGMENTATIONS.items():
        transform = getattr(host, _rand(kind))(p=1, **_needed(kind, world))
        for stored, image in kinds.items():
            record(f"{name}/{stored}/torchvision", run, transform, image)


def in_torch(record, world):
    """Normalizers and maps as torch modules: results, states, gradients, and an exported program."""
    import torch

    from stainxform.nn import Normalize

    images = torch.from_numpy(world.chw(world.theirs))
    unit = images.float() / 255

    def gradient(module):
        image = unit[:1].clone().requires_grad_()
        module(image).square().sum().backward()
        return image.grad

    def exported(module):
        dims = {0: torch.export.Dim.AUTO, 2: torch.export.Dim.AUTO, 3: torch.export.Dim.AUTO}
        program = torch.export.export(module, (unit,), dynamic_shapes=({**dims},))
        return program.module()(unit[:2, :, :40, :33])

    modules = {}
    for method, model in world.fitted.items():
        modules[f"{method}/nn"] = model
        modules[f"{method}/nn of a map"] = model.map_for(world.image)
    for name, model in modules.items():
        module = Normalize(model)
        record(f"{name}/uint8", module, images)
        record(f"{name}/float32", module, unit)
        record(f"{name}/one image", module, unit[0])
        record(f"{name}/float16", module, unit.half())
        record(f"{name}/0..255", Normalize(model, (0, 255)), unit * 255)
        record(f"{name}/gradient", gradient, module)
        record(f"{name}/state", lambda m=module: dict(m.state_dict()))
        record.value(f"{name}/native", [module.native, repr(module.method)])
    record("nn/from a file", lambda: Normalize(world.path("reinhard"))(images))
    record("nn/gray", Normalize(world.fitted["macenko"]), unit[:, :1])
    for name in ("macenko/nn of a map", "reinhard/nn"):
        record(f"{name}/exported", exported, Normalize(modules[name]))


def in_onnx(record, world):
    """What onnxruntime computes with exported files; their bytes depend on the exporter."""
    from stainxform.onnx import export

    unit = world.chw(world.theirs).astype(np.float32) / 255

    def run(model, image, **options):
        import onnxruntime

        path = world.folder / "model.onnx"
        export(model, path, **options)
        settings = onnxruntime.SessionOptions()
        settings.intra_op_num_threads = settings.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, settings, providers=["CPUExecutionProvider"])
        result = session.run(None, {"image": image})[0]
        return result, session.get_modelmeta().custom_metadata_map

    record("onnx/map", run, world.fitted["macenko"].map_for_tiles(world.theirs), unit)
    record("onnx/stainlut", run, world.path("stainlut"), (unit * 255).round().astype(np.uint8), dtype="uint8")
    record("onnx/no form", run, world.fitted["macenko"], unit)


# ---- augmentations --------------------------------------------------------------------------------------------------


VARIANTS = {
    "hed": [{"definition": "current", "sigma": (-0.2, 0.2), "bias": (-0.01, 0.01)}, {"cutoff": (0.0, 1.0)}],
    "stain_jitter": [
        {"sigma": (-0.2, 0.2), "residual": False, "tissue_only": False},
        {"stain_matrix": [[0.65, 0.07], [0.70, 0.99], [0.29, 0.11]]},
    ],
    "randstainna": [{"distribution": "laplace", "spread": 1.0}],
    "style": [{"interpolate": True}],
}
"""Settings of augmentations that take another way through the code."""


def _rand(kind):
    """The name of an augmentation's transforms."""
    return kind.__name__ if kind.__name__.startswith("Rand") else f"Rand{kind.__name__}"


def _needed(kind, world):
    """The files of what an augmentation needs besides settings."""
    fields = {field.name for field in dataclasses.fields(kind) if field.init and field.default is dataclasses.MISSING}
    given = {
        "model": str(world.models / "statistics.safetensors"),
        "models": [world.path(method) for method in ("macenko", "reinhard", "histogram_matching")],
    }
    return {name: value for name, value in given.items() if name in fields}


def augmentations(record, world):
    """Every augmentation, with its presets: draws, pixels, and the same in MONAI and albumentations."""
    import random

    import albumentations
    import torch

    from stainxform import albumentations as for_albumentations
    from stainxform import monai as for_monai
    from stainxform.augment import AUGMENTATIONS, PRESETS, ColorStatistics

    for label, settings in {
        "statistics": {},
        "statistics-ruderman": {"space": "ruderman"},
        "statistics-tissue": {"tissue_only": True, "center": "all"},
    }.items():
        path = world.models / f"{label}.safetensors"
        tiles = [*world.ours, *world.theirs, world.blank]
        record(f"{label}/fit", lambda p=path, t=tiles, s=settings: ColorStatistics.fit(t, **s).save(p))
        record.file(f"{label}/file", path)
        record(f"{label}/loaded", ColorStatistics.load, path)
    record.value(
        "presets", {n: {p: v.parameters | {"from": v.source} for p, v in ps.items()} for n, ps in PRESETS.items()}
    )

    unit = torch.from_numpy(world.chw() / np.float32(255))
    for name, kind in AUGMENTATIONS.items():
        needed = _needed(kind, world)
        record.value(f"{name}/what", [kind.name, kind.title, kind.source])
        for settings in [{}, *({"preset": preset} for preset in PRESETS.get(name, {})), *VARIANTS.get(name, [])]:
            label = name + "".join(f" {key}={value}" for key, value in settings.items())
            more = dict(settings)
            augmentation = kind.preset(more.pop("preset"), **needed) if "preset" in more else kind(**needed, **more)
            record.value(f"{label}/neutral", None if augmentation.neutral is None else dict(augmentation.neutral))
            for seed in range(3):
                draw = record(f"{label}/draw {seed}", augmentation.sample, np.random.default_rng(seed))
                record(f"{label}/draw {seed}/uint8", augmentation, world.image, draw)
                record(f"{label}/draw {seed}/float32 torch", augmentation, unit, draw)
                record(f"{label}/draw {seed}/float64 CHW", augmentation, world.chw() / 255, draw, channel_axis=-3)
            record(f"{label}/draw of RandomState", augmentation.sample, np.random.RandomState(1))
            record(f"{label}/draw of random", augmentation.sample, random.Random(1))
            record(f"{label}/batch", augmentation, world.theirs, draw)
            record(f"{label}/float16", augmentation, (world.image / 255).astype(np.float16), draw)
            record(f"{label}/blank", augmentation, world.blank, draw, on_blank="warn")
            record(f"{label}/one pixel", augmentation, world.image[:1, :1], draw, on_blank="raise")

            array = getattr(for_monai, _rand(kind))(prob=1, **needed, **settings)
            array.set_random_state(3)
            values = world.chw().astype(np.float32)
            record(f"{label}/monai array", lambda a=array, v=values: [a(v), a.draw, a(v), a.draw])
            pair = getattr(for_monai, f"{_rand(kind)}d")(["image", "more"], prob=0.7, **needed, **settings)
            pair.set_random_state(4)
            sample = {"image": world.chw(), "more": torch.from_numpy(world.chw(world.ours[0])), "label": 2}
            record(f"{label}/monai dict", lambda p=pair, s=sample: [p(s) for _ in range(3)])
            host = getattr(for_albumentations, _rand(kind))(p=0.7, **needed, **settings)
            pipeline = albumentations.Compose([host], seed=5)
            record(
                f"{label}/albumentations",
                lambda p=pipeline: [p(image=world.image, mask=world.image[..., 0]) for _ in range(3)],
            )
            record(f"{label}/albumentations images", lambda p=pipeline: p(images=world.theirs))
        record(f"{name}/unknown preset", kind.preset, "medium")
        record(f"{name}/unknown parameter", getattr(for_monai, _rand(kind)), strenght=1)


# ---- color and stains -----------------------------------------------------------------------------------------------


def stains(record, world):
    """Stain tools, tissue and background."""
    import torch

    import stainxform as sx
    from stainxform.testing import store

    names = ("he", "hed", "hdab", "macenko", "haec", "hpas", "alcian", "methyl-green-dab")
    for name in names:
        matrix = record(f"stains/{name}", sx.reference_stains, name)
        record(f"stains/{name}/matched", sx.match_stains, matrix[:, ::-1], name)
        record(f"stains/{name}/complement", lambda m=matrix: sx.complement_stains(m[:, :2]))
        for nonnegative in (False, True):
            label = f"separate_stains/{name}/nonnegative={nonnegative}"
            amounts = record(label, sx.separate_stains, world.image, name, nonnegative=nonnegative)
            record(f"{label}/combined", sx.combine_stains, amounts, name)
            record(f"{label}/combined floats", sx.combine_stains, amounts, name, value_range=(0, 1))
    for dtype in ("uint8", "float16", "float32", "float64"):
        for layout in ("HWC", "CHW", "NHWC", "torch CHW", "torch NCHW"):
            stored = store(world.image, dtype, layout)
            label = f"{dtype}/{layout}"
            amounts = record(f"separate_stains/{label}", sx.separate_stains, stored.image, **stored.keywords)
            record(f"combine_stains/{label}", sx.combine_stains, amounts, **stored.keywords)
            record(f"tissue_mask/{label}", sx.tissue_mask, stored.image, **stored.keywords)
            record(f"background_intensity/{label}", sx.background_intensity, stored.image, **stored.keywords)
            for method in ("macenko", "vahadane", "ramakrishnan", "khan"):
                record(
                    f"estimate_stain_matrix/{method}/{label}",
                    sx.estimate_stain_matrix,
                    stored.image,
                    method,
                    **stored.keywords,
                )
    record("estimate_stain_matrix/reference", sx.estimate_stain_matrix, world.image, reference="hdab")
    record("estimate_stain_matrix/alpha", sx.estimate_stain_matrix, world.image, alpha=5)
    record("estimate_stain_matrix/reinhard", sx.estimate_stain_matrix, world.image, "reinhard")
    record("estimate_stain_matrix/blank", sx.estimate_stain_matrix, world.blank)
    record("separate_stains/-1..1", sx.separate_stains, world.image / 127.5 - 1, value_range=(-1, 1))
    record("combine_stains/wrong", sx.combine_stains, np.zeros((3, 3, 2)), "hed")
    record("reference_stains/unknown", sx.reference_stains, "h&e")
    glass = world.image.copy()
    glass[:20] = np.random.default_rng(0).integers(228, 250, (20, SIZE[1], 3))
    for percent in (0, 50, 90):
        record(f"background_intensity/glass {percent}", sx.background_intensity, glass, percent=percent)
    record("tissue_mask/bfloat16", sx.tissue_mask, torch.from_numpy(world.chw() / 255).to(torch.bfloat16))


def colors(record, world):
    """Color spaces there and back, in numpy and torch."""
    import torch

    from stainxform import color

    spaces = {
        "OD": color.OpticalDensity(),
        "OD staintools": color.STAINTOOLS_DENSITY,
        "OD background": color.BackgroundDensity((240.0, 235.0, 238.0)),
        "CIELab": color.CIELab(),
        "l-alpha-beta": color.LAlphaBeta(),
    }
    planes = world.chw() / 255
    every = np.random.default_rng(2).integers(0, 256, (3, 5000)) / 255
    for name, space in spaces.items():
        for dtype in (np.float32, np.float64):
            for kind, values in (("tile", planes.astype(dtype)), ("random", every.astype(dtype))):
                label = f"color/{name}/{np.dtype(dtype).name}/{kind}"
                there = record(label, space.from_rgb, values)
                record(f"{label}/back", space.to_rgb, there)
                there = record(f"{label}/torch", space.from_rgb, torch.from_numpy(values))
                record(f"{label}/torch back", space.to_rgb, there)
        if hasattr(space, "logarithm"):
            record.value(f"color/{name}/logarithm", space.logarithm)
    record("color/gray", color.gray, planes)
    record("color/mix", color.mix, color.XYZ_FROM_RGB, planes)


def operators(record, world):
    """The lookup operators of torch, forward and backward."""
    import torch

    import stainxform.ops  # noqa: F401 - registers them

    generator = torch.Generator().manual_seed(0)
    rgb = torch.rand(3, 40, 33, dtype=torch.float64, generator=generator) * 1.2 - 0.1
    context = torch.rand(40, 33, dtype=torch.float64, generator=generator)
    gray = torch.randint(0, 256, (40, 33), generator=generator).to(torch.uint8)
    tables = [
        torch.rand(*shape, dtype=torch.float64, generator=generator)
        for shape in ((3, 9, 9, 9), (3, 2, 5, 5, 5), (3, 3, 256))
    ]
    ops = torch.ops.stainxform
    for dtype in (torch.float64, torch.float32, torch.float16, torch.bfloat16):
        lut, deep, table = (value.to(dtype) for value in tables)
        calls = {
            "lut3d": (ops.lut3d, (lut, rgb.to(dtype), "tetrahedral")),
            "lut3d trilinear": (ops.lut3d, (lut, rgb.to(dtype), "trilinear")),
            "lut4d": (ops.lut4d, (deep, context.to(dtype), rgb.to(dtype))),
            "lookup_gray": (ops.lookup_gray, (table, gray, context.to(dtype))),
        }
        for name, (operator, arguments) in calls.items():
            label = f"ops/{name}/{str(dtype).partition('.')[2]}"
            record(label, operator, *arguments)
            record(f"{label}/gradients", _gradients, operator, arguments)
        bytes_ = (rgb.clamp(0, 1) * 255).round().to(torch.uint8)
        for interpolation in ("tetrahedral", "trilinear"):
            record(f"ops/lut3d {interpolation}/uint8 by {dtype}", ops.lut3d, lut, bytes_, interpolation)
    record("ops/wrong shape", ops.lut3d, tables[1], rgb, "tetrahedral")
    record("ops/wrong interpolation", ops.lut3d, tables[0], rgb, "cubic")


def _gradients(operator, arguments):
    """Gradients to all floats."""
    given = [a.clone().requires_grad_() if getattr(a, "is_floating_point", bool)() else a for a in arguments]
    operator(*given).square().sum().backward()
    return [a.grad for a in given if getattr(a, "requires_grad", False)]


# ---- slides ---------------------------------------------------------------------------------------------------------


PROFILE = b"not a real profile, but its bytes must come back"


def _slide(height=333, width=421):
    """Tissue with a band of glass on the right."""
    from stainxform.samples import pair

    image = pair(1, (height, width), ("b",), seed=4)[0][0].copy()
    image[:, width * 2 // 3 :] = 244
    return image


def slides(record, world):
    """Slides through every reader: regions, tiles, tissue, samples, maps."""
    import stainxform as sx
    from stainxform.monai import SlideReader
    from stainxform.slides import READERS, SUFFIXES, likely_tissue, tissue_of
    from stainxform.testing import KINDS, write_slide

    folder = world.fresh("slides")
    record.value("slides/names", [sorted(READERS), sorted(SUFFIXES)])
    for number, kind in enumerate(KINDS):
        path = write_slide(folder / f"{number}.tif", _slide(), kind, icc=PROFILE)
        record.file(f"testing/write_slide/{kind}", path)
        for reader in READERS:
            label = f"slides/{kind}/{reader}"
            slide = record.made(label, sx.open_slide, path, reader)
            if slide is None:
                continue
            with slide:
                record.value(label, [slide.levels, slide.mpp, slide.magnification, slide.icc, repr(slide)])
                for level in range(len(slide.levels)):
                    height, width = slide.levels[level].shape
                    record(f"{label}/level {level}", slide.read, level, 0, 0, width, height)
                    record(f"{label}/region of {level}", slide.read, level, 13, 7, 61, 50)
                    record(f"{label}/encoded bytes {level}", slide.encoded_bytes, level)
                record(f"{label}/tensor", slide.read_tensor, 0, 10, 20, 30, 40, device="cpu")
                record(f"{label}/outside", slide.read, 0, 400, 0, 50, 50)
                record(f"{label}/tiles", lambda s=slide: [[b.pixels, b.boxes, b.indices] for b in s.tiles(batch=5)])
                record(f"{label}/overlap", lambda s=slide: [b.pixels for b in s.tiles(1, (50, 40), 8, device="cpu")])
                mask = tissue_of(slide)
                record.value(f"{label}/tissue", mask)
                record.value(f"{label}/tissue mask", mask.mask)
                grid = mask.on(slide.grid(0, 64))
                record.value(f"{label}/tissue of tiles", [grid.fraction, grid.where(0.5), grid.boxes(0.3)])
                where = grid.where(0.5)
                record(f"{label}/tissue tiles", lambda s=slide, w=where: [b.pixels for b in s.tiles(0, 64, where=w)])
                record(f"{label}/tissue of level 1", tissue_of, slide, 1)
                record(f"{label}/likely tissue", likely_tissue, slide)
                for name, saved in (("mask.png", mask), ("tiles.geojson", grid)):
                    saved.save(world.folder / name)
                    record.file(f"{label}/{name}", world.folder / name)
            record(f"{label}/closed", slide.read, 0, 0, 0, 8, 8)
        options = {"level": 1} if number else {"mpp": 1.0, "mpp_rtol": 0.1}
        reader = SlideReader(**options)
        record(
            f"slides/{kind}/monai",
            lambda r=reader, p=path: r.get_data(r.read(p), location=(40, 60), size=(50, 70))[0],
        )
    damaged = folder / "damaged.svs"
    damaged.write_bytes((folder / "0.tif").read_bytes()[:-5000])
    record("slides/damaged", sx.open_slide, damaged)
    damaged.unlink()


def slide_samples(record, world):
    """Tiles drawn from slides, and what is fitted and estimated on them."""
    import stainxform as sx
    from stainxform.slides import SlideTiles
    from stainxform.testing import write_slide

    folder = world.fresh("centers")
    write_slide(folder / "one.tif", _slide(), "jpeg 4:2:0")
    write_slide(folder / "two.tif", _slide(260, 300))
    write_slide(folder / "glass.tif", np.full((200, 220, 3), 245, np.uint8))
    for label, options in {
        "plain": {"size": 64},
        "seed": {"size": 64, "per_slide": 4, "seed": 3},
        "mpp": {"size": 32, "mpp": 1.0, "per_slide": 5},
        "mpp between": {"size": 32, "mpp": 0.7, "per_slide": 5},
        "level": {"size": 32, "level": 1, "per_slide": 3},
        "too fine": {"size": 32, "mpp": 0.1},
        "too large": {"size": 4000},
    }.items():
        record(f"slides/sample/{label}", lambda o=options: _sampled(SlideTiles(folder, **o)))
    sampling = {"size": 64, "per_slide": 6, "seed": 2}
    for method in ("macenko", "ramakrishnan", "stainlut"):
        record(f"slides/fit/{method}", _fit, method=method, slides=folder, sampling=sampling)
    with sx.open_slide(folder / "one.tif") as slide:
        region = slide.read(0, 40, 30, 100, 90)
        for method, model in world.fitted.items():
            label = f"slides/map/{method}"
            record(label, lambda m=model: sx.slide_map(m, slide, tiles=8, size=64)(region))
            record(
                f"{label}/level 1", lambda m=model: sx.slide_map(m, slide, tiles=8, size=32, level=1, seed=1)(region)
            )
    with sx.open_slide(folder / "glass.tif") as slide:
        record("slides/map/glass", lambda: sx.slide_map(world.fitted["macenko"], slide)(region))


def _sampled(tiles):
    """All tiles, and which slides they are from."""
    return [len(tiles), tiles.slide_of, list(tiles), tiles[1:3]]


def written(record, world):
    """Pyramids that are written: every layout, lossless and JPEG."""
    import stainxform as sx
    from stainxform.slides import PyramidOptions, write_slide

    source, folder = world.folder / "slides" / "0.tif", world.fresh("written")

    def write(label, image_map, options, **more):
        path = folder / "out.tif"
        done = []
        with sx.open_slide(source) as slide:
            made = write_slide(slide, path, image_map, options, progress=lambda *now: done.append(now), **more)
        data = path.read_bytes()
        path.unlink()
        return made.levels, made.size, made.resumed, done, data

    with sx.open_slide(source) as slide:
        found = {
            method: sx.slide_map(world.fitted[method], slide, tiles=8, size=64)
            for method in ("macenko", "stainlut", "reinhard", "staingan")
        }
    for layout in ("dual", "ome", "generic", "svs"):
        for name, more in {
            "jpeg": {},
            "jpeg 4:2:0": {"quality": 80, "subsampling": "4:2:0"},
            "lossless": {"lossless": True},
        }.items():
            options = PyramidOptions(layout, tile=64, **more)
            record(f"slides/written/{layout}/{name}", write, layout, found["macenko"], options)
        record(f"slides/written/{layout}/copy", write, layout, None, PyramidOptions(layout))
    options = PyramidOptions(tile=64)
    for method, image_map in found.items():
        record(f"slides/written/{method}", write, method, image_map, options, threads=1)
        record(f"slides/written/{method}/device", write, method, image_map, options, device="cpu")
    record("slides/written/keep", write, "keep", found["macenko"], options, background="keep")
    for icc in ("source", "srgb", None, PROFILE):
        record(f"slides/written/icc {icc}", write, "icc", found["macenko"], options, icc=icc)
    record("slides/written/resume", write, "resume", found["macenko"], options, resume=True, fingerprint="x")
    record("slides/written/resume without", write, "resume", found["macenko"], options, resume=True)
    record("slides/written/layout", PyramidOptions, "none")
    record("slides/written/tile", PyramidOptions, tile=17)


def normalized(record, world):
    """Folders of slides: pyramids, their records, and what is said of each slide."""
    import stainxform as sx
    from stainxform.slides import PyramidOptions

    source = world.folder / "centers"
    quick = {"options": PyramidOptions(tile=64), "threads": 2}
    cases = {
        "macenko": ("macenko", quick),
        "macenko svs names": ("macenko", {"options": PyramidOptions("svs", lossless=True), "names": True}),
        "macenko by tiles": ("macenko", quick | {"statistics": "tile", "background": "keep"}),
        "stainlut": ("stainlut", quick | {"reader": "openslide"}),
        "staingan shard": ("staingan", quick | {"shard": "2/3"}),
        "wrong shard": ("macenko", quick | {"shard": "4/3"}),
        "wrong statistics": ("macenko", quick | {"statistics": "none"}),
    }

    def run(target, method, options):
        done = sx.normalize_slides(source, target, world.path(method), device="cpu", **options)
        return [
            [str(one.job.target.relative_to(target)), one.status, one.pixels, record.plain(one.message)] for one in done
        ]

    for label, (method, options) in cases.items():
        target = world.folder / "normalized" / label
        record(f"slides/normalized/{label}", run, target, method, options)
        record.tree(f"slides/normalized/{label}", target)
    target = world.folder / "normalized" / "macenko"
    record("slides/normalized/again", run, target, "macenko", quick)
    record("slides/normalized/resumed", run, target, "macenko", quick | {"resume": True})
    record("slides/normalized/resumed with another", run, target, "reinhard", quick | {"resume": True})
    record("slides/normalized/forced", run, target, "reinhard", quick | {"force": True})
    record.tree("slides/normalized/forced", target)


# ---- evaluation and quality -----------------------------------------------------------------------------------------


def evaluation(record, world):
    """Metrics, the evaluation of centers, its report."""
    from stainxform import evaluate
    from stainxform.report import write_report
    from stainxform.samples import pair, tissue

    ours, theirs = pair(8, 64, ("a", "b"), 7)
    for name in ("ciede2000", "psnr", "ssim", "luminance_ssim"):
        record(f"evaluate/{name}", getattr(evaluate, name), theirs[0], ours[0])
        record(f"evaluate/{name}/same", getattr(evaluate, name), ours[0], ours[0])
        record(f"evaluate/{name}/shapes", getattr(evaluate, name), ours[0], ours[0][:-1])
    features = [[evaluate.color_features(evaluate.tissue_colors(tile)) for tile in tiles] for tiles in (ours, theirs)]
    record.value("evaluate/color_features", [list(evaluate.FEATURE_NAMES), features])
    record("evaluate/tissue_colors/blank", evaluate.tissue_colors, world.blank)
    record("evaluate/lab_wasserstein", evaluate.lab_wasserstein, theirs, ours)
    record("evaluate/frechet_distance", evaluate.frechet_distance, *map(np.array, features))
    first, second = (world.fitted[method].stain_matrix for method in ("macenko", "vahadane"))
    record("evaluate/stain_angle", evaluate.stain_angle, first, second)
    rng = np.random.default_rng(0)
    truth, scores, groups = rng.integers(0, 2, 60), rng.normal(size=60), np.arange(60) // 6
    masks = rng.integers(0, 2, (2, 40, 40)).astype(bool)
    labels = [tissue(64, seed=(7, k)).nuclei for k in range(8)]
    record("evaluate/auc", evaluate.auc, truth, scores)
    record("evaluate/f1", evaluate.f1, truth, scores > 0)
    record("evaluate/dice", evaluate.dice, *masks)
    record("evaluate/iou", evaluate.iou, *masks)
    record("evaluate/aji", evaluate.aji, labels[0], labels[1])
    record("evaluate/panoptic_quality", evaluate.panoptic_quality, labels[0], np.roll(labels[0], 2, 1))
    record("evaluate/bootstrap_interval", evaluate.bootstrap_interval, scores, groups)
    both, centers = np.concatenate(features), ["a"] * 8 + ["b"] * 8
    record(
        "evaluate/center_identifiability", evaluate.center_identifiability, both, centers, list(range(16)), repeats=50
    )

    chosen = {"macenko": world.fitted["macenko"], "reinhard": world.path("reinhard"), "nothing": np.copy}
    slides = {"ours": [f"a{i // 2}" for i in range(8)], "theirs": [f"b{i // 2}" for i in range(8)]}
    options = {
        "plain": {},
        "groups": {"groups": slides, "seed": 3, "level": 0.9},
        "aligned": {"groups": slides, "masks": {"theirs": labels}, "aligned": True, "threshold": 0.99},
        "wrong target": {"target": "none"},
    }
    for label, more in options.items():
        arguments = {"target": "ours", "repeats": 40} | more
        evaluated = {}

        def run(arguments=arguments, evaluated=evaluated):
            found = evaluate.evaluate_centers({"ours": ours, "theirs": theirs}, chosen, **arguments)
            timed = [
                method
                if method.seconds_per_megapixel is None
                else dataclasses.replace(method, seconds_per_megapixel=1.0)
                for method in found.methods
            ]
            evaluated["is"] = dataclasses.replace(found, methods=timed)
            return json.loads(evaluated["is"].to_json())

        record(f"evaluate/centers/{label}", run)
        if evaluated:
            path = world.folder / f"{label}.html"
            centers = {"ours": ours, "theirs": theirs}
            record(f"report/{label}", write_report, path, evaluated["is"], centers, chosen, panels=2)
            record.file(f"report/{label}/file", path)


def quality(record, world):
    """Quality control: scores, reasons, the contact sheet."""
    from stainxform.quality import FAULTS, Limits, check_quality, write_sheet
    from stainxform.testing import corrupted_tiles

    record.value("quality/faults", list(FAULTS))
    record.value("quality/limits", Limits())
    record("quality/wrong limits", Limits, ink=float("nan"))
    sets = {"center": world.faulty, "few": world.faulty[-6:], "odd": list(corrupted_tiles().values())}
    for label, tiles in sets.items():
        report = check_quality(tiles)
        record.value(f"quality/{label}", report.to_json())
        record.value(f"quality/{label}/summary", report.summary)
        path = world.folder / f"{label}.png"
        record(f"quality/{label}/shown", write_sheet, path, tiles, report)
        record.file(f"quality/{label}/sheet", path)
    strict = Limits(ink=0.001, focus_distance=1, stain_distance=2, fold_density=1.1)
    record("quality/strict", lambda: check_quality(world.faulty, limits=strict).to_json(1))


def generated(record, world):
    """The generated tissue and images that tests and tutorials start from."""
    from stainxform import samples, testing

    for name, center in samples.CENTERS.items():
        record(f"samples/{name}", samples.pair, 2, (50, 70), (name,), 3)
        record.value(f"samples/{name}/center", center)
    drawn = samples.tissue((60, 80), seed=5, cellularity=0.8)
    record.value("samples/tissue", drawn)
    record("samples/render", samples.render, drawn, "c", noise=False)
    record("samples/unknown", samples.pair, 1, 20, ("z",))
    tile = world.image
    for name, made in {
        "he_image": lambda: testing.he_image(3, 20, 30, eosin=0.5),
        "concentrations": lambda: testing.concentrations(3, 20, 30),
        "blurred": lambda: testing.blurred(tile, 1.5),
        "folded": lambda: testing.folded(tile),
        "saturated": lambda: testing.saturated(tile),
        "overexposed": lambda: testing.overexposed(tile),
        "pyramid": lambda: testing.pyramid(tile, 3),
        "names": lambda: [list(testing.LAWS), list(testing.KINDS), testing.PENS],
    }.items():
        record(f"testing/{name}", made)
    record("testing/laws kept", testing.check_transform, world.fitted["macenko"], examples=2)
    record("testing/law broken", testing.check_law, "kind_is_kept", testing.Case(lambda image: image[:1], examples=2))


# ---- the command line -----------------------------------------------------------------------------------------------


def command_line(record, world):
    """What the commands write and say."""
    import stainxform as sx

    folder, work = world.folder / "tiles", world.fresh("commands")
    root = str(Path(sx.__file__).parents[1])
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([root, os.environ.get("PYTHONPATH", "")]),
        "COLUMNS": "120",
        "OMP_NUM_THREADS": "1",  # trainings repeat on the same number of threads only
    }

    def run(*arguments):
        command = [sys.executable, "-m", "stainxform", *map(str, arguments)]
        done = subprocess.run(command, env=environment, cwd=work, capture_output=True, text=True, check=False)
        said = [line for line in done.stderr.splitlines() if line.startswith(("error", "warning"))]
        return done.returncode, _timeless(record.plain(done.stdout)), [record.plain(line) for line in said]

    model = work / "m.safetensors"
    tiny_lut = ["--set", "bases=2", "--set", "size=5", "--set", "crop=32", "--steps", 2, "--seed", 4, "--device", "cpu"]
    for name, arguments in {
        "fit": ["fit", folder, "-o", model, "--method", "macenko", "--center", "Lab A", "--set", "alpha=2"],
        "fit stainlut": ["fit", folder, "-o", work / "lut.safetensors", *tiny_lut, "--qc", "off"],
        "fit again": ["fit", folder, "-o", model, "--method", "macenko"],
        "apply": ["apply", "-m", model, folder, "-o", work / "applied", "-j", 1, "--on-blank", "warn"],
        "qc": ["qc", folder, "--json"],
        "qc sheet": ["qc", folder, "-o", work / "sheet.png"],
        "tiles": ["tiles", world.folder / "slides" / "0.tif", "-o", work / "cut", "-m", model, "--size", 64, "-j", 1],
        "slide": ["slide", world.folder / "centers", "-o", work / "slides", "-m", model, "--layout", "ome", "-j", 2],
        "info": ["info", model],
        "methods": ["methods"],
        "unknown": ["info", work / "none.safetensors"],
    }.items():
        record(f"command line/{name}", run, *arguments)
    record.tree("command line/files", work)


def _timeless(text):
    """Output without seconds and speeds."""
    return re.sub(r"\d+(\.\d+)? (s|MP/s|images/s|tiles/s|ms)\b", "TIME", text)


# ---- model files of another record ----------------------------------------------------------------------------------


def old_models(record, world, models):
    """Model files that were written before, here or by another commit, load and do the same."""
    import stainxform as sx
    from stainxform.augment import ColorStatistics, RandStainNA

    for path in sorted(Path(models).glob("*.safetensors")):
        name = f"old model file: {path.stem}"
        if path.stem.startswith("statistics"):
            augmentation = RandStainNA(model=str(path))
            record(name, lambda a=augmentation: a(world.image, a.sample(np.random.default_rng(0))))
            record(f"{name}/loaded", ColorStatistics.load, path)
        else:
            record(name, lambda p=path: sx.load(p)(world.image))
            record(f"{name}/floats", lambda p=path: sx.load(p)(world.chw() / np.float32(255), channel_axis=-3))
            record(f"{name}/state", lambda p=path: sx.load(p).state())


SECTIONS = (
    fits,
    sources,
    errors,
    applied,
    large,
    maps,
    in_monai,
    in_albumentations,
    augmentations,
    in_torchvision,
    in_torch,
    in_onnx,
    stains,
    colors,
    operators,
    slides,
    slide_samples,
    written,
    normalized,
    evaluation,
    quality,
    generated,
    command_line,
)


# ---- the commands ---------------------------------------------------------------------------------------------------


def record_all(output, models=None):
    """Run every case and write the record; model files go into a folder beside it."""
    import torch

    import stainxform as sx

    torch.set_num_threads(1)
    sx.set_threads(2)
    own = output.with_suffix(".models")
    shutil.rmtree(own, ignore_errors=True)
    own.mkdir(parents=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="same-outputs-") as name:
        folder = Path(name).resolve()
        record, world = Record(folder), World(folder, own.resolve())
        for section in (*SECTIONS, lambda record, world: old_models(record, world, models or own)):
            begin, before = time.perf_counter(), len(record.cases)
            title = "old model files" if section.__name__ == "<lambda>" else section.__name__
            try:
                section(record, world)
            except Exception as error:  # the other sections still tell something
                record.text(f"section {title}", f"raises {type(error).__name__}: {record.plain(error)}")
            seconds = time.perf_counter() - begin
            print(f"{title}: {len(record.cases) - before} cases in {seconds:.1f} s", file=sys.stderr)
        cases = {key: value.replace(str(own.resolve()), "MODELS") for key, value in sorted(record.cases.items())}
    output.write_text(json.dumps(cases, indent=1) + "\n")
    raised = sum(value.startswith("raises ") for value in cases.values())
    seconds = time.perf_counter() - start
    print(f"{len(cases)} cases, {raised} of them errors, in {seconds:.0f} s, from {Path(sx.__file__).parent}: {output}")


def compare(first, second):
    """Print what differs between two records; returns how many cases do."""
    a, b = (json.loads(Path(path).read_text()) for path in (first, second))
    different = 0
    for name in sorted(a.keys() | b.keys()):
        if a.get(name) == b.get(name):
            continue
        different += 1
        if name not in b:
            print(f"only in {first}: {name}")
        elif name not in a:
            print(f"only in {second}: {name}")
        else:
            print(f"differs: {name}")
            for value in (a[name], b[name]):
                print(f"    {value}")
    print(f"{len(a.keys() & b.keys())} cases in both, {different} differ or are missing")
    return different


def commits(old, new, output):
    """Record two commits in worktrees of their own, with the compiled kernels and without, and compare them."""
    output = output.resolve()
    output.mkdir(parents=True, exist_ok=True)
    root = Path(__file__).resolve().parents[1]
    different = 0
    with tempfile.TemporaryDirectory(prefix="same-outputs-") as scratch:
        trees = {"old": Path(scratch) / "old", "new": Path(scratch) / "new"}
        try:
            for (side, tree), commit in zip(trees.items(), (old, new), strict=True):
                _run(["git", "worktree", "add", "--quiet", "--detach", tree, commit], root)
                _run([sys.executable, "setup.py", "-q", "build_ext", "--inplace"], tree)
                if not [*tree.glob("stainxform/**/*.so"), *tree.glob("stainxform/**/*.pyd")]:
                    raise SystemExit(f"the kernels of {side} were not built")
            for native in ("", "off"):
                records = {}
                for side, tree in trees.items():
                    records[side] = output / f"{side}{'-' * bool(native)}{native}.json"
                    environment = os.environ | {"PYTHONPATH": str(tree), "STAINXFORM_NATIVE": native}
                    code = "import stainxform; print(stainxform.__file__)"
                    found = subprocess.check_output(
                        [sys.executable, "-c", code], env=environment, cwd=scratch, text=True
                    )
                    if not Path(found.strip()).is_relative_to(tree.resolve()):
                        raise SystemExit(f"stainxform is imported from {found.strip()}, not from the worktree")
                    models = ["--models", records["old"].with_suffix(".models")] if side == "new" else []
                    print(f"{side}, {'without' if native else 'with'} the compiled kernels", flush=True)
                    _run(
                        [sys.executable, Path(__file__).resolve(), "record", records[side], *models],
                        scratch,
                        environment,
                    )
                different += compare(records["old"], records["new"])
        finally:
            for tree in trees.values():
                if tree.exists():
                    _run(["git", "worktree", "remove", "--force", tree], root)
    return different


def _run(command, folder, environment=None):
    """Run a command; an error ends the program."""
    subprocess.run([str(part) for part in command], cwd=folder, env=environment, check=True)


def main(arguments=None):
    """Run a command; the exit code is 1 if outputs differ."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record", help="run every case with the stainxform that is importable")
    one.add_argument("output", type=Path, help="the record, a JSON file")
    one.add_argument("--models", type=Path, help="model files to load, of another record; default: its own")
    two = commands.add_parser("compare", help="list the cases that differ, or are missing on one side")
    two.add_argument("first", type=Path)
    two.add_argument("second", type=Path)
    both = commands.add_parser("commits", help="record and compare two commits")
    both.add_argument("old")
    both.add_argument("new")
    both.add_argument("-o", "--output", type=Path, required=True, help="folder for the records")
    given = parser.parse_args(arguments)
    if given.command == "record":
        record_all(given.output.resolve(), given.models)
        return 0
    if given.command == "compare":
        return int(compare(given.first, given.second) > 0)
    return int(commits(given.old, given.new, given.output) > 0)


if __name__ == "__main__":
    sys.exit(main())
