"""StainNet: any normalizer, distilled into a network of 1,283 parameters that maps color to color.

Kang et al., "StainNet: a fast and robust stain normalization network", Frontiers in Medicine 2021.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import numpy as np

from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram
from stainxform.io.sources import as_tiles
from stainxform.maps import PointwiseNetMap
from stainxform.normalizers.base import Normalizer, PointwiseNormalizer
from stainxform.normalizers.stainnet.settings import StainNetSettings

__all__ = ["StainNet"]


@dataclass(frozen=True, eq=False, kw_only=True)
class StainNet(PointwiseNormalizer):
    """Apply, to every image, the one color map that comes closest to what a teacher did to the images of one center.

    It is fitted for a pair of centers: on the images of the *other* center, with a teacher that brings them to ours.
    Applying it needs no torch, and it bakes to a LUT (:func:`stainxform.maps.lut3d.bake`).

    Parameters
    ----------
    network : PointwiseNetMap
        The trained network, as a color map.
    teacher : str, optional
        Method of the normalizer that it was learned from.
    training : dict of str to float, optional
        ``l1_levels``: mean absolute difference from the teacher, in levels, on held-out tiles.
    """

    network: PointwiseNetMap
    teacher: str = ""
    training: dict[str, float] = field(default_factory=dict)

    method: ClassVar[str] = "stainnet"
    Settings = StainNetSettings

    @classmethod
    def fit_tiles(cls, images: Any, settings: StainNetSettings) -> Self:
        """Learn what a teacher does to tiles of another center.

        Raises
        ------
        NotEnoughTissueError
            Every tile is blank to the teacher.
        """
        from stainxform.normalizers.stainnet.training import ColorPairs, train_stainnet

        teacher, pairs = settings.teacher, []
        assert isinstance(teacher, Normalizer)
        for number, tile in enumerate(as_tiles(images)):
            try:
                taught = teacher(tile, on_blank="raise")
            except NotEnoughTissueError:
                continue
            rng = np.random.default_rng((settings.seed, 3, number))
            pairs.append(ColorPairs.sample(tile, taught, settings.pixels, rng))
        if not pairs:
            raise NotEnoughTissueError("no tile holds enough tissue for the teacher; pass tiles of the other center")
        net, training = train_stainnet(pairs, settings)
        return cls(network=PointwiseNetMap(tuple(net.weights())), teacher=teacher.method, training=training)

    @property
    def fixed_map(self) -> PointwiseNetMap:
        """The network."""
        return self.network

    def color_map(self, histogram: ColorHistogram) -> PointwiseNetMap:
        """The network, whatever the image."""
        return self.network

    def arrays(self) -> dict[str, np.ndarray]:
        """Weights and biases by layer."""
        return {
            f"{name}{number}": array
            for number, layer in enumerate(self.network.layers)
            for name, array in zip(("weight", "bias"), layer)
        }

    def parameters(self) -> dict[str, Any]:
        """The teacher's method, and how well it was learned."""
        return {"teacher": self.teacher, "training": self.training}

    @classmethod
    def from_arrays(cls, arrays: dict[str, np.ndarray], parameters: dict[str, Any]) -> Self:
        """See :meth:`Normalizer.from_arrays`."""
        layers = tuple((arrays[f"weight{number}"], arrays[f"bias{number}"]) for number in range(len(arrays) // 2))
        return cls(
            network=PointwiseNetMap(layers), teacher=parameters["teacher"], training=dict(parameters["training"])
        )
