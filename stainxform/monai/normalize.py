"""Images normalized by MONAI: one, and those of a dictionary."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from stainxform._hosts.normalize import check_group_key, for_method, group_at, in_group
from stainxform.image.blank import OnBlank, check_on_blank
from stainxform.image.layout import ValueRange, check_image
from stainxform.monai.augment import each_of, image_keys, sample_of
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.models import resolve_model
from stainxform.normalizers.registry import Method

__all__ = ["StainNormalize", "StainNormalizeD", "StainNormalizeDict", "StainNormalized", "of_method"]

from monai.config.type_definitions import KeysCollection, NdarrayOrTensor
from monai.transforms.transform import MapTransform, Transform
from monai.utils.enums import TransformBackends


class StainNormalize(Transform):
    """Make an image look like it came from the center that a model was fitted on.

    Parameters
    ----------
    model : str, Path or Normalizer
        Path of a model file of any method, or a fitted :class:`~stainxform.Normalizer`. The file is read once, now.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue is returned unchanged ("keep"), with a StainXformWarning ("warn"), or raises
        NotEnoughTissueError ("raise").

    Raises
    ------
    ModelFileError
        The file is missing or no valid model.
    ParameterError
        An argument makes no sense, or the model is of a method that this transform does not take.
    """

    __module__ = "stainxform.monai"
    backend = [TransformBackends.TORCH, TransformBackends.NUMPY]

    method: ClassVar[str | None] = None
    """The one method whose models are accepted; None: any."""

    def __init__(
        self, model: str | Path | Normalizer, value_range: ValueRange = (0, 255), on_blank: OnBlank = "keep"
    ) -> None:
        check_on_blank(on_blank)
        check_image(np.empty((3, 0, 0), np.float32), value_range, channel_axis=-3)  # a wrong range fails now
        self.normalizer = resolve_model(model, self.method)
        self.value_range = value_range
        self.on_blank = on_blank

    def __call__(self, img: NdarrayOrTensor, group: Hashable | None = None) -> NdarrayOrTensor:
        """Normalize one image.

        Parameters
        ----------
        img : ndarray or Tensor
            ``(3, H, W)``, or patches ``(N, 3, H, W)``, each normalized by itself: numpy array, tensor or MetaTensor;
            uint8 in 0..255, or float in ``value_range``; or a list of these.
        group : hashable, optional
            Of a calibration: the slide, patient or other group that the image is from; None, and a group that is not
            known: the center's map.

        Returns
        -------
        ndarray or Tensor
            New image of the same type, shape, dtype, device, meta and applied_operations.

        Raises
        ------
        InvalidImageError
            A volume, another number of channels, NaN, or values far outside ``value_range``.
        NotEnoughTissueError
            A blank image, with ``on_blank="raise"``.
        ParameterError
            A group, and a model that is no calibration.
        """
        options: dict[str, Any] = {"value_range": self.value_range, "channel_axis": -3, "on_blank": self.on_blank}
        options |= in_group(self.normalizer, group)
        return each_of(img, lambda one: self.normalizer(one, **options))


class StainNormalized(MapTransform):
    """Dictionary form of :class:`StainNormalize`: normalizes the image under each of ``keys``.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images to normalize.
    model : str, Path or Normalizer
        See :class:`StainNormalize`.
    value_range : (float, float), optional
        See :class:`StainNormalize`.
    on_blank : {"keep", "warn", "raise"}, optional
        See :class:`StainNormalize`.
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    group_key : hashable, optional
        Where the data name the slide, patient or other group that the images are from, for a calibration, which may have
        a map for each. None, here or in the data, and a group that is not known: the center's map. Data without this key
        raise MissingKeyError, a KeyError, whatever ``allow_missing_keys`` says.

    Raises
    ------
    ModelFileError
        See :class:`StainNormalize`.
    ParameterError
        See :class:`StainNormalize`; also a ``group_key`` for a model that is no calibration.
    """

    __module__ = "stainxform.monai"
    backend = StainNormalize.backend

    array: ClassVar[type[StainNormalize]] = StainNormalize
    """The array form."""

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.normalize = self.array(model, value_range, on_blank)
        check_group_key(self.normalize.normalizer, group_key)
        self.group_key = group_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Return a new dictionary with the images under ``keys`` normalized and everything else as it was."""
        d = sample_of(self, data)
        group = None if self.group_key is None else group_at(d, self.group_key)
        for key in image_keys(self, d):
            d[key] = self.normalize(d[key], group)
        return d


StainNormalizeD = StainNormalizeDict = StainNormalized


def of_method(method: Method) -> tuple[type, type, type, type]:
    """The transforms for one method: array form, and dictionary form under three names."""
    array = for_method(StainNormalize, method, method=method.name)
    dictionary = for_method(StainNormalized, method, "d", array=array)
    return array, dictionary, dictionary, dictionary
