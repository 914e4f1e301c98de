"""StainLUT: self-supervised colorization through a fused 4D LUT.

npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8. No official code is public: this is a reconstruction, see
``docs/methods/stainlut.md`` for what the paper states and what is reconstructed.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor

from stainxform._native import native
from stainxform._native.kernels import four_values, gray_lut
from stainxform._native.kernels import gray_levels as native_gray_levels
from stainxform._optional import is_tensor
from stainxform.color import GRAY_WEIGHTS
from stainxform.errors import ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, as_numpy, check_image, each_image, like, read_planes, write_planes
from stainxform.io.sources import as_tiles
from stainxform.learning.loop import Schedule
from stainxform.learning.statistics import with_fixed_statistics
from stainxform.maps import ImageMap
from stainxform.normalizers.network import NetworkNormalizer, tissue_sample
from stainxform.normalizers.stainlut.network import (
    NORMS,
    PREDICTOR_NORMS,
    REACH,
    Encoder,
    Fusion,
    StainLUTNet,
    gray_levels,
)
from stainxform.normalizers.stainlut.training import ColorRandomization, Rates, train_stainlut
from stainxform.ops.lut4d import lookup_gray

GRAYS: dict[str, tuple[float, float, float]] = {"bt601": GRAY_WEIGHTS, "mean": (1 / 3, 1 / 3, 1 / 3)}
"""Named gray weights. The paper says grayscale; the mean of the channels transferred best between two scanners."""

INFERENCE = ("exact", "fast")
"""How the context is computed on a CPU, see :class:`StainLUT`."""


@dataclass(frozen=True, eq=False)
class ContextMap(ImageMap):
    """Gray and context to color through a collapsed table: what StainLUT does once the fusion weights are known.

    Parameters
    ----------
    table : float32 tensor ``(3, K, 256)``, the fused LUT on the gray diagonal.
    encoder : the network that gives the context of each pixel.
    gray_weights : weights of red, green and blue.
    inference : "exact" or "fast", see StainLUT.
    """

    table: Tensor
    encoder: Encoder
    gray_weights: tuple[float, float, float]
    inference: str = "exact"

    @property
    def halo(self) -> int | None:
        """The Encoder's reach, if its normalizations are fixed; they are not where they take the image's statistics."""
        return None if self.encoder.norm == "instance" else REACH

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
        encoder = self.encoder if here else copy.deepcopy(self.encoder).to(gray.device)
        with torch.inference_mode():
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
    net : the trained network, in eval mode.
    gray : "mean" of the channels (default), "bt601", or three weights that sum to 1.
    training : numbers of the best validation (``score``: PSNR in dB, ``step``).
    inference : "exact": float32, what training saw. "fast": the Encoder in bfloat16 on CPUs with AMX, a level or two
        off (measured in ``docs/methods/stainlut.md``); the same as "exact" on others, on GPUs and without the compiled
        kernels. Kept in the model file.
    """

    net: StainLUTNet
    gray: str | tuple[float, float, float] = "mean"
    inference: str = "exact"

    method: ClassVar[str] = "stainlut"

    def __post_init__(self) -> None:
        super().__post_init__()
        gray_weights_of(self.gray)
        _check_inference(self.inference)

    def with_inference(self, inference: str) -> Self:
        """A copy, with the same network, that computes the context "exact" or "fast", see the class."""
        return replace(self, inference=inference)

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        steps: int = 2000,
        crop: int | None = 128,
        seed: int = 0,
        device: str = "auto",
        bases: int = 3,
        size: int = 33,
        context_nodes: int = 2,
        dropout: float = 0.5,
        encoder_norm: str = "instance",
        predictor_norm: str = "instance",
        gray: str | tuple[float, float, float] = "mean",
        inference: str = "exact",
        color_randomization: bool | dict[str, float] = True,
        learning_rates: dict[str, float] | None = None,
        decay: str = "cosine",
        smooth_weight: float = 1e-4,
        mono_weight: float = 0.1,
        val_fraction: float = 0.1,
        validate_every: int = 100,
        workdir: str | Path | None = None,
        resume: bool = True,
        progress: bool | None = None,
    ) -> Self:
        """Train on tiles of one center.

        Parameters
        ----------
        images : uint8 or float images, each at least 16 px a side.
        steps : optimizer steps of one tile each (paper: batch 1).
        crop : side in pixels of the random crop that the Encoder and the loss see in a step; None takes whole tiles.
            The Predictor always sees whole tiles: give tiles of about the size that will be normalized.
        seed : same seed, same tiles: same weights on one machine with the same number of threads.
        device : "auto" (CUDA where present), "cpu", "cuda", ...; CUDA trains in bfloat16 mixed precision.
        bases, size, context_nodes : n, T and K of the LUTs (paper: 3 and 33; 4DLUT code: 2).
        dropout : probability, training only (4DLUT code: 0.5).
        encoder_norm : "instance" (4DLUT code), "running" or "none", see StainLUTNet.
        predictor_norm : "instance" (4DLUT code) or "none", see StainLUTNet.
        gray : weights of the gray image.
        inference : "exact" or "fast", see the class; training does not depend on it.
        color_randomization : True for the default ranges, False for none, or a dictionary with any of brightness,
            contrast, saturation, gain, gamma (half widths, see ColorRandomization).
        learning_rates : any of predictor, head, encoder, luts (see Rates).
        decay : "cosine" or "constant" (paper).
        smooth_weight, mono_weight : weights of L_smooth and L_mono (paper: 1e-4 and 10).
        val_fraction : part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the
            training tiles serve.
        validate_every : steps between validations and checkpoints.
        workdir : folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
        resume : go on from the checkpoint in ``workdir``.
        progress : show a progress bar; None: if stderr is a terminal.

        Raises
        ------
        ParameterError : a setting that makes no sense.
        NotEnoughTissueError : a tile smaller than 16 px a side.
        TrainingError : a checkpoint of another run, or a loss that is not finite.
        """
        for name, value, least in (("bases", bases, 1), ("size", size, 2), ("context_nodes", context_nodes, 2)):
            if not isinstance(value, int) or value < least:
                raise ParameterError(f"{name} must be an integer of at least {least}, got {value!r}")
        for name, norm, known in (
            ("encoder_norm", encoder_norm, NORMS),
            ("predictor_norm", predictor_norm, PREDICTOR_NORMS),
        ):
            if norm not in known:
                raise ParameterError(f"{name} must be one of {', '.join(known)}, got {norm!r}")
        _check_inference(inference)
        if crop is not None and crop < 16:
            raise ParameterError(f"crop must be at least 16 px, or None, got {crop}")
        for name, fraction in (("dropout", dropout), ("val_fraction", val_fraction)):
            if not 0 <= fraction < 1:
                raise ParameterError(f"{name} must be from 0 to below 1, got {fraction}")
        if color_randomization is True:
            randomization = ColorRandomization()
        else:
            off = dict.fromkeys(("brightness", "contrast", "saturation", "gain", "gamma"), 0.0)
            randomization = _settings(ColorRandomization, off | (color_randomization or {}), "color_randomization")
        net, training = train_stainlut(
            as_tiles(images),
            Schedule(steps, seed, decay, min(20, steps // 10), validate_every, workdir, resume, progress),
            bases=bases,
            size=size,
            context_nodes=context_nodes,
            dropout=dropout,
            encoder_norm=encoder_norm,
            predictor_norm=predictor_norm,
            gray_weights=gray_weights_of(gray),
            randomization=randomization,
            rates=_settings(Rates, learning_rates or {}, "learning_rates"),
            crop=crop,
            smooth_weight=smooth_weight,
            mono_weight=mono_weight,
            val_fraction=val_fraction,
            device=device,
        )
        return cls(net=net, gray=gray, inference=inference, training=training)

    def _map_for(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ContextMap:
        weights = gray_weights_of(self.gray)
        gray = image_gray(image, spec, weights).to(self.device)
        with torch.inference_mode():
            table = self.net.table(self.net.predictor(gray.to(torch.float32) / 255))
        return ContextMap(table, self.net.encoder, weights, self.inference)

    def map_for_tiles(self, tiles: Any) -> ContextMap:
        """The one map for a slide, from a sample of its tiles: mean fusion weights, and the Encoder normalized by the
        statistics of all of them, so that it leaves no seams. Blank tiles do not count.

        The tiles are read six times, one at a time (with encoder_norm "running" or "none" twice); those of an iterator
        are held in memory.

        Raises NotEnoughTissueError if every tile is blank.
        """
        weights, sample = gray_weights_of(self.gray), tissue_sample(tiles, self.min_tissue)

        def grays() -> Iterator[Tensor]:
            for tile in sample():
                yield image_gray(tile, check_image(tile), weights).to(self.device, torch.float32) / 255

        with torch.inference_mode():
            each = torch.stack([self.net.predictor.numbers(gray)[0] for gray in grays()])
            numbers, n = each.double().mean(0).float(), self.net.bases
            table = self.net.table(Fusion(numbers[: 9 * n].reshape(3, 3 * n), numbers[9 * n :]))
        encoder = self.net.encoder
        if encoder.norm == "instance":
            encoder = with_fixed_statistics(encoder, grays)
            encoder.norm = "running"
        return ContextMap(table, encoder, weights, self.inference)

    def _parameters(self) -> dict[str, Any]:
        gray = self.gray if isinstance(self.gray, str) else list(self.gray)
        return {
            "gray": gray,
            "encoder_norm": self.net.encoder.norm,
            "predictor_norm": self.net.predictor.norm,
            "inference": self.inference,
            "training": self.training,
        }

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        luts = arrays["luts"]
        if luts.ndim != 6 or min(luts.shape) < 1 or luts.shape[1] != 3:
            raise ValueError(f"luts have shape {luts.shape}, expected (n, 3, K, T, T, T)")
        with torch.random.fork_rng(devices=()):
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


def gray_weights_of(gray: str | tuple[float, float, float]) -> tuple[float, float, float]:
    """Resolve a name or three weights; ParameterError for anything else."""
    if isinstance(gray, str):
        if gray not in GRAYS:
            raise ParameterError(f"gray must be one of {', '.join(GRAYS)} or three weights, got {gray!r}")
        return GRAYS[gray]
    weights = tuple(float(weight) for weight in gray)
    if len(weights) != 3 or min(weights) < 0 or abs(sum(weights) - 1) > 1e-6:
        raise ParameterError(f"gray weights must be three numbers >= 0 that sum to 1, got {gray}")
    return weights


def _check_inference(inference: str) -> None:
    if inference not in INFERENCE:
        raise ParameterError(f"inference must be one of {', '.join(INFERENCE)}, got {inference!r}")


def _settings(kind: Any, values: Any, name: str) -> Any:
    try:
        return kind(**values)
    except TypeError as error:
        known = ", ".join(kind.__dataclass_fields__)
        raise ParameterError(f"{name} takes a dictionary with any of {known}, got {values!r}") from error
