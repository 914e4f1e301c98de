"""What people give to transforms of the hosts: normalized, or refused in one sentence, and never passed on untouched.

The table is the section "Pipelines" of docs/bad_input.md.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from contracts import for_albumentations, for_monai, for_torchvision
from monai.data import MetaTensor
from PIL import Image

from stainxform.errors import StainXformError
from stainxform.image.layout import as_numpy

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"


def chw(tiles):
    return np.ascontiguousarray(np.moveaxis(tiles, -1, -3))


def of_torchvision(name):
    return getattr(pytest.importorskip("torchvision.tv_tensors"), name)


def other_modes(tile):
    return [Image.fromarray(tile).convert(mode) for mode in ("L", "RGBA", "P", "CMYK", "1", "I", "F", "LA", "YCbCr")]


INPUTS = {
    "numpy `(H, W, 3)`": lambda tiles: [tiles[0], (tiles[0] / 255).astype(np.float32)],
    "numpy `(N, H, W, 3)`": lambda tiles: [tiles],
    "numpy `(3, H, W)`": lambda tiles: [chw(tiles[0])],
    "numpy `(N, 3, H, W)`": lambda tiles: [chw(tiles)],
    "tensor `(3, H, W)`": lambda tiles: [torch.from_numpy(chw(tiles[0]))],
    "tensor `(N, 3, H, W)`": lambda tiles: [torch.from_numpy(chw(tiles))],
    "MetaTensor `(3, H, W)`, `(N, 3, H, W)`": lambda tiles: [MetaTensor(chw(tiles[0])), MetaTensor(chw(tiles))],
    "`tv_tensors.Image`, `Video`": lambda tiles: [
        of_torchvision("Image")(chw(tiles[0])),
        of_torchvision("Video")(chw(tiles)),
    ],
    "PIL image of mode RGB": lambda tiles: [Image.fromarray(tiles[0])],
    "PIL image of another mode": lambda tiles: other_modes(tiles[0]),
    "list of numpy `(H, W, 3)`": lambda tiles: [list(tiles)],
    "list of tensors `(3, H, W)`": lambda tiles: [list(torch.from_numpy(chw(tiles)))],
    "gray, RGBA, 16 bits, NaN": lambda tiles: [
        tiles[0][..., 0], tiles[0][..., :1], np.zeros((8, 8, 4), np.uint8), tiles[0].astype(np.uint16),
        np.full((8, 8, 3), np.nan),
    ],
    "volume `(3, H, W, D)`": lambda tiles: [np.zeros((3, 16, 16, 5), np.uint8), torch.zeros(3, 16, 16, 5)],
    "path, text, bytes, number, None": lambda tiles: ["tile.png", Path("tile.png"), b"\x89PNG", 3, 2.5, None],
    "other objects, an empty dictionary": lambda tiles: [SimpleNamespace(image=tiles[0]), object(), {}, {"label": 3}],
}  # fmt: skip


def give_albumentations(transform, given):
    name = "images" if isinstance(given, list) or getattr(given, "ndim", 3) == 4 else "image"
    return transform(**{name: given})[name]


HOSTS = {
    "MONAI": (for_monai, lambda transform, given: transform(given)),
    "albumentations": (for_albumentations, give_albumentations),
    "torchvision": (for_torchvision, lambda transform, given: transform(given)),
}


def flat(result):
    """Images of whatever a host gave back, ``(H, W, 3)`` each."""
    if isinstance(result, list | tuple):
        return [one for part in result for one in flat(part)]
    array = np.asarray(result) if isinstance(result, Image.Image) else as_numpy(result)
    array = array if array.shape[-1] == 3 else np.moveaxis(array, -3, -1)
    return list(array.reshape(-1, *array.shape[-3:]))


def outcome(call, given, wanted):
    try:
        found = flat(call(given))
    except StainXformError:
        return "refused"
    for image, tile in zip(found, wanted(found), strict=True):
        np.testing.assert_array_equal(image, tile)
    return "normalized"


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", INPUTS)
def test_normalized_or_refused_as_the_page_says(name, host, macenko, tiles):
    package, call = HOSTS[host]
    if package is None:
        pytest.skip("no torchvision")
    options = {"value_range": (0, 1)} if host != "albumentations" else {}
    transform = package.StainNormalize(macenko, **options)

    def wanted(found):
        images = tiles[1] if found[0].dtype == np.uint8 else (tiles[1] / 255).astype(np.float32)
        return [macenko(image) for image in images[: len(found)]]

    outcomes = {outcome(lambda x: call(transform, x), given, wanted) for given in INPUTS[name](tiles[1])}
    assert len(outcomes) == 1
    (row,) = (line for line in PAGE.read_text().splitlines() if line.startswith(f"| {name} |"))
    cells = [cell.strip() for cell in row.split("|")[2:-1]]
    assert outcomes == {cells[list(HOSTS).index(host)]}


@pytest.mark.parametrize("host", HOSTS)
@pytest.mark.parametrize("name", INPUTS)
def test_augmentations_change_what_normalizers_take(name, host, macenko, tiles):
    package, call = HOSTS[host]
    if package is None:
        pytest.skip("no torchvision")
    certain = {"p": 1} if host != "MONAI" else {"prob": 1}
    options = {"value_range": (0, 1)} if host != "albumentations" else {}
    random, normalize = (
        package.RandHED(preset="strong", **certain, **options),
        package.StainNormalize(macenko, **options),
    )
    for given in INPUTS[name](tiles[1]):
        try:
            call(normalize, given)
        except StainXformError:
            with pytest.raises(StainXformError):
                call(random, given)
        else:
            for before, after in zip(flat(given), flat(call(random, given)), strict=True):
                assert (before != after).any()


@pytest.mark.parametrize("host", HOSTS)
def test_errors_of_what_a_sample_lacks(host, bridge, macenko, tiles):
    package, _ = HOSTS[host]
    if package is None:
        pytest.skip("no torchvision")
    if host == "albumentations":
        calls = [lambda: package.StainNormalize(bridge, group_key="slide")(image=tiles[1][0])]
    elif host == "MONAI":
        calls = [
            lambda: package.StainNormalized("image", bridge, group_key="slide")({"image": chw(tiles[1][0])}),
            lambda: package.StainNormalized("image", macenko)({"label": 3}),
            lambda: package.RandHEDd("image", prob=1)({"label": 3}),
        ]
    else:
        calls = [lambda: package.StainNormalize(bridge, group_key="slide")({"image": tiles[1][0]})]
    for call in calls:
        with pytest.raises(KeyError) as error:
            call()
        assert isinstance(error.value, StainXformError)
        assert not str(error.value).startswith(("'", '"'))


def test_a_group_needs_a_calibration(normalizer, tiles):
    with pytest.raises(StainXformError, match="group='a' needs a calibration"):
        normalizer(tiles[1][0], group="a")


def test_torchvision_passes_no_second_image_on(macenko, tiles):
    torchvision = for_torchvision or pytest.skip("no torchvision")
    tile = tiles[1][0]
    tensor = torch.from_numpy(chw(tile))
    for sample in ([tile, chw(tile)], [tensor, torch.from_numpy(tile.copy())], (chw(tile), tensor)):
        with pytest.raises(StainXformError, match=r"several tensors or arrays|move the channels"):
            torchvision.StainNormalize(macenko)(sample)


def test_torchvision_takes_no_image_for_one_of_another_group(bridge, tiles):
    torchvision = for_torchvision or pytest.skip("no torchvision")
    image = of_torchvision("Image")(torch.from_numpy(chw(tiles[1][0])))
    transform = torchvision.StainNormalize(bridge, group_key="slide")
    first, second = ({"image": image, "slide": group} for group in "ab")
    for sample in ([first, second], (first, second)):
        with pytest.raises(StainXformError, match="differ in their group, 'slide'; pass each by itself"):
            transform(sample)
    assert torch.equal(transform([first, first])[1]["image"], transform(first)["image"])


def test_albumentations_takes_none_for_no_group(bridge, tiles):
    transform = for_albumentations.StainNormalize(bridge, group_key="slide")
    found = transform(image=tiles[1][0], slide=None)
    np.testing.assert_array_equal(found["image"], bridge(tiles[1][0]))
    assert found["slide"] is None


def test_what_is_no_sample_is_refused_by_name(macenko, tiles):
    for transform in (for_monai.StainNormalized("image", macenko), for_monai.RandHEDd("image", prob=1)):
        for given in ([{"image": chw(tiles[1][0])}], chw(tiles[1][0]), None):
            with pytest.raises(StainXformError, match="takes a dictionary, got"):
                transform(given)
    for transform in (for_albumentations.StainNormalize(macenko), for_albumentations.RandHED(p=1)):
        with pytest.raises(StainXformError, match="images is an empty list"):
            transform(images=[])


def test_tensors_without_pixels_in_memory(macenko, tiles):
    tensor = torch.from_numpy(chw(tiles[1][0]))
    for given in (tensor.to("meta"), tensor.float().to_sparse()):
        with pytest.raises(StainXformError, match="expected pixels in memory"):
            macenko(given)
    negated = torch._neg_view(-(tensor / 255))
    assert torch.equal(macenko(negated), macenko(tensor / 255))
