"""Whole normalizers as one opaque torch operator, which graphs call without looking inside.

``stainxform::normalize`` takes the model as a uint8 tensor, the bytes of its file, so a saved program is complete; it
runs where this module has been imported.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from stainxform._torch import learning
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.io.modelfile import pack, unpack
from stainxform.maps import ColorMap
from stainxform.normalizers.base import Normalizer

__all__ = ["Estimated", "normalize"]


class Estimated(nn.Module):
    """A normalizer that estimates from every image, by the operator.

    Parameters
    ----------
    normalizer : Normalizer
        It becomes the buffer ``model``: loading another state swaps the center.
    """

    model: Tensor

    def __init__(self, normalizer: Normalizer):
        super().__init__()
        self.register_buffer("model", torch.frombuffer(bytearray(pack(normalizer.state())), dtype=torch.uint8))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Another center's file may be longer or shorter than this one's."""
        found = state_dict.get(f"{prefix}model")
        if isinstance(found, Tensor) and found.dtype == torch.uint8 and found.ndim == 1:
            self.model = self.model.new_empty(found.shape)
        super()._load_from_state_dict(state_dict, prefix, *rest)  # type: ignore[no-untyped-call]

    def forward(self, batch: Tensor, low: float, high: float) -> Tensor:
        """Normalize each image of ``(N, 3, H, W)`` by itself, values in ``low`` to ``high``."""
        return normalize(batch, self.model, low, high)


@torch.library.custom_op("stainxform::normalize", mutates_args=())
def normalize(batch: Tensor, model: Tensor, low: float, high: float) -> Tensor:
    """``normalizer(batch)``; blank images are kept."""
    return _normalizer(model)(batch.detach(), value_range=(low, high), channel_axis=-3).contiguous()


@normalize.register_fake
def _(batch: Tensor, model: Tensor, low: float, high: float) -> Tensor:
    return batch.new_empty(batch.shape)


# Defined the low-level way: custom_op runs its function where autograd does not record, and this one needs autograd.
torch.library.define(
    "stainxform::normalize_backward", "(Tensor gradient, Tensor batch, Tensor model, float low, float high) -> Tensor"
)


@torch.library.impl("stainxform::normalize_backward", "CompositeExplicitAutograd")
def normalize_backward(gradient: Tensor, batch: Tensor, model: Tensor, low: float, high: float) -> Tensor:
    """Gradient with respect to the images, each one's map held fixed; that of a blank image passes through.

    Raises
    ------
    ParameterError
        A normalizer whose maps are not differentiable.
    """
    normalizer, parts = _normalizer(model), []
    for image, upstream in zip(batch.detach(), gradient):
        try:
            color_map = normalizer.map_for(image, value_range=(low, high), channel_axis=-3)
        except NotEnoughTissueError:
            parts.append(upstream)
            continue
        if not isinstance(color_map, ColorMap):
            raise ParameterError(f"no gradient flows through {normalizer.method!r}: detach its images")
        with learning():
            pixels = image.clone().requires_grad_()
            result = color_map(pixels, value_range=(low, high), channel_axis=-3)
            parts.append(torch.autograd.grad(result, pixels, upstream)[0])
    return torch.stack(parts) if parts else gradient.clone()


@torch.library.register_fake("stainxform::normalize_backward")  # type: ignore[untyped-decorator]
def _(gradient: Tensor, batch: Tensor, model: Tensor, low: float, high: float) -> Tensor:
    return batch.new_empty(batch.shape)


def _remember(
    ctx: torch.autograd.function.FunctionCtx, inputs: tuple[Tensor, Tensor, float, float], output: Tensor
) -> None:
    batch, model, *ctx.value_range = inputs  # type: ignore[attr-defined]
    ctx.save_for_backward(batch, model)


def _backward(ctx: torch.autograd.function.FunctionCtx, gradient: Tensor) -> tuple[Tensor, None, None, None]:
    saved, value_range = ctx.saved_tensors, ctx.value_range  # type: ignore[attr-defined]
    return torch.ops.stainxform.normalize_backward(gradient, *saved, *value_range), None, None, None


normalize.register_autograd(_backward, setup_context=_remember)


def _normalizer(model: Tensor) -> Normalizer:
    return _unpacked(model.cpu().numpy().tobytes())


@lru_cache(maxsize=8)
def _unpacked(data: bytes) -> Normalizer:
    return Normalizer.from_state(unpack(data))
