"""Run by test_host_classes in a process of its own: a method registered late, an augmentation from an entry point.

Usage: python use_toy_plugin.py save|load FOLDER
"""

import pickle
import sys
from pathlib import Path

import albumentations as A
import numpy as np
from monai.bundle import ConfigParser
from toy_plugin import METHOD, Dim, Toy

import stainxform as sx
import stainxform.albumentations
import stainxform.monai
from stainxform.augment import AUGMENTATIONS, PRESETS
from stainxform.errors import MissingDependencyError
from stainxform.samples import pair

task, folder = sys.argv[1], Path(sys.argv[2])
ours, theirs = pair(2, 48, seed=1)
model = str(folder / "toy.safetensors")

assert not hasattr(stainxform.monai, "Toyd")
assert not hasattr(stainxform.albumentations, "Toy")
sx.register(METHOD)
assert AUGMENTATIONS["dim"] is Dim  # nobody registered it here: it is announced
assert PRESETS["dim"].keys() == {"light", "strong"}

from stainxform.albumentations import RandDim  # noqa: E402
from stainxform.albumentations import Toy as ForAlbumentations  # noqa: E402
from stainxform.monai import RandDimd, Toyd  # noqa: E402

for kind in (Toyd, RandDimd, stainxform.monai.ToyDict, ForAlbumentations, RandDim):
    assert pickle.loads(pickle.dumps(kind)) is kind
assert {"Toy", "Toyd", "RandDim", "RandDimD"} <= set(dir(stainxform.monai))
assert (Toyd.__module__, Toyd.__name__) == ("stainxform.monai", "Toyd")
assert stainxform.monai.ToyD is stainxform.monai.ToyDict is Toyd

if task == "save":
    sx.fit_center(ours, "toy").save(model)
    chain = A.Compose([ForAlbumentations(model), RandDim(preset="strong", p=1)], seed=1)
    A.save(chain, folder / "pipeline.json")
    (folder / "toy.pickle").write_bytes(pickle.dumps([Toyd("image", model), RandDimd("image", preset="strong")]))
else:
    chain = A.load(folder / "pipeline.json")
    first, second = pickle.loads((folder / "toy.pickle").read_bytes())
    assert (type(first), type(second)) == (Toyd, RandDimd)

fitted = sx.load(model)
assert type(fitted) is Toy
wanted = fitted(theirs[0])
np.testing.assert_array_equal(chain.transforms[0](image=theirs[0])["image"], wanted)
config = {"_target_": "stainxform.monai.Toyd", "keys": "image", "model": model}
found = ConfigParser({"toy": config}).get_parsed_content("toy")({"image": np.moveaxis(theirs[0], -1, 0)})["image"]
np.testing.assert_array_equal(np.moveaxis(found, 0, -1), wanted)
dimmed = RandDimd("image", preset="strong", prob=1)
found = dimmed({"image": np.moveaxis(theirs[0], -1, 0)})["image"]
np.testing.assert_array_equal(np.moveaxis(found, 0, -1), Dim.preset("strong")(theirs[0], dimmed.augment.draw))

try:
    from stainxform.torchvision import RandDim, Toy
except MissingDependencyError:
    pass
else:
    import torch

    found = Toy(model)(torch.from_numpy(np.moveaxis(theirs[0], -1, 0).copy()))
    np.testing.assert_array_equal(np.moveaxis(found.numpy(), 0, -1), wanted)
    assert pickle.loads(pickle.dumps(RandDim)) is RandDim
