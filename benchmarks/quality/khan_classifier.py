"""Train the stain classifier that ships with Khan's method: no outside images, no outside weights.

Synthetic tissue (stainxform.samples) is rendered as many random centers would have: stain vectors, staining depth,
glass, scanner. The true amounts of the stains label the pixels. Printed: how well it does on centers that it did not
see.

    python benchmarks/quality/khan_classifier.py                      # rewrites stainxform/stains/stain_classifier.safetensors
    python benchmarks/quality/khan_classifier.py -o /tmp/mine.safetensors --centers 50
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from stainxform.image.histogram import ColorHistogram
from stainxform.samples import Center, Tissue, render, tissue
from stainxform.stains.classifier import BACKGROUND, BUNDLED, EOSIN, HEMATOXYLIN, StainClassifier

UNLABELED = -1
CONFIDENCE = 0.75


def random_center(rng: np.random.Generator) -> Center:
    """Stain vectors as wide apart as published ones lie, from faded to dark, on a scanner of its own."""
    while True:
        red, blue = rng.uniform([0.5, 0.05], [0.78, 0.45]), rng.uniform([0.15, 0.15], [0.45, 0.5])
        vectors = np.array([red, np.sqrt(1 - red**2 - blue**2), blue])
        if np.degrees(np.arccos(vectors[:, 0] @ vectors[:, 1])) > 12:
            break
    color_matrix = np.eye(3) + rng.normal(0, 0.03, (3, 3))
    return Center(
        "random",
        vectors,
        strength=np.exp(rng.uniform(np.log(0.5), np.log(2), 2)),
        background=0.7 * rng.uniform(205, 255) + 0.3 * rng.uniform(205, 255, 3),
        gamma=rng.uniform(0.85, 1.15),
        color_matrix=color_matrix / color_matrix.sum(axis=1, keepdims=True),
        noise=rng.uniform(0, 3),
        blur=rng.uniform(0, 1),
    )


def random_tissue(rng: np.random.Generator, seed: int) -> Tissue:
    """Any mixture of epithelium, stroma and glass, often without glass."""
    return tissue(
        96,
        seed=(9, seed),
        background=rng.choice([0.0, rng.uniform(0, 0.6)]),
        cellularity=rng.uniform(0.1, 0.9),
        eosin=rng.uniform(0.7, 1.3),
        hematoxylin=rng.uniform(0.7, 1.3),
    )


def labels_of(amounts: np.ndarray, is_tissue: np.ndarray) -> np.ndarray:
    """The stain that makes up more than 60 % of a pixel; background where there is nearly none; else unlabeled."""
    total = amounts.sum(axis=0)
    labels = np.full(total.shape, UNLABELED)
    labels[amounts[0] > 0.6 * total] = HEMATOXYLIN
    labels[amounts[1] > 0.6 * total] = EOSIN
    labels[~is_tissue | (total < 0.12)] = BACKGROUND
    return labels


def slide(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """An image and its labels."""
    rng = np.random.default_rng(seed)
    sample = random_tissue(rng, seed)
    return render(sample, random_center(rng), seed=seed), labels_of(sample.concentrations, sample.tissue)


def accuracy(classifier: StainClassifier, seeds: range) -> tuple[float, float, float]:
    """Of labeled pixels of unseen centers: share that is classified, right of those, and the latter's 5th percentile."""
    covered, right = [], []
    for image, labels in map(slide, seeds):
        # Every pixel on its own: the colors of a float image are not merged, so they keep their order.
        histogram = ColorHistogram(image.reshape(-1, 3).T / 255, np.ones(image[..., 0].size, np.int64))
        probabilities = classifier.probabilities(histogram)
        known = labels.ravel() != UNLABELED
        sure = known & (probabilities.max(axis=0) > CONFIDENCE)
        covered.append(sure.sum() / known.sum())
        right.append((probabilities.argmax(axis=0) == labels.ravel())[sure].mean())
    return float(np.mean(covered)), float(np.mean(right)), float(np.percentile(right, 5))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--out", type=Path, default=BUNDLED)
    parser.add_argument("--centers", type=int, default=300)
    arguments = parser.parse_args()
    slides = [slide(seed) for seed in range(arguments.centers)]
    classifier = StainClassifier.fit(*zip(*slides, strict=True))
    classifier.save(arguments.out)
    covered, right, worst = accuracy(StainClassifier.load(arguments.out), range(10_000, 10_060))
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1024:.0f} KiB")
    print(f"60 unseen centers: {covered:.1%} of the pixels classified, {right:.1%} of them right (5th percentile: "
          f"{worst:.1%})")  # fmt: skip


if __name__ == "__main__":
    main()
