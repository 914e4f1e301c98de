"""The StainLUT network: Predictor, Encoder and basis 4D LUTs.

Source: StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8. No official code is public: layer sizes
follow the public 4DLUT implementation that the paper refers to, and what neither states is reconstructed (see
``docs/methods/stainlut.md``).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stainxform._native.kernels import EncoderKernel
from stainxform.ops.lut4d import collapse_gray, identity_lut4d, lookup_gray, lut4d

__all__ = [
    "EPSILON",
    "NORMS",
    "PREDICTOR_NORMS",
    "PREDICTOR_SIZE",
    "REACH",
    "Encoder",
    "Fusion",
    "Predictor",
    "StainLUTNet",
    "gray_levels",
    "regularization",
]

PREDICTOR_SIZE = 256
"""Side, in pixels, to which the Predictor resizes its input."""


class Fusion(NamedTuple):
    """Image-dependent fusion of the bases (eq. 2)."""

    weights: Tensor
    """(3, 3n): row c holds w_{c,1..n} for the red, then the green, then the blue outputs of the bases."""
    biases: Tensor
    """(n,): beta_l; their sum is added to all three channels."""


def gray_levels(planes: np.ndarray, weights: tuple[float, float, float]) -> np.ndarray:
    """The network's input: the weighted mean of float planes ``(3, H, W)`` in [0, 1], as uint8 ``(H, W)``."""
    red, green, blue = weights
    gray = planes[0] * red + planes[1] * green + planes[2] * blue
    return np.rint(gray * 255).clip(0, 255).astype(np.uint8)


def _gray_conv(conv: nn.Module, gray: Tensor) -> Tensor:
    """Apply a 3-channel convolution to three equal channels: the kernels can be summed first (exact)."""
    assert isinstance(conv, nn.Conv2d)
    return F.conv2d(gray, conv.weight.sum(1, keepdim=True), conv.bias, conv.stride, conv.padding)


PREDICTOR_NORMS: dict[str, Callable[[int], nn.Module]] = {
    "instance": lambda width: nn.InstanceNorm2d(width, affine=True),
    "none": lambda width: nn.Identity(),
}
"""Normalizations of the Predictor by name; see :class:`StainLUTNet`."""


