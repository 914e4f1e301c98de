"""Images augmented by MONAI: one, and those of a dictionary."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import Any, ClassVar, Self

import numpy as np
from monai.config.type_definitions import KeysCollection, NdarrayOrTensor
from monai.data.meta_obj import get_track_meta
from monai.data.meta_tensor import MetaTensor
from monai.transforms.transform import MapTransform, Randomizable, RandomizableTransform
from monai.utils.enums import TransformBackends

from stainxform._hosts.augment import build, draw_from, signature, transform_doc, transform_name
from stainxform.augment import Augmentation, Draw
from stainxform.errors import InvalidImageError, MissingKeyError
from stainxform.image.blank import OnBlank, check_on_blank
from stainxform.image.layout import ValueRange, check_image, check_range

__all__ = ["RandAugmentation", "RandAugmentationd", "each_of", "image_keys", "of_augmentation"]


def each_of(img: Any, function: Callable[[NdarrayOrTensor], NdarrayOrTensor]) -> Any:
    """Apply a function to the image ``(3, H, W)`` or the patches ``(N, 3, H, W)`` that a transform was given.

    Of a list or a tuple to each by itself. Meta is dropped where MONAI is told not to track any.

    Raises
    ------
    InvalidImageError
        A volume, or another shape.
    """
    if isinstance(img, list | tuple):
        return type(img)([each_of(one, function) for one in img])
    shape = tuple(getattr(img, "shape", (3, 0, 0)))  # what is no array is refused by those who know arrays
    if len(shape) not in (3, 4) or (len(shape) == 4 and shape[1] != 3):
        raise InvalidImageError(
            f"expected a channel-first RGB image (3, H, W) or patches (N, 3, H, W), got shape {shape}; "
            "pass the slices of a volume one by one"
        )
    return function(img.as_tensor() if isinstance(img, MetaTensor) and not get_track_meta() else img)


def sample_of(transform: MapTransform, data: Any) -> dict[Hashable, Any]:
    """A copy of the dictionary that a transform was given; InvalidImageError if it is none."""
    if not isinstance(data, Mapping):
        raise InvalidImageError(
            f"{type(transform).__name__} takes a dictionary, got {type(data).__name__}; pass its images one by one, or use "
            "the transform of arrays"
        )
    return dict(data)


def image_keys(transform: MapTransform, data: Mapping[Hashable, Any]) -> Iterator[Hashable]:
    """The keys of a transform's images that are in the data; MissingKeyError for others, unless they are allowed."""
    for key in transform.keys:
        if key not in data and not transform.allow_missing_keys:
            raise MissingKeyError(
                f"key {key!r} of {type(transform).__name__} is not in the data, which hold: {', '.join(map(repr, data))}; "
                "pass allow_missing_keys=True to skip it"
            )
    yield from (key for key in transform.keys if key in data)


class RandAugmentation(RandomizableTransform):
    """Draw from an augmentation, and apply the draw, with a probability. The base of ``RandHED`` and the others.

    Parameters
    ----------
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    **parameters
        Arguments of the augmentation.
    """

    __module__ = "stainxform.monai"
    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    kind: ClassVar[type[Augmentation]]
    """The augmentation."""

    def __init__(
        self,
        *,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        **parameters: Any,
    ) -> None:
        super().__init__(prob)
        check_on_blank(on_blank)
        self.augmentation = build(self.kind, parameters)
        self.value_range = check_range(value_range)
        self.on_blank = on_blank
        self.draw: Draw | None = None

    def randomize(self, data: Any = None) -> None:
        """Decide whether to apply the augmentation, and draw: ``self.draw`` is None if it is not applied."""
        super().randomize(None)
        self.draw = draw_from(self.augmentation, self.R) if self._do_transform else None

    def __call__(self, img: NdarrayOrTensor, randomize: bool = True) -> NdarrayOrTensor:
        """Augment one image.

        Parameters
        ----------
        img : ndarray or Tensor
            ``(3, H, W)``, or patches ``(N, 3, H, W)``: numpy array, tensor or MetaTensor; uint8 in 0..255, or float in
            ``value_range``; or a list of these. All get the same draw.
        randomize : bool, optional
            Draw anew; otherwise the last draw is used.

        Returns
        -------
        ndarray or Tensor
            Image of the same type, shape, dtype, device, meta and applied_operations; ``img`` itself if it is left out.

        Raises
        ------
        InvalidImageError
            A volume, another number of channels, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank image, with ``on_blank="raise"``.
        """
        if randomize:
            self.randomize()
        return each_of(img, self._apply)

    def _apply(self, img: NdarrayOrTensor) -> NdarrayOrTensor:
        if self.draw is None:
            check_image(img, self.value_range, channel_axis=-3)
            return img
        return self.augmentation(img, self.draw, value_range=self.value_range, channel_axis=-3, on_blank=self.on_blank)


class RandAugmentationd(Randomizable, MapTransform):
    """Dictionary form of :class:`RandAugmentation`: one draw for the images under all ``keys``.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    **arguments
        Arguments of :class:`RandAugmentation`.
    """

    __module__ = "stainxform.monai"
    backend = RandAugmentation.backend

    array: ClassVar[type[RandAugmentation]]
    """The array form."""

    def __init__(self, keys: KeysCollection, *, allow_missing_keys: bool = False, **arguments: Any) -> None:
        super().__init__(keys, allow_missing_keys)
        self.augment = self.array(**arguments)

    @property
    def draw(self) -> Draw | None:
        """What was drawn for the last dictionary; None: it was left as it was."""
        return self.augment.draw

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Self:
        """Seed; the same seed gives the draws of the array form."""
        super().set_random_state(seed, state)
        self.augment.set_random_state(seed, state)
        return self

    def randomize(self, data: Any = None) -> None:
        """Decide and draw, for all keys."""
        self.augment.randomize()

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a new dictionary with the images under ``keys`` augmented and everything else as it was."""
        d = sample_of(self, data)
        self.randomize()
        for key in image_keys(self, d):
            d[key] = self.augment(d[key], randomize=False)
        return d


def of_augmentation(kind: type[Augmentation]) -> tuple[type, type, type, type]:
    """The transforms for one augmentation: array form, and dictionary form under three names."""
    title, bases = transform_name(kind.name), (RandAugmentation, RandAugmentationd)
    array_arguments, dictionary_arguments = (inspect.signature(base) for base in bases)
    arguments = signature(kind, array_arguments)
    array = type(
        title,
        (RandAugmentation,),
        {
            "__module__": RandAugmentation.__module__,
            "__doc__": transform_doc(kind, arguments, RandAugmentation.__doc__),
            "__signature__": arguments,
            "kind": kind,
        },
    )
    arguments = signature(kind, dictionary_arguments, array_arguments)
    dictionary = type(
        f"{title}d",
        (RandAugmentationd,),
        {
            "__module__": RandAugmentationd.__module__,
            "__doc__": transform_doc(kind, arguments, *(base.__doc__ for base in bases)),
            "__signature__": arguments,
            "array": array,
        },
    )
    return array, dictionary, dictionary, dictionary
