"""StainNet: a network of 1x1 convolutions, 3 - 32 - 32 - 3, on each color."""

from __future__ import annotations

from functools import partial

import numpy as np
from layouts import batch_chw

from jobs import Maker

TITLE = "StainNet network"
SAME = ("torch conv",)
LEVELS = 0.5
BATCHES = ("stainxform", "torch conv")
NOTES = {"stainxform": "fixed point; each distinct color once", "torch conv": "float32, as in the authors' code"}


def implementations(target: np.ndarray, image: np.ndarray) -> dict[str, Maker]:
    """See :mod:`jobs`."""
    return {"stainxform": partial(_ours, image), "torch conv": partial(_torch, image)}


def _layers():
    """Weights and biases as large as trained ones: the identity and noise."""
    rng = np.random.default_rng(0)
    layers = []
    for inputs, outputs in ((3, 32), (32, 32), (32, 3)):
        weight = np.eye(outputs, inputs) + rng.normal(0, 0.3 / np.sqrt(inputs), (outputs, inputs))
        layers.append((weight.astype(np.float32), rng.normal(0, 0.02, outputs).astype(np.float32)))
    return tuple(layers)


def _ours(image):
    from stainxform.maps import PointwiseNetMap

    network = PointwiseNetMap(_layers())
    return lambda: network(image)


def _torch(image):
    import torch
    from torch import nn

    modules = []
    for weight, bias in _layers():
        conv = nn.Conv2d(weight.shape[1], weight.shape[0], 1)
        conv.weight.data, conv.bias.data = torch.from_numpy(weight)[..., None, None], torch.from_numpy(bias)
        modules += [conv, nn.ReLU()]
    network = nn.Sequential(*modules[:-1]).eval()
    source = batch_chw(image)

    @torch.inference_mode()
    def run():
        colors = network(source.to(torch.float32) * (2 / 255) - 1) / 2 + 0.5
        return (colors * 255).round_().clamp_(0, 255).to(torch.uint8)

    return run