class Predictor(nn.Module):
    """Gray image -> 10n fusion parameters."""

    def __init__(self, bases: int, dropout: float = 0.5, norm: str = "instance"):
        super().__init__()
        self.bases, self.norm = bases, norm
        widths = (3, 16, 32, 64, 128, 128)
        self.convs = nn.ModuleList(nn.Conv2d(i, o, 3, stride=2, padding=1) for i, o in pairwise(widths))
        self.norms = nn.ModuleList(PREDICTOR_NORMS[norm](o) for o in widths[1:-1])
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Conv2d(widths[-1], 10 * bases, PREDICTOR_SIZE // 2**5)

    def forward(self, gray: Tensor) -> Fusion:
        """Map a gray image ``(1, 1, H, W)`` in [0, 1] to its :class:`Fusion`."""
        (out,) = self.numbers(gray)
        n = self.bases
        return Fusion(out[: 9 * n].reshape(3, 3 * n), out[9 * n :])

    def numbers(self, gray: Tensor) -> Tensor:
        """Fusion parameters ``(N, 10n)`` of each of ``(N, 1, H, W)``: 9n weights, n biases."""
        x = F.interpolate(gray, (PREDICTOR_SIZE, PREDICTOR_SIZE), mode="bilinear", align_corners=False)
        for i, conv in enumerate(self.convs):
            x = F.leaky_relu(_gray_conv(conv, x) if i == 0 else conv(x), 0.2)
            if i < len(self.norms):
                x = self.norms[i](x)
        return self.head(self.dropout(x)).flatten(1).to(gray.dtype)


REACH = 5
"""Pixels that the Encoder sees around each: five 3x3 convolutions."""

EPSILON = 1e-5
"""Added to the variance by the Encoder's normalizations."""

NORMS: dict[str, Callable[[], nn.Module]] = {
    "instance": lambda: nn.InstanceNorm2d(16, EPSILON, affine=True),
    "running": lambda: nn.InstanceNorm2d(16, EPSILON, affine=True, track_running_stats=True),
    "none": nn.Identity,
}
"""Normalizations of the Encoder by name; see :class:`StainLUTNet`."""


class Encoder(nn.Module):
    """Gray image -> context map in [0, 1], at full resolution (receptive field 11 px)."""

    def __init__(self, dropout: float = 0.5, norm: str = "instance"):
        super().__init__()
        self.norm = norm
        self.first = nn.Conv2d(3, 16, 3, padding=1)
        self.convs = nn.ModuleList(nn.Conv2d(16, 16, 3, padding=1) for _ in range(3))
        self.norms = nn.ModuleList(NORMS[norm]() for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.last = nn.Conv2d(16, 1, 3, padding=1)

    def forward(self, gray: Tensor) -> Tensor:
        """Map ``(1, 1, H, W)`` to a context map of the same shape."""
        x = first = self.norms[0](F.leaky_relu(_gray_conv(self.first, gray), 0.2))
        for conv, norm in zip(self.convs, self.norms[1:]):
            x = norm(F.leaky_relu(conv(x), 0.2))
        return torch.sigmoid(self.last(self.dropout(x + first)).to(gray.dtype))

    def kernel(self) -> EncoderKernel:
        """The same in compiled code, with the weights as they are now; dropout is off. For weights on the CPU."""

        def of_norms(name: str, without: float) -> np.ndarray:
            if self.norm == "none":
                return np.full((4, 16), without, np.float32)
            return _array(torch.stack([getattr(norm, name) for norm in self.norms]))

        fixed = self.norm != "instance"
        return EncoderKernel(
            first=_array(self.first.weight.sum(1).flatten(1).t()),
            middle=_array(
                torch.stack([conv.get_parameter("weight").flatten(2).permute(2, 1, 0) for conv in self.convs])
            ),
            last=_array(self.last.weight[0].flatten(1).t()),
            biases=_array(torch.stack([conv.get_parameter("bias") for conv in (self.first, *self.convs)])),
            last_bias=float(self.last.get_parameter("bias").detach()),
            gain=of_norms("weight", 1),
            shift=of_norms("bias", 0),
            mean=of_norms("running_mean", 0) if fixed else None,
            variance=of_norms("running_var", 1) if fixed else None,
            epsilon=0.0 if self.norm == "none" else EPSILON,
        )


def _array(values: Tensor) -> np.ndarray:
    return np.ascontiguousarray(values.detach().numpy(), np.float32)


class StainLUTNet(nn.Module):
    """8-bit gray image -> color image through a fused 4D LUT.

    Parameters
    ----------
    bases : int, optional
        Number of basis LUTs, n (paper: 3).
    size : int, optional
        Nodes per color axis, T (paper: 33).
    context_nodes : int, optional
        Nodes along the context axis, K >= 2 (2 in the 4DLUT code; read literally, the paper's index set would give T).
    dropout : float, optional
        Probability, training only (4DLUT code: 0.5).
    asymmetry : float, optional
        Difference between the last and the first context slice of the bases at the start. With equal slices dO/dc is
        exactly zero and the Encoder receives no gradient; a small ramp, increasing like L_mono wants it, wakes it up at
        step 0 (documented deviation from the identity start).
    encoder_norm : str, optional
        "instance" (4DLUT code): statistics of the image at hand. "running": averages over training, once it is over.
        "none": no normalization. With the last two the context is a local function of the gray image (receptive field
        11 px), so it cannot depend on the tile and tiling leaves no seam in it.
    predictor_norm : str, optional
        "instance" (4DLUT code), or "none", with which the Predictor sees the exposure of the image.
    """

    def __init__(
        self,
        bases: int = 3,
        size: int = 33,
        context_nodes: int = 2,
        dropout: float = 0.5,
        asymmetry: float = 0.02,
        encoder_norm: str = "instance",
        predictor_norm: str = "instance",
    ):
        super().__init__()
        self.predictor = Predictor(bases, dropout, predictor_norm)
        self.encoder = Encoder(dropout, encoder_norm)
        ramp = asymmetry * (torch.linspace(0, 1, context_nodes) - 0.5)
        identity = identity_lut4d(size, context_nodes) + ramp[:, None, None, None]
        self.luts = nn.Parameter(identity.unsqueeze(0).repeat(bases, 1, 1, 1, 1, 1))
        self._initialize()

    @property
    def bases(self) -> int:
        """Number of basis LUTs."""
        return self.luts.shape[0]

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.xavier_normal_(module.weight)
                assert module.bias is not None
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.InstanceNorm2d):
                nn.init.normal_(module.weight, 1.0, 0.02)
        if self.predictor.norm == "none":
            # Thresholds on brightness from .1 to 1: with zero biases and LeakyReLU the whole Predictor only scales with
            # the exposure of its input, and cannot distinguish a dark tile from a light one.
            first = self.predictor.convs[0]
            assert isinstance(first, nn.Conv2d)
            assert first.bias is not None
            with torch.no_grad():
                first.bias.copy_(-torch.linspace(0.1, 1, len(first.bias)) * first.weight.sum((1, 2, 3)))
        # Reconstructed: weights so small that every fused LUT starts near the identity, yet different enough to
        # break the symmetry between the bases.
        head, n = self.predictor.head, self.bases
        assert head.bias is not None
        nn.init.normal_(head.weight, std=1e-4)
        with torch.no_grad():
            head.bias[: 9 * n] = (torch.eye(3).repeat_interleave(n, dim=1) / n).flatten()

    def fuse(self, fusion: Fusion) -> Tensor:
        """The fused 4D LUT ``(3, K, T, T, T)`` (eq. 2): the definition, used by tests and for inspection."""
        # (n, channel, ...) -> (channel, n, ...): all red outputs first, as the weights are ordered.
        stacked = self.luts.transpose(0, 1).flatten(0, 1)
        return torch.tensordot(fusion.weights, stacked, dims=1) + fusion.biases.sum()

    def table(self, fusion: Fusion) -> Tensor:
        """The fused LUT collapsed to 8-bit grays, ``(3, K, 256)``: collapsing and fusing are linear and commute."""
        stacked = collapse_gray(self.luts).transpose(0, 1).flatten(0, 1)
        return torch.tensordot(fusion.weights, stacked, dims=1) + fusion.biases.sum()

    def forward(self, gray: Tensor, window: tuple[slice, slice] = (slice(None), slice(None))) -> tuple[Tensor, Fusion]:
        """Colorize one image, or a window of it with the fusion weights of the whole.

        Parameters
        ----------
        gray : Tensor
            uint8 tensor ``(1, 1, H, W)``.
        window : (slice, slice), optional
            Rows and columns that the Encoder sees and that are colorized; default all.

        Returns
        -------
        (Tensor, Fusion)
            Colors ``(1, 3, h, w)`` of the window, unclamped floats with 0..1 the displayable range, and the fusion
            parameters.
        """
        unit = gray.to(self.luts.dtype) / 255
        seen = (..., *window)
        fusion, context = self.predictor(unit), self.encoder(unit[seen])[0, 0]
        with torch.autocast(unit.device.type, enabled=False):  # 8 bits of mantissa would band the colors
            colors = lookup_gray(self.table(fusion), gray[seen][0, 0], context)
        return colors.unsqueeze(0), fusion

    def forward_by_definition(self, gray: Tensor) -> Tensor:
        """The same through the fused 4D LUT and its 16-corner interpolation (slow: a witness for tests)."""
        unit = gray.to(self.luts.dtype) / 255
        context = self.encoder(unit)[0, 0]
        return lut4d(self.fuse(self.predictor(unit)), context, unit[0].expand(3, -1, -1)).unsqueeze(0)


class _LutPenalty(torch.autograd.Function):
    """Sum over the four axes of mean(d^2) and of mean(ReLU(-d)), d the difference of neighbors.

    One pass per axis computes the values and both gradients: autograd through ``diff`` and ``relu`` took a third of
    a training step.
    """

    @staticmethod
    def forward(ctx: Any, luts: Tensor, smooth_weight: float, mono_weight: float) -> Tensor:  # type: ignore[override]
        gradient = torch.zeros_like(luts)
        total = luts.new_zeros(())
        # One LUT of one output channel at a time: it stays in cache.
        for values, slopes in zip(luts.detach().flatten(0, -5), gradient.flatten(0, -5)):
            for axis in range(4):
                length = luts.shape[axis - 4] - 1
                difference = values.narrow(axis, 1, length) - values.narrow(axis, 0, length)
                falling = difference.clamp(max=0)
                count = difference.numel() * (luts.numel() // values.numel())
                total += (smooth_weight * difference.square().sum() - mono_weight * falling.sum()) / count
                slope = difference.mul_(2 * smooth_weight / count).add_(falling.sign_(), alpha=mono_weight / count)
                slopes.narrow(axis, 1, length).add_(slope)
                slopes.narrow(axis, 0, length).sub_(slope)
        ctx.save_for_backward(gradient)
        return total

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        (gradient,) = ctx.saved_tensors
        return gradient * upstream, None, None


def regularization(luts: Tensor, fusion: Fusion, smooth_weight: float = 1e-4, mono_weight: float = 0.1) -> Tensor:
    """``smooth_weight * L_smooth + mono_weight * L_mono`` (eq. 7 and 8), as means (4DLUT code), context axis included.

    L_smooth holds the squared neighbor differences along the four axes and the squared fusion parameters; L_mono is
    ReLU(O_i - O_{i+1}) along the four axes.
    """
    parameters = fusion.weights.square().mean() + fusion.biases.square().mean()
    penalty: Tensor = _LutPenalty.apply(luts, smooth_weight, mono_weight)  # type: ignore[no-untyped-call]
    return penalty + smooth_weight * parameters
