"""One module for every normalizer and every map."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self, cast

import torch
from torch import Tensor, nn

from stainxform._torch import learning
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.image.layout import ValueRange, check_range
from stainxform.image.tissue import MIN_TISSUE_PIXELS, tissue_planes, too_little
from stainxform.maps import ColorMap, ImageMap
from stainxform.nn.operator import Estimated
from stainxform.nn.traced import MapColors, traced
from stainxform.normalizers.base import Normalizer
from stainxform.normalizers.models import resolve_model

__all__ = ["Normalize", "OnUnitImages", "Tissue"]


class Normalize(nn.Module):
    """Make images look like they came from the center that a model was fitted on.

    Maps, StainLUT, StainNet and StainGAN are torch operations throughout (``self.native``). Other normalizers estimate
    from every image in the operator ``stainxform::normalize``: graphs hold it as one node, and gradients flow as if the
    estimated map were fixed.

    It computes in float32 on the device of the image, which must be that of the module, and stays in eval mode, whatever
    the model around it does. Blank images come back unchanged, except from a map or a calibration, which map them like any other.

    Parameters
    ----------
    model : str, Path, Normalizer or ImageMap
        Path of a model file, a fitted :class:`~stainxform.Normalizer`, or a map that is applied as it is, such as
        ``normalizer.map_for_tiles(tiles)`` of a slide. Of a calibration it is the center's map; ``for_group(name)`` gives
        that of a group.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.

    Raises
    ------
    ModelFileError
        The file is missing or no valid model.
    ParameterError
        The model is no path, normalizer or map, or a map that cannot be computed here.
    """

    @learning()
    def __init__(self, model: str | Path | Normalizer | ImageMap, value_range: ValueRange = (0, 1)) -> None:
        super().__init__()
        found = model if isinstance(model, ImageMap) else resolve_model(model)
        self.value_range = check_range(value_range)
        self.method = found.method if isinstance(found, Normalizer) else type(found).__name__
        self.core = _core(found)
        self.eval().requires_grad_(False)

    @property
    def native(self) -> bool:
        """Whether it consists of torch operations alone, which ONNX needs."""
        return not isinstance(self.core, Estimated)

    def forward(self, image: Tensor) -> Tensor:
        """Normalize an image, or each image of a batch by itself.

        Parameters
        ----------
        image : Tensor
            Tensor ``(3, H, W)`` or ``(N, 3, H, W)``; uint8 in 0..255, or float in ``value_range``.

        Returns
        -------
        Tensor
            Tensor of the same shape and dtype; uint8 is rounded, floats are clipped to the range. NaN gives NaN.

        Raises
        ------
        InvalidImageError
            Another shape or dtype; in a method that estimates also NaN, or values far outside.
        """
        integer = image.dtype == torch.uint8
        if image.ndim not in (3, 4) or image.shape[-3] != 3 or not (integer or image.is_floating_point()):
            raise InvalidImageError(
                f"expected uint8 or float (3, H, W) or (N, 3, H, W), got {image.dtype} {tuple(image.shape)}"
            )
        low, high = (0.0, 255.0) if integer else self.value_range
        batch = image if image.ndim == 4 else image.unsqueeze(0)
        result = self._in_full_precision(batch, low, high)
        return result if image.ndim == 4 else result.squeeze(0)

    def _in_full_precision(self, batch: Tensor, low: float, high: float) -> Tensor:
        device = batch.device.type  # plain torch, not our own contexts: this is what compilers read
        if torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device):
            with torch.autocast(device, enabled=False):
                return cast(Tensor, self.core(batch, low, high))
        return cast(Tensor, self.core(batch, low, high))

    def train(self, mode: bool = True) -> Self:
        """Stay in eval mode: the networks inside are trained already."""
        return super().train(False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Move, but stay float32: half precision would band the colors."""
        moved = super()._apply(lambda tensor: tensor.to(fn(tensor.new_empty(0)).device), recurse)  # type: ignore[no-untyped-call]
        return cast(Self, moved)

    def extra_repr(self) -> str:
        """What ``print(module)`` shows."""
        return f"{self.method}, value_range={self.value_range}, native={self.native}"


def _core(model: Normalizer | ImageMap) -> nn.Module:
    """The module ``(batch, low, high) -> batch`` for a normalizer or a map."""
    color_map = model if isinstance(model, ImageMap) else model.fixed_map
    module = MapColors(color_map) if isinstance(color_map, ColorMap) else model.torch_module()
    if module is not None:
        return OnUnitImages(module, model.min_tissue if isinstance(model, Normalizer) and model.keeps_blank else None)
    if isinstance(model, Normalizer):
        return Estimated(model)
    raise ParameterError(f"a {type(model).__name__} cannot be computed inside a model; pass its normalizer")


class OnUnitImages(nn.Module):
    """Images of any dtype and range by way of colors in [0, 1].

    Parameters
    ----------
    colors : torch.nn.Module
        Unit images to unit images, float32 ``(N, 3, H, W)``.
    min_tissue : float, optional
        Images with a smaller fraction of tissue are kept; None keeps none.
    """

    def __init__(self, colors: nn.Module, min_tissue: float | None = None):
        super().__init__()
        self.colors = colors
        self._tissue = Tissue() if min_tissue is not None else None
        self._min_tissue = min_tissue or 0.0

    def forward(self, batch: Tensor, low: float, high: float) -> Tensor:
        """Normalize ``(N, 3, H, W)``, values in ``low`` to ``high``."""
        # Networks refuse images without pixels; graphs, whose sizes are free, do not look.
        if self._tissue is not None and not torch.compiler.is_compiling() and _tiny(batch):
            return batch.clone()
        unit = ((batch.float() - low) / (high - low)).clamp(0, 1)
        values = self.colors(unit).clamp(0, 1) * (high - low)
        values = values + low if batch.is_floating_point() else values.round()
        result: Tensor = values.to(batch.dtype)
        if self._tissue is None:
            return result
        tissue = self._tissue(unit)
        blank = too_little(tissue.float().mean((1, 2)), tissue.sum((1, 2)), self._min_tissue)
        return torch.where(blank[:, None, None, None], batch, result)


def _tiny(batch: Tensor) -> bool:
    """Whether no image, or none that could hold enough tissue, is there."""
    count, _, height, width = batch.shape
    return count == 0 or height * width < MIN_TISSUE_PIXELS


class Tissue(nn.Module):
    """Tissue mask of unit images."""

    def __init__(self) -> None:
        super().__init__()
        self._graph = traced(tissue_planes)

    def forward(self, unit: Tensor) -> Tensor:
        """Bool ``(N, H, W)`` of ``(N, 3, H, W)`` in [0, 1]."""
        planes = unit.movedim(1, 0)
        return cast(Tensor, self._graph(planes.flatten(1))).reshape(planes.shape[1:])

    def __reduce__(self) -> tuple[Any, ...]:
        """Graphs of operators cannot be pickled; this one is always the same."""
        return Tissue, ()
