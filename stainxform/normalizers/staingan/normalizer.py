"""StainGAN: a CycleGAN that translates the tiles of one center into those of another.

Shaban et al., "StainGAN: stain style transfer for digital histological images", arXiv 1804.01601 (2018).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import torch

from stainxform._optional import is_tensor
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image, ImageSpec, as_numpy, check_image, like, read_planes, write_planes
from stainxform.image.tissue import is_blank
from stainxform.io.sources import Tiles, as_tiles
from stainxform.learning.data import smallest_side
from stainxform.learning.loop import Schedule, pick_device
from stainxform.learning.statistics import with_fixed_statistics
from stainxform.maps import ImageMap
from stainxform.normalizers.network import NetworkNormalizer, load_weights, tissue_sample
from stainxform.normalizers.staingan.network import LEAST_SIDE, STRIDE, Generator
from stainxform.normalizers.staingan.training import train_staingan


@dataclass(frozen=True, eq=False)
class GeneratorMap(ImageMap):
    """Runs a generator.

    Parameters
    ----------
    net : the generator, in eval mode.
    fixed : its normalizations have fixed statistics, so that a pixel depends on its surroundings only; otherwise on the
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

    def apply(self, image: Image, spec: ImageSpec, levels: np.ndarray | None = None) -> Image:
        """Translate each image, on its own device (numpy: on that of the network). No gradient flows to the image."""
        home = next(self.net.parameters()).device
        device = image.device if is_tensor(image) and image.device.type != "cpu" else home
        net = self.net if device == home else copy.deepcopy(self.net).to(device)
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
    with torch.inference_mode():
        result = net(_batch(planes).to(device))[0] / 2 + 0.5
    return result[:, :height, :width].cpu().numpy().astype(planes.dtype)


def _batch(planes: np.ndarray) -> torch.Tensor:
    """What the network takes: -1..1, reflected at the far edges to sides that it can halve."""
    room = [max(-(-side // STRIDE) * STRIDE, LEAST_SIDE) - side for side in planes.shape[1:]]
    padded = np.pad(planes, ((0, 0), (0, room[0]), (0, room[1])), mode="reflect").astype(np.float32)
    return torch.from_numpy(padded * 2 - 1)[None]


@dataclass(frozen=True, eq=False, kw_only=True)
class StainGAN(NetworkNormalizer):
    """Translate images of the one other center that it was trained on into the look of ours.

    Parameters
    ----------
    net : the generator from the other center to ours, in eval mode.
    training : ``cycle_levels``: error of going to our center and back, in levels, at the end.
    """

    net: Generator

    method: ClassVar[str] = "staingan"

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        source: Any = None,
        steps: int = 20_000,
        crop: int = 256,
        width: int = 64,
        blocks: int = 9,
        learning_rate: float = 2e-4,
        cycle_weight: float = 10.0,
        identity_weight: float = 0.5,
        pool: int = 50,
        decay: str = "linear",
        validate_every: int = 500,
        seed: int = 0,
        device: str = "auto",
        workdir: str | Path | None = None,
        resume: bool = True,
        progress: bool | None = None,
    ) -> Self:
        """Train on tiles of two centers; they need not show the same tissue.

        With the paper's size a step takes half a minute on a CPU core: there, train something small, such as
        ``width=16, blocks=3, crop=128``.

        Parameters
        ----------
        images : tiles of our center, each at least 32 px a side.
        source : tiles of the other center: a folder, a glob pattern, files, arrays or a Dataset. Blank ones are skipped.
        steps : optimizer steps of one crop of each center.
        crop : side of the crops in pixels, at most that of the smallest tile (paper: 256).
        width : filters of the first layer of each network (paper: 64).
        blocks : residual blocks of the generators (paper: 9).
        learning_rate : of Adam, beta1 = 0.5 (paper: 2e-4).
        cycle_weight : of the cycle loss in both directions (paper: 10).
        identity_weight : of the identity loss, in multiples of cycle_weight (paper: 0.5).
        pool : earlier fakes that a discriminator is shown again (paper's code: 50).
        decay : of the learning rate, "linear" (paper: constant, then to zero in the second half), "cosine" or
            "constant".
        validate_every : steps between checkpoints.
        seed : same seed, same tiles: same weights on one machine with the same number of threads.
        device : "auto" (CUDA where present), "cpu", "cuda", ...; CUDA trains in bfloat16 mixed precision.
        workdir : folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
        resume : go on from the checkpoint in ``workdir``.
        progress : show a progress bar; None: if stderr is a terminal.

        Raises
        ------
        ParameterError : no source, or a setting that makes no sense.
        InvalidImageError : the source holds no image, or one that cannot be read.
        NotEnoughTissueError : a tile smaller than 32 px a side, or a source without tissue.
        TrainingError : a checkpoint of another run, or a loss that is not finite.
        """
        if source is None:
            raise ParameterError(
                "staingan learns from two centers: pass source=, tiles of the other center (images are those of ours)"
            )
        for name, value, least in (("crop", crop, 32), ("width", width, 1), ("blocks", blocks, 0), ("pool", pool, 0)):
            if not isinstance(value, int) or value < least:
                raise ParameterError(f"{name} must be an integer of at least {least}, got {value!r}")
        if not learning_rate > 0:
            raise ParameterError(f"learning_rate must be above 0, got {learning_rate}")
        for name, weight in (("cycle_weight", cycle_weight), ("identity_weight", identity_weight)):
            if not weight >= 0:
                raise ParameterError(f"{name} must be at least 0, got {weight}")
        schedule = Schedule(steps, seed, decay, 0, validate_every, workdir, resume, progress)
        chosen, ours = pick_device(device), as_tiles(images)
        smallest_side(ours, LEAST_SIDE, "StainGAN")
        others = [tile for tile in Tiles(source) if not is_blank(ColorHistogram.of(tile))]
        if not others:
            raise NotEnoughTissueError("no tile of source holds enough tissue; pass tiles of the other center")
        net, training = train_staingan(
            ours,
            others,
            schedule,
            crop=crop,
            width=width,
            blocks=blocks,
            pool=pool,
            learning_rate=learning_rate,
            cycle_weight=cycle_weight,
            identity_weight=identity_weight,
            device=chosen,
        )
        return cls(net=net, training=training)

    def map_for_tiles(self, tiles: Any) -> GeneratorMap:
        """The one map for a slide, from a sample of its tiles: the generator normalized by the statistics of all of
        them. Blank tiles do not count. In parts or at once, results agree to within a level.

        The tiles are read once for each normalization (2 x blocks + 5), one at a time; those of an iterator are held in
        memory.

        Raises NotEnoughTissueError if every tile is blank.
        """
        sample = tissue_sample(tiles, self.min_tissue)

        def inputs() -> Iterator[torch.Tensor]:
            for tile in sample():
                planes = read_planes(np.moveaxis(tile, -1, 0), check_image(tile))
                yield _batch(planes).to(self.device)

        return GeneratorMap(with_fixed_statistics(self.net, inputs), fixed=True)

    def _map_for(self, image: Image, spec: ImageSpec, histogram: ColorHistogram) -> GeneratorMap:
        return GeneratorMap(self.net)

    def _parameters(self) -> dict[str, Any]:
        return {"training": self.training}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        # The sizes are those of the weights, so a file cannot ask for more memory than it fills.
        width = len(arrays["model.1.weight"])
        blocks = sum(name.endswith("conv_block.1.weight") for name in arrays)
        with torch.device("meta"):
            net = Generator(width, blocks)
        load_weights(net, arrays)
        return cls(net=net, training=dict(parameters["training"]))
