"""Metrics against cases computed by hand and published values."""

from __future__ import annotations

import math

import numpy as np
import pytest

from stainxform.errors import InvalidImageError
from stainxform.evaluate import ciede2000, psnr, ssim

METRICS = [psnr, ssim, ciede2000]


def flat(color, size=16):
    return np.full((size, size, 3), color, np.uint8)


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (24, 20, 3), dtype=np.uint8)


def test_psnr_of_black_and_white_is_zero():
    assert psnr(flat(0), flat(255)) == 0


def test_psnr_of_one_level_everywhere():
    assert psnr(flat(100), flat(101)) == pytest.approx(20 * math.log10(255), abs=1e-12)
    assert psnr(flat(101), flat(100)) == pytest.approx(48.1308036, abs=1e-7)  # no wrap-around of uint8


def test_psnr_averages_over_channels():
    # Squared errors 9, 0, 0: the mean is 3.
    assert psnr(flat((13, 50, 60)), flat((10, 50, 60))) == pytest.approx(10 * math.log10(255**2 / 3), abs=1e-12)


def test_equal_images(noise):
    assert psnr(noise, noise.copy()) == math.inf
    assert ssim(noise, noise.copy()) == pytest.approx(1, abs=1e-12)
    assert ciede2000(noise, noise.copy()) == 0


def test_ssim_of_flat_images_is_the_luminance_term():
    # Without variance only (2 m1 m2 + C1) / (m1^2 + m2^2 + C1) is left, C1 = (.01 * 255)^2.
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(flat(100), flat(120)) == pytest.approx(expected, abs=1e-12)
    assert ssim(flat(0), flat(255)) == pytest.approx(c1 / (255**2 + c1), abs=1e-12)


def test_ssim_by_its_definition(noise):
    """One window, written out: an 11 x 11 image has a single pixel without border."""
    a, b = noise[:11, :11], np.roll(noise, 3, 0)[:11, :11]
    offsets = np.arange(-5, 6)
    line = np.exp(-(offsets**2) / (2 * 1.5**2))
    weights = np.outer(line, line)[..., None] / np.outer(line, line).sum()
    x, y = a.astype(float), b.astype(float)
    mx, my = (weights * x).sum((0, 1)), (weights * y).sum((0, 1))
    vx, vy = (weights * x**2).sum((0, 1)) - mx**2, (weights * y**2).sum((0, 1)) - my**2
    cov = (weights * x * y).sum((0, 1)) - mx * my
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))
    assert ssim(a, b) == pytest.approx(values.mean(), abs=1e-9)


def test_ciede2000_of_black_and_white_is_100():
    assert ciede2000(flat(0), flat(255)) == pytest.approx(100, abs=0.01)


def test_ciede2000_of_pure_colors():
    assert ciede2000(flat((255, 0, 0)), flat((0, 255, 0))) == pytest.approx(86.6, abs=0.1)


def test_ciede2000_is_a_mean_over_pixels():
    half = flat(255)
    half[:8] = 0
    assert ciede2000(half, flat(255)) == pytest.approx(50, abs=0.01)


@pytest.mark.parametrize("metric", METRICS)
def test_symmetric_and_input_untouched(metric, noise):
    other = np.ascontiguousarray(noise[::-1])
    before = noise.copy()
    assert metric(noise, other) == pytest.approx(metric(other, noise), rel=1e-9)
    assert np.array_equal(noise, before)


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize(
    ("image", "message"),
    [
        (flat(1).astype(np.float32), "float32"),
        (flat(1).tolist(), "list"),
        (flat(1)[..., 0], "shape"),
        (np.zeros((16, 16, 4), np.uint8), "shape"),
        (np.zeros((0, 16, 3), np.uint8), "shape"),
        (flat(1, 12), "one shape"),
    ],
)
def test_what_is_no_pair_of_images(metric, image, message):
    with pytest.raises(InvalidImageError, match=message):
        metric(image, flat(1))
    with pytest.raises(InvalidImageError, match=message):
        metric(flat(1), image)


def test_ssim_needs_its_window():
    with pytest.raises(InvalidImageError, match="11 x 11"):
        ssim(flat(1, 10), flat(1, 10))
    assert ssim(flat(1, 11), flat(1, 11)) == pytest.approx(1)
