"""A small U-Net that finds nuclei: inside and rim of each."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from monai.networks.nets import UNet
from nuclei_instances import instances, targets

from stainxform.augment import Augmentation

CROP, BATCH = 128, 4
RATE = 3e-3
CHANNELS = (16, 32, 64, 128)


def network(seed: int) -> torch.nn.Module:
    """RGB in [-1, 1] to logits of inside and rim; batch normalization, so colors are not evened out image by image."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        return UNet(2, 3, 2, channels=CHANNELS, strides=(2,) * (len(CHANNELS) - 1), norm="batch")


def train(
    tiles: np.ndarray, nuclei: np.ndarray, *, steps: int, seed: int, augmentation: Augmentation | None = None
) -> torch.nn.Module:
    """Crops, turned and mirrored, of tiles ``(n, H, W, 3)``, with colors changed where there is an augmentation."""
    net, truth, rng = network(seed), targets(nuclei), np.random.default_rng(seed)
    optimizer = torch.optim.Adam(net.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1)
    net.train()
    for _ in range(steps):
        images, wanted = zip(*(_crop(tiles, truth, augmentation, rng) for _ in range(BATCH)))
        logits = net(planes(np.stack(images)))
        loss = _loss(logits, torch.from_numpy(np.stack(wanted)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return net.eval()


def predict(net: torch.nn.Module, tile: np.ndarray) -> np.ndarray:
    """Label map int32 ``(H, W)`` of one uint8 tile."""
    with torch.inference_mode():
        inside, rim = torch.sigmoid(net(planes(tile[None]))[0]).numpy()
    return instances(inside, rim)


def _crop(
    tiles: np.ndarray, truth: np.ndarray, augmentation: Augmentation | None, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    index, turns, mirror = rng.integers(len(tiles)), rng.integers(4), rng.integers(2)
    side = min(CROP, *tiles.shape[1:3])
    row, column = (rng.integers(size - side + 1) for size in tiles.shape[1:3])
    window = np.s_[row : row + side, column : column + side]
    image, wanted = tiles[index][window], truth[index][:, *window]
    if augmentation:
        image = augmentation(image, augmentation.sample(rng))
    image, wanted = np.rot90(image, turns), np.rot90(wanted, turns, axes=(1, 2))
    if mirror:
        image, wanted = image[:, ::-1], wanted[:, :, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(wanted)


def planes(images: np.ndarray) -> torch.Tensor:
    """What the network takes, of uint8 tiles ``(n, H, W, 3)``."""
    return torch.from_numpy(np.moveaxis(images, -1, 1).astype(np.float32) / 127.5 - 1)


def _loss(logits: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of both maps, and soft Dice of the inside."""
    inside, truth = torch.sigmoid(logits[:, 0]), wanted[:, 0]
    overlap = 2 * (inside * truth).sum() / (inside.sum() + truth.sum() + 1)
    return F.binary_cross_entropy_with_logits(logits, wanted) + (1 - overlap)
