"""torchvision v2 transforms: images and videos are normalized, masks, boxes and labels are left alone.

>>> from torchvision.transforms import v2  # doctest: +SKIP
>>> from stainxform.torchvision import RandHED, StainLUT  # doctest: +SKIP
>>> pipeline = v2.Compose([StainLUT("center_a.safetensors"), RandHED(preset="light", p=0.5)])  # doctest: +SKIP
>>> image, boxes, mask = pipeline(image, boxes, mask)  # doctest: +SKIP

``StainNormalize`` takes a model of any method; ``Macenko``, ``Reinhard``, ``StainLUT`` ... only their own. ``RandHED``,
``RandHSV`` ... draw from torch's random generator, once for all images and frames of a call.
"""

from stainxform._hosts.classes import attach
from stainxform._optional import require

require("torchvision.transforms.v2", "torchvision")

from stainxform.torchvision.augment import RandAugmentation, of_augmentation  # noqa: E402
from stainxform.torchvision.normalize import StainNormalize, of_method  # noqa: E402

__all__ = ["RandAugmentation", "StainNormalize"]
__getattr__, __dir__, __all__ = attach(__name__, __all__, of_method, of_augmentation)
