"""Instance normalizations with the statistics of many tiles: what makes a network a local function of a slide."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import TypeVar

import torch
from torch import Tensor, nn

from stainxform._torch import predicting

__all__ = ["Net", "with_fixed_statistics"]

Net = TypeVar("Net", bound=nn.Module)


class _ReachedError(Exception):
    """The normalization in question has seen its input; what follows is not needed."""


def with_fixed_statistics(net: Net, inputs: Callable[[], Iterable[Tensor]]) -> Net:
    """A copy whose instance normalizations use the mean and variance of all inputs together.

    One after the other, in the order of the network: each sees what those before it, already fixed, give. The inputs
    are asked for once for each normalization, and one is in memory at a time.

    Parameters
    ----------
    net : torch.nn.Module
        In eval mode, its normalizations used in the order in which they are listed.
    inputs : callable
        Called for the batches ``(N, ...)`` that the network takes, the same each time; at least one.
    """
    fixed = copy.deepcopy(net)
    for norm in [module for module in fixed.modules() if isinstance(module, nn.InstanceNorm2d)]:
        mean, variance = _statistics(fixed, norm, inputs())
        norm.track_running_stats = True
        norm.running_mean, norm.running_var = mean, variance
    return fixed


def _statistics(net: nn.Module, norm: nn.Module, inputs: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and variance ``(channels,)``, float32, of what a normalization of the network is given."""
    sums: list[Tensor] = []
    pixels = 0

    def look(module: nn.Module, given: tuple[Tensor]) -> None:
        nonlocal pixels
        values = given[0].double().transpose(0, 1).flatten(1)
        part = torch.stack([values.sum(1), values.square().sum(1)])
        sums[:] = [sums[0] + part] if sums else [part]
        pixels += values.shape[1]
        raise _ReachedError

    handle = norm.register_forward_pre_hook(look)
    try:
        with predicting():
            for batch in inputs:
                try:
                    net(batch)
                except _ReachedError:
                    continue
    finally:
        handle.remove()
    mean, square = sums[0].clone() / pixels
    return mean.float(), (square - mean.square()).clamp(min=0).float()
