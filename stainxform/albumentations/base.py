"""What both kinds of transforms share: which arguments of a call are images, how they print, how they are found again."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from albumentations.core import composition, serialization
from albumentations.core.transforms_interface import ImageOnlyTransform

from stainxform.errors import InvalidImageError, MissingDependencyError, MissingKeyError

__all__ = ["ColorTransform", "find_classes_when_asked", "is_printing"]

_PACKAGE = "stainxform.albumentations"


class ColorTransform(ImageOnlyTransform):
    """An image-only transform that refuses a call without an image, and images that are no numpy arrays."""

    __module__ = _PACKAGE

    def __call__(self, *args: Any, force_apply: bool = False, **kwargs: Any) -> Any:
        """Change the images among the arguments; the others come back as they are.

        Raises
        ------
        InvalidImageError
            No argument is an image, or an image is no numpy array.
        MissingKeyError
            An argument that the transform was told to look at is missing.
        """
        given = {name: kwargs[name] for name in self._key2func if kwargs.get(name) is not None}
        if args or not given.keys() & {"image", "images", "volume", "volumes"}:  # albumentations asks one for its shape
            raise InvalidImageError(
                f"{type(self).__name__} was given no image, but {', '.join(map(repr, kwargs)) or 'nothing'} by name; pass "
                "image=, images=, volume= or volumes=, and others beside it by additional_targets of Compose"
            )
        for name, images in given.items():
            if isinstance(images, list | tuple) and not images:
                raise InvalidImageError(f"{name} is an empty list; pass at least one image")
            for image in images if isinstance(images, list | tuple) else [images]:
                if not isinstance(image, np.ndarray):
                    raise InvalidImageError(
                        f"{name} must be a numpy array (H, W, 3), or some of them, got {type(image).__name__}"
                    )
        looked_at = self.targets_as_params
        for name in looked_at:
            if name not in kwargs:
                raise MissingKeyError(f"{type(self).__name__} looks at {name}=, which the call lacks")
        # albumentations takes an argument for an image as soon as it is there, None included.
        absent = {name: kwargs.pop(name) for name in list(kwargs) if kwargs[name] is None and name not in looked_at}
        return super().__call__(force_apply=force_apply, **kwargs) | absent

    def apply_to_images(self, images: Any, *args: Any, **params: Any) -> Any:
        """Change each of ``(N, H, W, 3)``, or of a list of images, by itself."""
        if isinstance(images, np.ndarray):
            return self.apply(images, **params)
        changed = [self.apply(image, **params) for image in images]
        return np.stack(changed) if len({image.shape for image in changed}) == 1 else changed


def is_printing() -> bool:
    """Whether albumentations asks for the arguments in order to print a pipeline, not to store it."""
    frame = sys._getframe(1)
    while frame.f_back is not None:
        if frame.f_code.co_name in ("__repr__", "indented_repr"):
            return True
        frame = frame.f_back
    return False


class _Registry(dict[str, Any]):
    """albumentations' classes by name. Ours are made when they are asked for; one that cannot be says why."""

    def __missing__(self, name: str) -> Any:
        package, _, title = name.rpartition(".")
        if package != _PACKAGE:
            raise KeyError(name)
        try:
            return getattr(sys.modules[_PACKAGE], title)
        except AttributeError:
            raise MissingDependencyError(
                f"the pipeline holds {name}, which this stainxform does not know; install, or import, the package that "
                "brings it"
            ) from None


def find_classes_when_asked() -> None:
    """Let ``A.load`` and ``A.from_dict`` find classes that are not made yet."""
    found = _Registry(serialization.SERIALIZABLE_REGISTRY)
    for module in (serialization, composition):
        module.SERIALIZABLE_REGISTRY = found
