"""Distances between the colors of two sets of tiles, against scipy, closed forms and known shifts."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.stats import wasserstein_distance
from skimage.color import rgb2lab
from strategies import STAINS, blank_image, he_image, he_images, laws

from stainxform.errors import InvalidImageError, NotEnoughTissueError, ParameterError
from stainxform.evaluate import frechet_distance, lab_wasserstein, luminance_ssim, psnr, ssim, stain_angle
from stainxform.evaluate.color_distances import mean_stain_matrix
from stainxform.image.tissue import tissue_mask
from stainxform.samples import pair
from stainxform.stains.features import FEATURE_NAMES, TileColors, color_features, stain_matrix, tissue_colors

TILES = [he_image(seed, 40, 40) for seed in range(3)]
OTHERS = [he_image(seed, 40, 40, eosin=1.6) for seed in range(3, 6)]


def tissue_lab(tile):
    return rgb2lab(tile)[tissue_mask(tile)]


def test_features_are_what_their_names_say():
    found = dict(zip(FEATURE_NAMES, color_features(tissue_colors(TILES[0])), strict=True))
    lab = tissue_lab(TILES[0])
    for i, channel in enumerate("Lab"):
        values = lab[:, i]
        assert found[f"{channel} mean"] == pytest.approx(values.mean(), abs=1e-3)
        assert found[f"{channel} sd"] == pytest.approx(values.std(), abs=1e-3)
        assert found[f"{channel} skew"] == pytest.approx(np.cbrt(((values - values.mean()) ** 3).mean()), abs=1e-2)
        for percent in (5, 25, 50, 75, 95):
            assert found[f"{channel} {percent} %"] == pytest.approx(np.percentile(values, percent), abs=1e-3)
    density = -np.log((TILES[0][tissue_mask(TILES[0])] + 1.0) / 240)
    amounts = np.linalg.lstsq(STAINS, density.T, rcond=None)[0]
    for name, row in zip(("hematoxylin", "eosin"), amounts):
        assert found[f"{name} mean"] == pytest.approx(row.mean(), abs=1e-5)
        assert found[f"{name} sd"] == pytest.approx(row.std(), abs=1e-5)
        assert found[f"{name} 95 %"] == pytest.approx(np.percentile(row, 95), abs=1e-5)


@laws
@given(he_images(8))
def test_features_do_not_depend_on_where_pixels_are(image):
    try:
        wanted = color_features(tissue_colors(image))
    except NotEnoughTissueError:
        return
    np.testing.assert_allclose(color_features(tissue_colors(image[::-1, ::-1])), wanted, rtol=1e-12)
    doubled = color_features(tissue_colors(np.concatenate([image, image])))
    moments = [i for i, name in enumerate(FEATURE_NAMES) if "%" not in name]
    np.testing.assert_allclose(doubled[moments], wanted[moments], rtol=1e-9, atol=1e-9)


def test_wasserstein_as_scipy_up_to_the_bins():
    weights = [
        np.concatenate([np.full(len(tissue_lab(t)), 1 / len(tissue_lab(t))) for t in s]) for s in (TILES, OTHERS)
    ]
    values = [np.concatenate([tissue_lab(t) for t in s]) for s in (TILES, OTHERS)]
    for i, found in enumerate(lab_wasserstein(TILES, OTHERS)):
        assert found == pytest.approx(wasserstein_distance(values[0][:, i], values[1][:, i], *weights), abs=0.25)


def test_wasserstein_of_equal_and_of_shifted_colors():
    assert lab_wasserstein(TILES, TILES[::-1]) == pytest.approx((0, 0, 0), abs=1e-12)
    flat = [np.full((16, 16, 3), level, np.uint8) for level in (100, 150)]
    lightness = [rgb2lab(tile)[0, 0, 0] for tile in flat]
    found = lab_wasserstein(*([tile] for tile in flat))
    assert found == pytest.approx((lightness[1] - lightness[0], 0, 0), abs=0.25)


def test_every_tile_weighs_the_same_and_blank_ones_nothing():
    large = np.concatenate([OTHERS[0]] * 4)
    wanted = lab_wasserstein([TILES[0], OTHERS[0]], TILES)
    assert lab_wasserstein([TILES[0], large, blank_image()], TILES) == pytest.approx(wanted, abs=1e-12)
    with pytest.raises(NotEnoughTissueError, match="all tiles of a set are blank"):
        lab_wasserstein([blank_image()], TILES)
    with pytest.raises(InvalidImageError, match="NaN"):
        lab_wasserstein([np.full((8, 8, 3), np.nan)], TILES)


def turned(matrix, degrees):
    """Each vector turned towards the other axis of a plane that holds it."""
    out = np.empty_like(matrix)
    for i, vector in enumerate(matrix.T):
        aside = np.cross(vector, [0.3, 0.2, 0.9])
        aside /= np.linalg.norm(aside)
        angle = np.radians(degrees)
        out[:, i] = np.cos(angle) * vector + np.sin(angle) * aside
    return out


@laws
@given(st.floats(0, 90))
def test_the_angle_is_the_angle(degrees):
    assert stain_angle(turned(STAINS, degrees), 3 * STAINS) == pytest.approx((degrees, degrees), abs=1e-6)


def test_the_mean_matrix_has_unit_columns_and_leaves_nan_out():
    stains = np.stack([STAINS, turned(STAINS, 10), np.full((3, 2), np.nan)])
    mean = mean_stain_matrix(stains)
    np.testing.assert_allclose(np.linalg.norm(mean, axis=0), 1)
    assert stain_angle(mean, STAINS) == pytest.approx((5, 5), abs=1e-9)
    with pytest.raises(NotEnoughTissueError, match="no tile shows two stains"):
        mean_stain_matrix(stains[2:])


def test_stains_of_tiles():
    colors = TileColors.of([TILES[0], blank_image(), np.full((20, 20, 3), (180, 90, 160), np.uint8)])
    assert colors.index.tolist() == [0, 2]
    assert np.isfinite(colors.stains[0]).all()
    assert np.isnan(colors.stains[1]).all()
    assert stain_angle(stain_matrix(tissue_colors(pair(1, 128, ("a",))[0][0])), STAINS)[0] < 30
    assert len(TileColors.of([blank_image()])) == 0


@pytest.mark.parametrize("bad", [np.zeros((3, 2)), STAINS.T, np.full((3, 2), np.nan)])
def test_what_is_no_stain_matrix(bad):
    with pytest.raises(ParameterError, match="stain vectors"):
        stain_angle(STAINS, bad)


def test_frechet_in_one_dimension_is_the_closed_form():
    one, other = np.array([[0.0], [2.0]]), np.array([[3.0], [7.0]])  # means 1 and 5, sd sqrt(2) and sqrt(8)
    assert frechet_distance(one, other) == pytest.approx(16 + (np.sqrt(8) - np.sqrt(2)) ** 2)


def test_frechet_as_the_formula_with_sqrtm():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(60, 5)) @ rng.normal(size=(5, 5)), rng.normal(1, 2, size=(50, 5))
    c, d = np.cov(a.T), np.cov(b.T)
    wanted = np.square(a.mean(0) - b.mean(0)).sum() + np.trace(c + d - 2 * sqrtm(c @ d).real)
    assert frechet_distance(a, b) == pytest.approx(wanted, rel=1e-9)
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(b, a), rel=1e-9)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(a[:3], a[:3]) == pytest.approx(0, abs=1e-6)  # fewer tiles than features


@pytest.mark.parametrize(
    "features",
    [np.zeros((1, 4)), np.zeros((3, 5)), np.zeros(4), np.full((3, 4), np.nan)],
    ids=["one", "d", "1-D", "NaN"],
)
def test_what_has_no_frechet_distance(features):
    with pytest.raises(ParameterError):
        frechet_distance(features, np.zeros((3, 4)))


def test_luminance_ssim_does_not_see_color():
    tile = TILES[0]
    gray = tile @ np.array([0.299, 0.587, 0.114])
    assert luminance_ssim(tile, tile) == pytest.approx(1)
    colored = np.clip(np.rint(gray[..., None] + [20, 0, -52]), 0, 255).astype(np.uint8)  # luma of the change: .05
    assert ssim(colored, tile) < 0.97
    inside = (gray > 60) & (gray < 230)
    assert inside.mean() > 0.5
    assert luminance_ssim(colored, tile) > ssim(colored, tile)
    assert luminance_ssim(255 - tile, tile) < 0
    assert np.isfinite(psnr(colored, tile))
    with pytest.raises(InvalidImageError, match="11 x 11"):
        luminance_ssim(tile[:10], tile[:10])
