"""Testing of transforms and slide readers: strategies of H&E-like images, faults of real tiles, and ready-made tests.

>>> from stainxform.testing import check_transform
>>> check_transform(MyTransform())  # doctest: +SKIP

Needs the extra ``testing``.
"""

from stainxform._optional import require

require("hypothesis", "testing")

from stainxform.testing.augmentations import AugmentationTests  # noqa: E402
from stainxform.testing.corruptions import (  # noqa: E402
    PENS,
    blurred,
    corrupted_tiles,
    folded,
    one_stain,
    overexposed,
    saturated,
    with_strokes,
)
from stainxform.testing.images import (  # noqa: E402
    DTYPES,
    LAYOUTS,
    STAINS,
    Stored,
    blank_image,
    concentrations,
    he_image,
    in_range,
    memory_layouts,
    store,
)
from stainxform.testing.laws import LAWS, Case, TransformLaws, check_law, check_transform  # noqa: E402
from stainxform.testing.normalizers import NormalizerTests  # noqa: E402
from stainxform.testing.readers import SlideReaderTests  # noqa: E402
from stainxform.testing.slides import KINDS, Kind, pyramid, write_slide  # noqa: E402
from stainxform.testing.sources import SOURCES, Items, Source  # noqa: E402
from stainxform.testing.strategies import (  # noqa: E402
    SmallSlide,
    color_maps,
    corrupted_images,
    he_images,
    odd_images,
    sides,
    slides,
    stain_matrices,
    stored_images,
)

__all__ = [
    "DTYPES",
    "KINDS",
    "LAWS",
    "LAYOUTS",
    "PENS",
    "SOURCES",
    "STAINS",
    "AugmentationTests",
    "Case",
    "Items",
    "Kind",
    "NormalizerTests",
    "SlideReaderTests",
    "SmallSlide",
    "Source",
    "Stored",
    "TransformLaws",
    "blank_image",
    "blurred",
    "check_law",
    "check_transform",
    "color_maps",
    "concentrations",
    "corrupted_images",
    "corrupted_tiles",
    "folded",
    "he_image",
    "he_images",
    "in_range",
    "memory_layouts",
    "odd_images",
    "one_stain",
    "overexposed",
    "pyramid",
    "saturated",
    "sides",
    "slides",
    "stain_matrices",
    "store",
    "stored_images",
    "with_strokes",
    "write_slide",
]
