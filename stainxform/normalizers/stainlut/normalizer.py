"""StainLUT: self-supervised colorization through a fused 4D LUT.

npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8. No official code is public: this is a reconstruction, see
``docs/methods/stainlut.md`` for what the paper states and what is reconstructed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from stainxform._native import native
from stainxform._native.kernels import four_values, gray_lut
from stainxform._native.kernels import gray_levels as native_gray_levels
from stainxform._optional import is_tensor
from stainxform._torch import learning, predicting, seeded
from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import (
    Image,
    ImageSpec,
    as_numpy,
    check_image,
    each_image,
    like,
    read_planes,
    write_planes,
)
from stainxform.io.sources import as_tiles
from stainxform.learning.statistics import with_fixed_statistics
from stainxform.maps import ImageMap
from stainxform.normalizers.network import NetworkNormalizer, moved, tissue_sample
from stainxform.normalizers.stainlut.network import REACH, Encoder, Fusion, StainLUTNet, gray_levels
from stainxform.normalizers.stainlut.settings import INFERENCE, StainLUTSettings, gray_weights_of
from stainxform.normalizers.stainlut.training import train_stainlut
from stainxform.ops.lut4d import lookup_gray

__all__ = ["ContextMap", "StainLUT", "image_gray"]


@dataclass(frozen=True, eq=False)
class ContextMap(ImageMap):
    """Gray and context to color through a collapsed table: what StainLUT does once the fusion weights are known.

    Parameters
    ----------
    table : Tensor
        float32 tensor ``(3, K, 256)``, the fused LUT on the gray diagonal.
    encoder : Encoder
        The network that gives the context of each pixel.
    gray_weights : (float, float, float)
        Weights of red, green and blue.
    inference : str, optional
        "exact" or "fast", see StainLUT.
    """

    table: Tensor
    encoder: Encoder
    gray_weights: tuple[float, float, float]
    inference: str = "exact"

    @property
    def halo(self) -> int | None:
        """The Encoder's reach, if its normalizations are fixed; they are not where they take the image's statistics."""
        return None if self.encoder.norm == "instance" else REACH

    def torch_module(self) -> Any:
        """The map in torch operations."""
        from stainxform.normalizers.stainlut.module import ColorizeFixed

        return ColorizeFixed(self)

    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Colorize each image on its own device (numpy: on that of the network). No gradient flows to the image."""
        return each_image(image, lambda one: self._apply_to_one(one, spec))

    def _apply_to_one(self, image: Image, spec: ImageSpec) -> Image:
        device = image.device if is_tensor(image) and image.device.type != "cpu" else self.table.device
        gray = image_gray(image, spec, self.gray_weights)
        pixels = as_numpy(image[..., :0])
        result = np.empty(tuple(image.shape), pixels.dtype)
        target = np.moveaxis(result, spec.channel_axis, 0)
        if native.active() and device.type == "cpu" and gray.numel():
            self._look_up(gray[0, 0].numpy(), target, spec)
        else:
            write_planes(self._colors(gray.to(device)).cpu().numpy(), target, spec)
        return like(result, image)

    def _colors(self, gray: Tensor) -> Tensor:
        """Colors ``(3, H, W)`` by torch, on the device of the gray image."""
        here = gray.device == self.table.device
        encoder = self.encoder if here else moved(self.encoder, gray.device)
        with predicting():
            context = encoder(gray.to(torch.float32) / 255)
            return lookup_gray(self.table.to(gray.device), gray[0, 0], context[0, 0])

    def _look_up(self, gray: np.ndarray, target: np.ndarray, spec: ImageSpec) -> None:
        """The same in compiled code, into pixels ``(3, H, W)``."""
        context = self.encoder.kernel()(gray, fast=self.inference == "fast")
        table = four_values(self.table.permute(2, 1, 0).numpy())
        if native.takes(target):
            gray_lut(table, gray, context, target, spec.low, spec.scale)
            return
        planes = np.empty(target.shape, np.float32)
        gray_lut(table, gray, context, planes, 0.0, 1.0)
        write_planes(planes, target, spec)


def image_gray(image: Image, spec: ImageSpec, weights: tuple[float, float, float]) -> Tensor:
    """8-bit gray of one image as a uint8 tensor ``(1, 1, H, W)`` on the CPU."""
    pixels = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
    if native.takes(pixels) and pixels.size:
        gray = native_gray_levels(pixels, spec.low, spec.scale, weights)
    else:
        gray = gray_levels(read_planes(pixels, spec), weights)
    return torch.from_numpy(gray)[None, None]


