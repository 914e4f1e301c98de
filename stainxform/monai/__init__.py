"""MONAI transforms: channel-first numpy, tensor or MetaTensor in, the same out.

>>> from monai.transforms import Compose, LoadImaged  # doctest: +SKIP
>>> from stainxform.monai import StainLUTd  # doctest: +SKIP
>>> load = LoadImaged("image", ensure_channel_first=True)  # doctest: +SKIP
>>> pipeline = Compose([load, StainLUTd("image", model="center_a.safetensors")])  # doctest: +SKIP

``StainNormalize`` takes a model of any method; ``Macenko``, ``Reinhard``, ``StainLUT`` ... only their own. Each has a
dictionary form under MONAI's three names: ``StainLUTd`` = ``StainLUTD`` = ``StainLUTDict``. All are deterministic, so
CacheDataset and PersistentDataset cache them, and thread safe. In a bundle they are named in full:
``{"_target_": "stainxform.monai.StainLUTd", "keys": "image", "model": "center_a.safetensors"}``.

LoadImage transposes a png, jpg or tif to ``(3, W, H)``. Macenko and Reinhard do not look at where a pixel is, StainLUT
does: ``LoadImaged(..., reverse_indexing=False)`` keeps the image upright and gives, bit for bit, what a direct call
gives.

Each augmentation has a random transform, ``RandHED``, ``RandHSV`` ..., with the same dictionary forms:

>>> from stainxform.monai import RandHEDd  # doctest: +SKIP
>>> train = Compose([load, RandHEDd(["image", "context"], preset="light", prob=0.5)])  # doctest: +SKIP

Their arguments are given by keyword, and are JSON-able:
``{"_target_": "stainxform.monai.RandHSVd", "keys": "image", "preset": "strong"}``. One draw serves all keys. Every
worker of ``monai.data.DataLoader`` draws differently; with torch's own DataLoader pass
``worker_init_fn=monai.data.utils.worker_init_fn``, or all workers draw the same.
"""

from stainxform._hosts.classes import attach
from stainxform._optional import require

require("monai.transforms", "monai")

from stainxform.monai.augment import RandAugmentation, RandAugmentationd, of_augmentation  # noqa: E402
from stainxform.monai.normalize import (  # noqa: E402
    StainNormalize,
    StainNormalizeD,
    StainNormalized,
    StainNormalizeDict,
    of_method,
)
from stainxform.monai.slides import SlideReader, WholeSlide  # noqa: E402

__all__ = [
    "RandAugmentation",
    "RandAugmentationd",
    "SlideReader",
    "StainNormalize",
    "StainNormalizeD",
    "StainNormalizeDict",
    "StainNormalized",
    "WholeSlide",
]
__getattr__, __dir__, __all__ = attach(__name__, __all__, of_method, of_augmentation, ("", "d", "D", "Dict"))
