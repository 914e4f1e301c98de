"""StainNet: any normalizer, distilled into a network of 1,283 parameters that maps color to color.

Kang et al., "StainNet: a fast and robust stain normalization network", Frontiers in Medicine 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from stainxform._optional import require
from stainxform.errors import NotEnoughTissueError, ParameterError
from stainxform.image.histogram import ColorHistogram
from stainxform.io.sources import as_tiles
from stainxform.maps import PointwiseNetMap
from stainxform.normalizers.base import Normalizer, PointwiseNormalizer


@dataclass(frozen=True, eq=False, kw_only=True)
class StainNet(PointwiseNormalizer):
    """Apply, to every image, the one color map that comes closest to what a teacher did to the images of one center.

    It is fitted for a pair of centers: on the images of the *other* center, with a teacher that brings them to ours.
    Applying it needs no torch, and it bakes to a LUT (:func:`stainxform.maps.lut3d.bake`).

    Parameters
    ----------
    network : the trained network, as a color map.
    teacher : method of the normalizer that it was learned from.
    training : ``l1_levels``: mean absolute difference from the teacher, in levels, on held-out tiles.
    """

    network: PointwiseNetMap
    teacher: str = ""
    training: dict[str, float] = field(default_factory=dict)

    method: ClassVar[str] = "stainnet"

    @classmethod
    def fit(
        cls,
        images: Any,
        *,
        teacher: str | Path | Normalizer | None = None,
        steps: int = 3000,
        batch: int = 4096,
        pixels: int = 8192,
        learning_rate: float = 1e-2,
        decay: str = "cosine",
        val_fraction: float = 0.1,
        validate_every: int = 500,
        seed: int = 0,
        device: str = "auto",
        workdir: str | Path | None = None,
        resume: bool = True,
        progress: bool | None = None,
    ) -> Self:
        """Learn what a teacher does to tiles of another center.

        Parameters
        ----------
        images : tiles of the other center, the one that will be normalized.
        teacher : a normalizer fitted on our center, or the path of its model file.
        steps : optimizer steps.
        batch : pixels in a step (authors' code: 10 crops of 256 px).
        pixels : random pixels taken from each tile; neighbors mean nothing to a 1x1 network.
        learning_rate : peak rate of Adam (authors' code: SGD, 0.01).
        decay : of the learning rate, "cosine" (authors' code) or "constant".
        val_fraction : part of the tiles held out to choose the best checkpoint; with a single tile, or 0, the
            training tiles serve.
        validate_every : steps between validations and checkpoints.
        seed : same seed, same tiles, same teacher: same weights on one machine.
        device : "auto" (CUDA where present), "cpu", "cuda", ... of the training; the teacher runs where it is.
        workdir : folder for the checkpoint, log.csv and TensorBoard events; None writes nothing.
        resume : go on from the checkpoint in ``workdir``.
        progress : show a progress bar; None: if stderr is a terminal.

        Raises
        ------
        ParameterError : no teacher, or a setting that makes no sense.
        ModelFileError : the teacher's model file cannot be read.
        NotEnoughTissueError : every tile is blank to the teacher.
        MissingDependencyError : torch is not installed.
        TrainingError : a checkpoint of another run, or a loss that is not finite.
        """
        if teacher is None:
            raise ParameterError(
                "stainnet learns from another normalizer: pass teacher=, a fitted normalizer or the path of its model file, "
                "and as images the tiles of the other center"
            )
        for name, value in (("batch", batch), ("pixels", pixels)):
            if not isinstance(value, int) or value < 1:
                raise ParameterError(f"{name} must be an integer of at least 1, got {value!r}")
        if not learning_rate > 0:
            raise ParameterError(f"learning_rate must be above 0, got {learning_rate}")
        if not 0 <= val_fraction < 1:
            raise ParameterError(f"val_fraction must be from 0 to below 1, got {val_fraction}")
        require("torch", "torch")
        from stainxform.learning.loop import Schedule, pick_device
        from stainxform.normalizers.stainnet.training import ColorPairs, train_stainnet

        schedule = Schedule(steps, seed, decay, min(20, steps // 10), validate_every, workdir, resume, progress)
        chosen = pick_device(device)
        guide = teacher if isinstance(teacher, Normalizer) else Normalizer.load(teacher)
        pairs = []
        for number, tile in enumerate(as_tiles(images)):
            try:
                taught = guide(tile, on_blank="raise")
            except NotEnoughTissueError:
                continue
            pairs.append(ColorPairs.sample(tile, taught, pixels, np.random.default_rng((seed, 3, number))))
        if not pairs:
            raise NotEnoughTissueError("no tile holds enough tissue for the teacher; pass tiles of the other center")
        net, training = train_stainnet(
            pairs, schedule, batch=batch, learning_rate=learning_rate, val_fraction=val_fraction, device=chosen
        )
        return cls(network=PointwiseNetMap(tuple(net.weights())), teacher=guide.method, training=training)

    def color_map(self, histogram: ColorHistogram) -> PointwiseNetMap:
        """The network, whatever the image."""
        return self.network

    def _arrays(self) -> dict[str, np.ndarray]:
        return {
            f"{name}{number}": array
            for number, layer in enumerate(self.network.layers)
            for name, array in zip(("weight", "bias"), layer)
        }

    def _parameters(self) -> dict[str, Any]:
        return {"teacher": self.teacher, "training": self.training}

    @classmethod
    def _from_state(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        layers = tuple((arrays[f"weight{number}"], arrays[f"bias{number}"]) for number in range(len(arrays) // 2))
        return cls(
            network=PointwiseNetMap(layers), teacher=parameters["teacher"], training=dict(parameters["training"])
        )