@dataclass(frozen=True, eq=False, kw_only=True)
class StainLUT(NetworkNormalizer):
    """A network that colors gray tissue like the center it was trained on.

    The source image enters as 8-bit gray only, so its stain colors cannot influence the result; its luminance can.
    The fusion weights (Predictor) and the normalization statistics (Encoder) depend on the image that is passed.

    Parameters
    ----------
    net : StainLUTNet
        The trained network, in eval mode.
    training : dict of str to float, optional
        Numbers of the best validation (``score``: PSNR in dB, ``step``).
    gray : str or (float, float, float), optional
        "mean" of the channels (default), "bt601", or three weights that sum to 1.
    inference : str, optional
        "exact": float32, what training saw. "fast": the Encoder in bfloat16 on CPUs with AMX, a level or two off
        (measured in ``docs/methods/stainlut.md``); the same as "exact" on others, on GPUs and without the compiled
        kernels. Kept in the model file.
    """

    net: StainLUTNet
    gray: str | tuple[float, float, float] = "mean"
    inference: str = "exact"

    method: ClassVar[str] = "stainlut"
    calibrated_by_alignment: ClassVar[bool] = True
    Settings = StainLUTSettings

    def __post_init__(self) -> None:
        super().__post_init__()
        gray_weights_of(self.gray)
        if self.inference not in INFERENCE:
            raise ParameterError(f"inference must be one of {', '.join(INFERENCE)}, got {self.inference!r}")

    def with_inference(self, inference: str) -> Self:
        """A copy, with the same network, that computes the context "exact" or "fast", see the class."""
        return replace(self, inference=inference)

    @classmethod
    def fit_tiles(cls, images: Any, settings: StainLUTSettings) -> Self:
        """Train on tiles of one center."""
        net, training = train_stainlut(as_tiles(images), settings)
        return cls(net=net, gray=settings.gray, inference=settings.inference, training=training)

    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ContextMap:
        """The Predictor's fusion of the lookup tables for this image, and the Encoder."""
        weights = gray_weights_of(self.gray)
        gray = image_gray(image, spec, weights).to(self.device)
        with predicting():
            table = self.net.table(self.net.predictor(gray.to(torch.float32) / 255))
        return ContextMap(table, self.net.encoder, weights, self.inference)

    def map_for_tiles(self, tiles: Any) -> ContextMap:
        """The one map for a slide, from a sample of its tiles, which leaves no seams.

        It has the mean fusion weights of the tiles, and an Encoder normalized by the statistics of all of them. Blank
        tiles do not count.

        The tiles are read six times, one at a time (with encoder_norm "running" or "none" twice); those of an iterator
        are held in memory.

        Raises
        ------
        NotEnoughTissueError
            Every tile is blank.
        """
        weights, sample = gray_weights_of(self.gray), tissue_sample(tiles, self.min_tissue)

        def grays() -> Iterator[Tensor]:
            for tile in sample():
                yield image_gray(tile, check_image(tile), weights).to(self.device, torch.float32) / 255

        with predicting():
            each = torch.stack([self.net.predictor.numbers(gray)[0] for gray in grays()])
            numbers, n = each.double().mean(0).float(), self.net.bases
            table = self.net.table(Fusion(numbers[: 9 * n].reshape(3, 3 * n), numbers[9 * n :]))
        encoder = self.net.encoder
        if encoder.norm == "instance":
            with learning():
                encoder = with_fixed_statistics(encoder, grays)
            encoder.norm = "running"
        return ContextMap(table, encoder, weights, self.inference)

    def torch_module(self) -> Any:
        """The whole method in torch operations."""
        from stainxform.normalizers.stainlut.module import ColorizeFused

        return ColorizeFused(self)

    def parameters(self) -> dict[str, Any]:
        """How the network was made, and how images are grayed."""
        gray = self.gray if isinstance(self.gray, str) else list(self.gray)
        return {
            "gray": gray,
            "encoder_norm": self.net.encoder.norm,
            "predictor_norm": self.net.predictor.norm,
            "inference": self.inference,
            "training": self.training,
        }

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        luts = arrays["luts"]
        if luts.ndim != 6 or min(luts.shape) < 1 or luts.shape[1] != 3:
            raise ValueError(f"luts have shape {luts.shape}, expected (n, 3, K, T, T, T)")
        with learning(), seeded(0):
            net = StainLUTNet(
                luts.shape[0], luts.shape[-1], luts.shape[2],
                encoder_norm=parameters["encoder_norm"], predictor_norm=parameters["predictor_norm"],
            )  # fmt: skip
            net.load_state_dict({name: torch.from_numpy(array.copy()) for name, array in arrays.items()})
        gray = parameters["gray"]
        return cls(
            net=net,
            gray=gray if isinstance(gray, str) else tuple(gray),
            inference=parameters.get("inference", "exact"),
            training=dict(parameters["training"]),
        )
