"""What normalizers that hold a torch network share: where it is, how it moves, how it is stored."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import compress
from typing import Any, Self, TypeVar

import numpy as np
import torch
from torch import nn

from stainxform._torch import learning
from stainxform.errors import NotEnoughTissueError
from stainxform.image.histogram import ColorHistogram
from stainxform.image.layout import Image
from stainxform.image.tissue import is_blank
from stainxform.io.sources import iterate
from stainxform.normalizers.base import CenterInfo, Normalizer

__all__ = ["NetworkNormalizer", "load_weights", "moved", "tissue_sample"]

_Net = TypeVar("_Net", bound=nn.Module)


@dataclass(frozen=True, eq=False, kw_only=True)
class NetworkNormalizer(Normalizer):
    """A normalizer with a trained network, which is kept in eval mode and without gradients.

    Parameters
    ----------
    net : torch.nn.Module
        The network.
    training : dict of str to float, optional
        Numbers of the best (or, where nothing is scored, the last) validation, with its ``step``.
    """

    net: Any
    training: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        super().__post_init__()
        self.net.eval().requires_grad_(False)

    @property
    def device(self) -> torch.device:
        """Where the network is."""
        return next(self.net.parameters()).device

    def to(self, device: Any) -> Self:
        """A copy whose network is on ``device``; numpy images are then computed there."""
        return replace(self, net=moved(self.net, device))

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle as arrays: torch's own pickles hold memory addresses, so equal models would hash apart in caches."""
        state = (self.arrays(), self.parameters(), self.info, self.min_tissue, str(self.device))
        return _restore, (type(self), *state)

    def arrays(self) -> dict[str, np.ndarray]:
        """The weights."""
        # Scalars are BatchNorm's counters of training steps.
        state = self.net.state_dict()
        return {name: value.detach().cpu().numpy() for name, value in state.items() if value.ndim}


def _restore(
    kind: type[NetworkNormalizer],
    arrays: dict[str, np.ndarray],
    parameters: dict[str, Any],
    info: CenterInfo,
    min_tissue: float,
    device: str,
) -> NetworkNormalizer:
    normalizer = kind.from_arrays(arrays, parameters).with_info(info, min_tissue)
    return normalizer if device == "cpu" else normalizer.to(device)


def moved(net: _Net, device: Any) -> _Net:
    """A copy of a network on another device, whatever the caller has set in torch."""
    with learning():
        return copy.deepcopy(net).to(device)


def load_weights(net: nn.Module, arrays: dict[str, np.ndarray]) -> None:
    """Give a network built on the "meta" device, hence without memory of its own, the weights of a model file.

    Raises
    ------
    RuntimeError
        Names or shapes differ.
    """
    with learning():
        weights = {name: torch.from_numpy(array.astype(np.float32)) for name, array in arrays.items()}
        counters = {name: torch.zeros((), dtype=v.dtype) for name, v in net.state_dict().items() if not v.ndim}
        net.load_state_dict(weights | counters, assign=True)


def tissue_sample(tiles: Any, min_tissue: float) -> Callable[[], Iterator[Image]]:
    """A function that goes through the tiles of a slide that are not blank, each time anew.

    They are read again each time, so that one is in memory at once; those of an iterator are held.

    Raises
    ------
    NotEnoughTissueError
        Every tile is blank.
    """
    held = list(tiles) if isinstance(tiles, Iterator) else tiles
    kept = [not is_blank(ColorHistogram.of(tile), min_tissue) for tile in iterate(held)]
    if not any(kept):
        raise NotEnoughTissueError("every tile is blank; pass tiles with tissue")
    return lambda: compress(iterate(held), kept)
