"""StainGAN: a CycleGAN that translates the tiles of one center into those of another.

Shaban et al., "StainGAN: stain style transfer for digital histological images", arXiv 1804.01601 (2018).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stainxform._optional import is_tensor
from stainxform._torch import learning, predicting
from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, as_numpy, check_image, like, read_planes, write_planes
from stainxform.image.tissue import is_blank
from stainxform.io.sources import as_tiles
from stainxform.learning.data import smallest_side
from stainxform.learning.statistics import with_fixed_statistics
from stainxform.maps import ImageMap
from stainxform.normalizers.network import NetworkNormalizer, load_weights, moved, tissue_sample
from stainxform.normalizers.staingan.network import MIN_INPUT_SIDE, STRIDE, Generator
from stainxform.normalizers.staingan.settings import MIN_CROP, StainGANSettings
from stainxform.normalizers.staingan.training import train_staingan

__all__ = ["GeneratorMap", "StainGAN"]


@dataclass(frozen=True, eq=False)
class GeneratorMap(ImageMap):
    """Runs a generator.

    Parameters
    ----------
    net : Generator
        The generator, in eval mode.
    fixed : bool, optional
        Its normalizations have fixed statistics, so that a pixel depends on its surroundings only; otherwise on the
        whole image.
    """

    net: Generator
    fixed: bool = False

    @property
    def halo(self) -> int | None:
        """What the generator sees around a pixel, if its normalizations are fixed."""
        return self.net.reach if self.fixed else None

    @property
    def align(self) -> int:
        """The strides of the generator start at the image's corner."""
        return STRIDE

    def torch_module(self) -> Any:
        """The map in torch operations."""
        from stainxform.normalizers.staingan.module import Translate

        return Translate(self.net)

    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Translate each image, on its own device (numpy: on that of the network). No gradient flows to the image."""
        home = next(self.net.parameters()).device
        device = image.device if is_tensor(image) and image.device.type != "cpu" else home
        net = self.net if device == home else moved(self.net, device)
        source = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
        result = np.empty(tuple(image.shape), source.dtype)
        target = np.moveaxis(result, spec.channel_axis, 0)
        for index in np.ndindex(*source.shape[1:-2]):
            planes = read_planes(source[:, *index], spec)
            target_planes = target[:, *index]
            write_planes(_run(net, planes, device), target_planes, spec)
        return like(result, image)


def _run(net: Generator, planes: np.ndarray, device: torch.device) -> np.ndarray:
    """Float planes ``(3, H, W)`` in [0, 1] through the network."""
    height, width = planes.shape[1:]
    with predicting():
        result = net(_batch(planes).to(device))[0] / 2 + 0.5
    return result[:, :height, :width].cpu().numpy().astype(planes.dtype)


def _batch(planes: np.ndarray) -> torch.Tensor:
    """What the network takes: -1..1, reflected at the far edges to sides that it can halve."""
    room = [max(-(-side // STRIDE) * STRIDE, MIN_INPUT_SIDE) - side for side in planes.shape[1:]]
    padded = np.pad(planes, ((0, 0), (0, room[0]), (0, room[1])), mode="reflect").astype(np.float32)
    return torch.from_numpy(padded * 2 - 1)[None]


@dataclass(frozen=True, eq=False, kw_only=True)
class StainGAN(NetworkNormalizer):
    """Translate images of the one other center that it was trained on into the look of ours.

    Parameters
    ----------
    net : Generator
        The generator from the other center to ours, in eval mode.
    training : dict of str to float, optional
        ``cycle_levels``: error of going to our center and back, in levels, at the end.
    """

    net: Generator

    method: ClassVar[str] = "staingan"
    Settings = StainGANSettings

    @classmethod
    def fit_tiles(cls, images: Any, settings: StainGANSettings) -> Self:
        """Train on tiles of our center, and of the other one.

        Raises
        ------
        NotEnoughTissueError
            A tile smaller than 32 px a side, or a source without tissue.
        """
        ours, others = as_tiles(images), settings.source
        smallest_side(ours, MIN_CROP, "StainGAN")
        stained = [i for i in range(len(others)) if not is_blank(ColorHistogram.of(others[i]))]
        if not stained:
            raise NotEnoughTissueError("no tile of source holds enough tissue; pass tiles of the other center")
        net, training = train_staingan(ours, others.subset(stained), settings)
        return cls(net=net, training=training)

    def map_for_tiles(self, tiles: Any) -> GeneratorMap:
        """The one map for a slide, from a sample of its tiles: the generator, normalized by the statistics of all.

        Blank tiles do not count. In parts or at once, results agree to within a level.

        The tiles are read once for each normalization (2 x blocks + 5), one at a time; those of an iterator are held in
        memory.

        Raises
        ------
        NotEnoughTissueError
            Every tile is blank.
        """
        sample = tissue_sample(tiles, self.min_tissue)

        def inputs() -> Iterator[torch.Tensor]:
            for tile in sample():
                planes = read_planes(np.moveaxis(tile, -1, 0), check_image(tile))
                yield _batch(planes).to(self.device)

        with learning():
            return GeneratorMap(with_fixed_statistics(self.net, inputs), fixed=True)

    def image_map(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> GeneratorMap:
        """The generator, normalized by the statistics of the image."""
        return GeneratorMap(self.net)

    def torch_module(self) -> Any:
        """The generator in torch operations."""
        from stainxform.normalizers.staingan.module import Translate

        return Translate(self.net)

    def parameters(self) -> dict[str, Any]:
        """How well it was trained."""
        return {"training": self.training}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        # The sizes are those of the weights, so a file cannot ask for more memory than it fills.
        width = len(arrays["model.1.weight"])
        blocks = sum(name.endswith("conv_block.1.weight") for name in arrays)
        with learning(), torch.device("meta"):
            net = Generator(width, blocks)
        load_weights(net, arrays)
        return cls(net=net, training=dict(parameters["training"]))
