"""ColorNormNet: one CIELAB offset for an image or a slide, told by a network trained on one center alone.

arXiv 2011.15000 (ISBI 2021). No code is public: this is a reconstruction, see ``docs/methods/colornormnet.md`` for what
the paper states and what is reconstructed.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stainxform._native.native import each_in_order
from stainxform.color import CIELab
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, ValueRange, as_numpy, check_image, read_planes
from stainxform.io.sources import as_tiles, iterate
from stainxform.learning.loop import Schedule
from stainxform.maps import ChannelAffineMap
from stainxform.normalizers.colornormnet.network import ColorNormNetwork
from stainxform.normalizers.colornormnet.training import tissue_offsets, train_colornormnet
from stainxform.normalizers.network import NetworkNormalizer, load_weights

WINDOW = 1024
"""Larger images are looked at in squares of this side, in pixels: feature maps are as large as the image."""


@dataclass(frozen=True, eq=False, kw_only=True)
class ColorNormNet(NetworkNormalizer):
    """Tell how far an image's a* and b* are from the center's, and take that off.

    One offset serves the whole image, so structure cannot be hallucinated: what is applied is a fixed shift in CIELAB.

    Parameters
    ----------
    net : the trained network, in eval mode.
    training : ``offset_error``: mean absolute error, in Lab units, of the offsets of held-out tiles.
    """

    net: ColorNormNetwork

    method: ClassVar[str] = "colornormnet"

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        steps: int = 800,
        batch: int = 8,
        crop: int = 64,
        max_offset: float = 20.0,
        learning_rate: float = 5e-3,
        l2_weight: float = 1.0,
        decay: str = "cosine",
        val_fraction: float = 0.1,
        validate_every: int = 100,
        seed: int = 0,
        device: str = "auto",
        workdir: str | Path | None = None,
        resume: bool = True,
        progress: bool | None = None,
    ) -> Self:
        """Train on tiles of one center.

        Parameters
        ----------
        images : uint8 or float images, each at least 16 px a side.
        steps : optimizer steps (paper: 800 to 1000).
        batch : crops in a step (paper: 128).
        crop : side of the crops in pixels, at most that of the smallest tile. The network sees 57 px.
        max_offset : offsets are drawn from -max_offset..max_offset, in Lab units (reconstructed).
        learning_rate : peak rate of Adam (paper: 1e-3, with batches 16 times as large).
        l2_weight : lambda of the loss, L1 + lambda L2 (reconstructed: 1).
        decay : of the learning rate, "cosine" or "constant".
        val_fraction : part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the
            training tiles serve.
        validate_every : steps between validations and checkpoints.
        seed : same seed, same tiles: same weights on one machine with the same number of threads.
        device : "auto" (CUDA where present), "cpu", "cuda", ...
        workdir : folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
        resume : go on from the checkpoint in ``workdir``.
        progress : show a progress bar; None: if stderr is a terminal.

        Raises
        ------
        ParameterError : a setting that makes no sense.
        NotEnoughTissueError : a tile smaller than 16 px a side.
        TrainingError : a checkpoint of another run, or a loss that is not finite.
        """
        for name, value, least in (("batch", batch, 1), ("crop", crop, 16)):
            if not isinstance(value, int) or value < least:
                raise ParameterError(f"{name} must be an integer of at least {least}, got {value!r}")
        if not 0 < max_offset <= 100:
            raise ParameterError(f"max_offset is above 0 and at most 100 Lab units, got {max_offset}")
        if not l2_weight >= 0:
            raise ParameterError(f"l2_weight must be at least 0, got {l2_weight}")
        if not learning_rate > 0:
            raise ParameterError(f"learning_rate must be above 0, got {learning_rate}")
        if not 0 <= val_fraction < 1:
            raise ParameterError(f"val_fraction must be from 0 to below 1, got {val_fraction}")
        net, training = train_colornormnet(
            as_tiles(images),
            Schedule(steps, seed, decay, min(20, steps // 10), validate_every, workdir, resume, progress),
            batch=batch,
            crop=crop,
            max_offset=max_offset,
            learning_rate=learning_rate,
            l2_weight=l2_weight,
            val_fraction=val_fraction,
            device=device,
        )
        return cls(net=net, training=training)

    def offset(
        self, image: Image, *, value_range: ValueRange | None = None, channel_axis: int | None = None
    ) -> np.ndarray:
        """The image's a* and b* minus what our center would show, in Lab units: float64 ``(2,)``.

        It is the mean prediction over the tissue pixels of an image, or of a batch together.

        Raises
        ------
        InvalidImageError : no RGB image.
        NotEnoughTissueError : not one tissue pixel.
        """
        total, pixels = self._sum(image, check_image(image, value_range, channel_axis))
        return _mean(total, pixels)

    def map_for_tiles(self, tiles: Any) -> ChannelAffineMap:
        """One offset for a slide: the mean prediction over all tissue of a sample of its tiles.

        Raises NotEnoughTissueError if there is none.
        """
        sums = list(each_in_order(lambda tile: self._sum(tile, check_image(tile)), iterate(tiles)))
        return _shift(_mean(sum((total for total, _ in sums), np.zeros(2)), sum(pixels for _, pixels in sums)))

    def _map_for(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> ChannelAffineMap:
        return _shift(_mean(*self._sum(image, spec)))

    def _sum(self, image: Image, spec: ImageSpec) -> tuple[np.ndarray, int]:
        """Predictions summed over tissue, and its pixels."""
        pixels = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
        total, count = np.zeros(2), 0
        height, width = pixels.shape[-2:]
        for index in np.ndindex(*pixels.shape[1:-2]):
            for top in range(0, height, WINDOW):
                for left in range(0, width, WINDOW):
                    window = pixels[:, *index, top : top + WINDOW, left : left + WINDOW]
                    part, tissue = tissue_offsets(self.net, read_planes(window, spec), self.device)
                    total, count = total + part, count + tissue
        return total, count

    def _parameters(self) -> dict[str, Any]:
        return {"max_offset": self.net.max_offset, "training": self.training}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        with torch.device("meta"):
            net = ColorNormNetwork(float(parameters["max_offset"]))
        load_weights(net, arrays)
        return cls(net=net, training=dict(parameters["training"]))


def _mean(total: np.ndarray, pixels: int) -> np.ndarray:
    if not pixels:
        raise NotEnoughTissueError("there is no tissue pixel to tell a color offset from")
    return total / pixels


def _shift(offset: np.ndarray) -> ChannelAffineMap:
    return ChannelAffineMap(CIELab(), np.ones(3), np.array([0.0, -offset[0], -offset[1]]))
