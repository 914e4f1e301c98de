"""The study of nuclei across data sets: what is tested never calibrates, and it goes on where it stopped."""

import sys
from pathlib import Path

import numpy as np
import pytest

from stainxform.samples import render, tissue

pytest.importorskip("monai")

FOLDER = Path(__file__).parents[1] / "benchmarks"
SIDE = 64
pytestmark = pytest.mark.filterwarnings("ignore::stainxform.errors.StainXformWarning")  # few tiles


@pytest.fixture(autouse=True)
def modules(monkeypatch):
    """The benchmarks are scripts: their folder is on the path while they run."""
    import torch

    threads, before = torch.get_num_threads(), set(sys.modules)
    monkeypatch.syspath_prepend(FOLDER)
    monkeypatch.syspath_prepend(FOLDER / "quality")
    yield
    torch.set_num_threads(threads)
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", "")).startswith(str(FOLDER)):
            del sys.modules[name]


def lab(center, number, groups=4, each=3):
    """Tiles of a center, some of each patient."""
    from nuclei_labs import Lab

    samples = [tissue(SIDE, seed=(number, i)) for i in range(groups * each)]
    names = [f"patient {i // each}" for i in range(groups * each)]
    return Lab(np.stack([render(one, center) for one in samples]), np.stack([one.nuclei for one in samples]), names)


def test_tested_tiles_are_spread_over_groups_and_leave_tiles_of_each():
    from calibration_nuclei_data import TEST_TILES, DataSet

    data = DataSet.of(lab("a", 0))
    assert data.tested.tolist() == [True, False, True] * 4
    assert set(data.spare.groups) == set(data.test.groups) == set(data.groups)
    assert not set(data.of_half(0).groups) & set(data.of_half(1).groups)
    many = DataSet.of(lab("a", 0, groups=TEST_TILES + 1, each=3))
    assert many.tested.sum() == TEST_TILES
    assert len(set(many.test.groups)) == TEST_TILES  # one more tile of a group comes after one of each


@pytest.mark.parametrize("seen", ["tile", "other patients", "other tiles", "test tiles"])
def test_a_map_is_of_no_other_tiles_than_it_says(seen):
    from calibration_nuclei_data import DataSet
    from calibration_nuclei_treatments import Treatment, bridge

    import stainxform as sx

    ours, theirs = lab("a", 0), DataSet.of(lab("b", 1))
    target = sx.fit_center(list(ours.tiles), "transport", qc="off")
    treatment = Treatment("transport", seen, 0.5)
    wanted = bridge(treatment, target, theirs)(theirs.test)
    ruined = theirs.tiles.copy()
    if seen == "test tiles":
        ruined[~theirs.tested] //= 3
    elif seen == "other tiles":
        ruined[theirs.tested] //= 3
    elif seen == "other patients":
        ruined[theirs.half == 0] //= 3
    else:
        ruined[1:] //= 3
    changed = DataSet(ruined, theirs.nuclei, theirs.groups, theirs.half, theirs.tested)
    rows = {"other patients": theirs.test.half == 0, "tile": np.arange(theirs.tested.sum()) == 0}.get(seen, slice(None))
    assert np.array_equal(bridge(treatment, target, changed)(theirs.test)[rows], wanted[rows])


def test_batch_statistics_become_those_of_other_tiles():
    import torch
    from calibration_nuclei_nets import adapted
    from nuclei_net import network, planes

    net, tiles = network(0).eval(), lab("b", 1).tiles
    found = adapted(net, tiles)
    with torch.inference_mode():
        first = found.model[0].conv(planes(tiles))
    statistics = found.model[0].adn.N
    assert torch.allclose(statistics.running_mean, first.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(statistics.running_var, first.var((0, 2, 3)), rtol=1e-3)
    assert torch.equal(net.model[0].adn.N.running_mean, torch.zeros(16))  # the network itself stays
    assert all(torch.equal(one, other) for one, other in zip(net.parameters(), found.parameters()))


def test_holm():
    from calibration_nuclei_statistics import holm

    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == pytest.approx([1, 1])


def test_what_differs_in_every_group_is_told_from_what_differs_in_some():
    from calibration_nuclei_statistics import Draws, _of_groups

    groups = np.repeat(np.arange(8), 3)
    weights = _of_groups(groups, np.random.default_rng(0))
    assert weights.sum(axis=1) == pytest.approx(np.ones(len(weights)))
    everywhere = Draws(weights @ np.linspace(0.1, 0.2, 24))
    one_group = Draws(weights @ np.where(groups == 0, 1.0, 0.0))
    assert everywhere.value == pytest.approx(0.15)
    assert everywhere.p < 0.001
    assert everywhere.interval[0] > 0.1
    assert one_group.p > 0.05


@pytest.mark.slow
def test_from_data_sets_to_tables_and_not_twice(tmp_path, monkeypatch):
    import calibration_nuclei
    import calibration_nuclei_data
    import calibration_nuclei_nets
    import calibration_nuclei_study
    from calibration_nuclei_treatments import MIXTURES, OF_METHODS

    names = list(calibration_nuclei_data.LOADERS)[:3]
    labs = {name: lab("aba"[i], i, groups=2, each=2) for i, name in enumerate(names)}
    monkeypatch.setattr(calibration_nuclei_study, "LOADERS", labs)
    monkeypatch.setattr(
        calibration_nuclei_study, "load", lambda data, name: calibration_nuclei_data.DataSet.of(labs[name])
    )
    monkeypatch.setattr(calibration_nuclei, "FOR_PLAIN", [OF_METHODS[0], *MIXTURES])
    for kind in ("hsv", "randstainna"):
        monkeypatch.delitem(calibration_nuclei_nets.KINDS, kind)
    page = tmp_path / "page.md"
    options = [str(tmp_path), "-o", str(tmp_path / "out"), "--steps", "1", "--seeds", "0", "1", "--lengths", "1", "2"]
    options += ["--table", str(page)]
    calibration_nuclei.main(options)
    text = page.read_text()
    assert text.count("| HED | 2 | none |") == 1
    assert "chosen in rotation** (TNBC apart" in text
    assert "cannot say" in text  # two patients
    assert "not finished" in text  # methods that were left out

    monkeypatch.setattr(calibration_nuclei_nets, "train", None)
    monkeypatch.setattr(calibration_nuclei_study, "predict", None)
    calibration_nuclei.main(options)
    assert page.read_text() == text
