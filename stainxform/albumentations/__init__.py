"""albumentations transforms: images are normalized, masks, boxes and keypoints are left alone.

>>> import albumentations as A  # doctest: +SKIP
>>> from stainxform.albumentations import StainLUT  # doctest: +SKIP
>>> A.Compose([StainLUT(model="center_a.safetensors")])(image=image)  # doctest: +SKIP

``StainNormalize`` takes a model of any method; ``Macenko``, ``Reinhard``, ``StainLUT`` ... only their own. A pipeline
saved by ``A.save`` or ``A.to_dict`` records the model's path; import this package before loading it again, and register methods and
augmentations of your own: a pipeline that holds one that is not known raises MissingDependencyError.

Each augmentation has a random transform, ``RandHED``, ``RandHSV`` ...; their arguments are given by keyword:

>>> from stainxform.albumentations import RandHED  # doctest: +SKIP
>>> A.Compose([RandHED(preset="light", p=0.5)])(image=image, mask=mask)  # doctest: +SKIP

Pipelines made of numbers and paths are saved by ``A.save``, and replayed by ``A.ReplayCompose``. In a DataLoader with
forked workers, albumentations 2.0 draws the same in all of them unless the pipeline is seeded in ``worker_init_fn``.
"""

from stainxform._hosts.classes import attach
from stainxform._optional import require

require("albumentations", "albumentations")

from stainxform.albumentations.augment import RandAugmentation, of_augmentation  # noqa: E402
from stainxform.albumentations.base import find_classes_when_asked  # noqa: E402
from stainxform.albumentations.normalize import StainNormalize, of_method  # noqa: E402

__all__ = ["RandAugmentation", "StainNormalize"]
__getattr__, __dir__, __all__ = attach(__name__, __all__, of_method, of_augmentation)
find_classes_when_asked()
