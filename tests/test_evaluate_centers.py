"""Evaluation of centers: identifiability and the whole result, on synthetic centers whose answer is known."""

import json

import numpy as np
import pytest
from strategies import blank_image

import stainxform as sx
from stainxform.errors import InvalidImageError, MissingDependencyError, NotEnoughTissueError, ParameterError
from stainxform.evaluate import Interval, center_identifiability, evaluate_centers
from stainxform.evaluate.result import RAW
from stainxform.samples import pair, tissue

SIDE, COUNT = 72, 12
QUICK = {"repeats": 40}
OURS, SAME, THEIRS = pair(COUNT, SIDE, ("a", "a", "b"), 7)
SLIDES = [i // 2 for i in range(COUNT)]
EVEN, ODD = slice(None, None, 2), slice(1, None, 2)
CENTERS = {"ours": OURS[EVEN], "theirs": THEIRS[ODD]}
GROUPS = {"ours": [f"a{i // 2}" for i in range(6)], "theirs": [f"b{i // 2}" for i in range(6)]}


def greener(image):
    """Farther away than without it."""
    return np.clip(image * (0.5, 1.3, 0.5), 0, 255).astype(np.uint8)


def upside_down(image):
    return np.ascontiguousarray(image[::-1])


def unchanged(image):
    return image.copy()


def the_truth(image):
    """What their tile is at our center: a normalizer that errs nowhere."""
    (index,) = (i for i, tile in enumerate(THEIRS) if np.array_equal(tile, image))
    return OURS[index]


@pytest.fixture(scope="module")
def evaluation():
    normalizers = {
        "perfect": the_truth,
        "nothing": unchanged,
        "flipped": upside_down,
        "greener": greener,
        "macenko": sx.Macenko.fit(OURS),
    }
    masks = {"theirs": [tissue(SIDE, seed=(7, k)).nuclei for k in range(1, COUNT, 2)]}
    return evaluate_centers(CENTERS, normalizers, target="ours", groups=GROUPS, masks=masks, **QUICK)


def test_separate_clusters_are_identified_and_noise_is_not():
    rng = np.random.default_rng(0)
    centers, groups = ["a"] * 40 + ["b"] * 40, np.arange(80) // 4
    noise = rng.normal(size=(80, 5))
    shifted = noise + 6 * (np.arange(80) >= 40)[:, None]
    told = center_identifiability(shifted, centers, groups, **QUICK)
    assert told.accuracy == Interval(1, 1, 1)
    assert (told.majority, told.chance, told.folds) == (0.5, 0.5, 5)
    guessed = center_identifiability(noise, centers, groups, **QUICK)
    assert guessed.accuracy.low < 0.5 < guessed.accuracy.high


def test_slides_are_not_split_between_training_and_test():
    """Each slide has its own color and centers have none: tiles one by one look identifiable, slides do not."""
    rng = np.random.default_rng(1)
    slides = np.repeat(rng.normal(size=(10, 40)) * 5, 6, axis=0) + rng.normal(size=(60, 40))
    centers, groups = ["a", "b"] * 5, np.repeat(np.arange(10), 6)
    of_rows = list(np.repeat(centers, 6))
    leaking = center_identifiability(slides, of_rows, None, **QUICK)
    grouped = center_identifiability(slides, of_rows, groups, **QUICK)
    assert leaking.accuracy.value > 0.95
    assert grouped.accuracy.value < 0.8


def test_balanced_accuracy_is_not_fooled_by_a_large_center():
    rng = np.random.default_rng(2)
    found = center_identifiability(rng.normal(size=(60, 2)), ["a"] * 54 + ["b"] * 6, np.arange(60) // 2, **QUICK)
    assert found.majority == 0.9
    assert found.accuracy.value > 0.8
    assert found.balanced_accuracy.value < 0.65


@pytest.mark.parametrize(
    ("features", "centers", "groups", "message"),
    [
        (np.zeros((4, 2)), ["a"] * 4, None, "two of them; there is one"),
        (np.zeros((4, 2)), ["a", "a", "b", "b"], [1, 1, 2, 3], "'a' has one slide"),
        (np.full((4, 2), np.nan), ["a", "a", "b", "b"], None, "NaN"),
        (np.zeros((4, 2)), ["a", "b"], None, "one length"),
        (np.zeros(4), ["a", "b"] * 2, None, "shape"),
    ],
)
def test_what_cannot_be_identified(features, centers, groups, message):
    with pytest.raises(ParameterError, match=message):
        center_identifiability(features, centers, groups)


def test_identifiability_names_its_extra(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "sklearn.linear_model", None)
    with pytest.raises(MissingDependencyError, match=r"stainxform\[report\]"):
        center_identifiability(np.arange(8.0).reshape(4, 2), ["a", "a", "b", "b"])


def test_raw_comes_first_and_nothing_changes_nothing(evaluation):
    assert [method.name for method in evaluation.methods] == [
        RAW,
        "perfect",
        "nothing",
        "flipped",
        "greener",
        "macenko",
    ]
    raw, nothing = evaluation[RAW], evaluation["nothing"]
    assert nothing.gaps["theirs"].lab == raw.gaps["theirs"].lab
    assert nothing.gaps["theirs"].frechet == raw.gaps["theirs"].frechet
    assert nothing.gaps["theirs"].lab_change == Interval(0, 0, 0)
    assert raw.gaps["theirs"].lab_change is None
    assert nothing.features == raw.features
    assert nothing.identifiability == raw.identifiability
    assert nothing.structure.mean == Interval(*[pytest.approx(1)] * 3)
    assert raw.structure is None
    assert raw.seconds_per_megapixel is None
    assert nothing.seconds_per_megapixel > 0


def test_a_perfect_normalizer_hides_the_center_and_closes_the_gap(evaluation):
    raw, perfect = evaluation[RAW], evaluation["perfect"]
    assert raw.identifiability.accuracy.value == 1
    assert perfect.identifiability.accuracy.value < 1
    assert perfect.gaps["theirs"].lab["b"].value < raw.gaps["theirs"].lab["b"].value / 2  # L differs with the tissue
    change = perfect.gaps["theirs"].lab_change
    assert change.high < 0
    assert change.value == pytest.approx(perfect.gaps["theirs"].lab_sum.value - raw.gaps["theirs"].lab_sum.value)
    assert perfect.gaps["theirs"].frechet.value < raw.gaps["theirs"].frechet.value
    assert max(angle.value for angle in perfect.gaps["theirs"].stain_angle.values()) < 6
    text = "\n".join(evaluation.findings)
    assert "perfect brought the colors of theirs closer to the target" in text
    assert "nothing did not clearly bring the colors of theirs closer" in text
    assert "greener does not help: it took the colors of theirs farther from the target" in text
    assert "nothing does not clearly help to hide the center" in text


def test_lost_structure_is_found_worst_first_and_said(evaluation):
    kept = evaluation["flipped"].structure
    assert kept.share_below.value == 1
    assert kept.values == sorted(kept.values)
    assert len(kept.tiles) == 6
    assert all(center == "theirs" for center, _ in kept.tiles)
    center, index = kept.tiles[0]
    (warning,) = (text for text in evaluation.warnings if text.startswith("flipped"))
    assert "below 0.9 on 100 % of tiles" in warning
    assert f"tile {index} of {center}" in warning
    assert not any(text.startswith("nothing") for text in evaluation.warnings)


def test_nuclei_are_told_by_their_darkness(evaluation):
    assert evaluation[RAW].nuclei_auc.value > 0.8
    assert evaluation["flipped"].nuclei_auc.value < evaluation[RAW].nuclei_auc.value
    assert any("nuclei are harder to tell" in text for text in evaluation.findings)


def test_one_map_of_colors_for_before_and_after(evaluation):
    for method in evaluation.methods:
        assert len(method.tiles) == len(method.features) == len(method.map) == COUNT
        assert {len(row) for row in method.map} == {2}
    ours = [i for i, (center, _) in enumerate(evaluation[RAW].tiles) if center == "ours"]
    before, after = (np.array(evaluation[name].map)[ours] for name in (RAW, "perfect"))
    np.testing.assert_array_equal(before, after)  # the target is never normalized


def test_json_holds_everything(evaluation):
    read = json.loads(evaluation.to_json())
    assert read["target"] == "ours"
    assert read["centers"]["theirs"] == {"tiles": 6, "blank": 0, "groups": 3}
    assert [method["name"] for method in read["methods"]] == [method.name for method in evaluation.methods]
    assert set(read["methods"][1]["gaps"]["theirs"]["lab"]["L"]) == {"value", "low", "high"}
    assert read["findings"] == evaluation.findings


def test_the_same_again():
    def evaluate():
        found = json.loads(evaluate_centers(CENTERS, {"x": unchanged}, target="ours", groups=GROUPS, **QUICK).to_json())
        for method in found["methods"]:
            method.pop("seconds_per_megapixel")
        return found

    assert evaluate() == evaluate()


def test_limits_are_said():
    centers = {"ours": [*OURS[:3], blank_image(245, 72, 72)], "theirs": THEIRS[:4]}
    found = evaluate_centers(centers, {"x": unchanged}, target="ours", groups={"ours": [1] * 4, "theirs": [2, 2, 3, 3]})
    text = "\n".join(found.warnings)
    assert "center ours has tissue of one slide" in text
    assert "1 of 4 tiles of center ours are blank" in text
    assert found[RAW].identifiability is None
    assert found[RAW].gaps["theirs"].lab["L"].low is None
    assert json.loads(found.to_json())["methods"][0]["identifiability"] is None
    ungrouped = evaluate_centers(CENTERS, {"x": unchanged}, target="ours", **QUICK)
    assert "intervals are too narrow" in ungrouped.warnings[0]


def test_aligned_centers_are_compared_tile_by_tile():
    centers = {"ours": OURS[:6], "theirs": THEIRS[:6]}
    found = evaluate_centers(centers, {"perfect": the_truth, "x": unchanged}, target="ours", aligned=True, **QUICK)
    assert set(found["x"].to_target) == {"psnr", "ssim", "ciede2000"}
    assert found["x"].to_target == found[RAW].to_target
    assert found["perfect"].to_target["ssim"].value == pytest.approx(1)
    assert "psnr" not in found["perfect"].to_target  # infinite everywhere
    assert found["perfect"].structure.mean.value < 1  # that is to the source


def test_model_files_and_folders(tmp_path):
    from stainxform.samples import write_center

    for name in "ab":
        write_center(tmp_path / name, name, 3, SIDE)
    model = tmp_path / "model.safetensors"
    sx.Macenko.fit(OURS).save(model)
    centers = {name: tmp_path / name for name in "ab"}
    found = evaluate_centers(centers, {"macenko": model}, target="a", **QUICK)
    assert str(tmp_path) not in found.to_json()
    assert "tile_00" not in found.to_json()


def never(image):
    raise AssertionError("normalized before the arguments were checked")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centers": {"ours": OURS}}, "at least two centers"),
        ({"target": "mine"}, "none of the centers"),
        ({"normalizers": {}}, "at least one normalizer"),
        ({"normalizers": {RAW: never}}, "another name"),
        ({"normalizers": {"x": 3}}, "a fitted one, a model file or a function"),
        ({"groups": {"ours": GROUPS["ours"]}}, "groups must name the centers"),
        ({"groups": GROUPS | {"ours": [1, 2]}}, "6 tiles and 2 groups"),
        ({"masks": {"mine": []}}, "none of"),
        ({"masks": {"theirs": [1]}}, "6 tiles and 1 masks"),
        ({"threshold": 0}, "threshold"),
        ({"projection": "tsne"}, "projection"),
        ({"centers": CENTERS | {"theirs": THEIRS}, "groups": None, "aligned": True}, "same number of tiles"),
    ],
)
def test_wrong_arguments_are_said_before_work_begins(change, message):
    arguments = {"centers": CENTERS, "normalizers": {"x": never}, "target": "ours", "groups": GROUPS} | change
    with pytest.raises(ParameterError, match=message):
        evaluate_centers(arguments.pop("centers"), arguments.pop("normalizers"), **arguments)


@pytest.mark.parametrize("spoil", [lambda image: image[:5], lambda image: image / 255.0, lambda image: None])
def test_a_normalizer_that_gives_something_else_back(spoil):
    with pytest.raises(InvalidImageError, match="x gave back"):
        evaluate_centers(CENTERS, {"x": spoil}, target="ours", groups=GROUPS)


def test_blank_centers():
    with pytest.raises(NotEnoughTissueError, match="all 1 tiles of center 'theirs' are blank"):
        evaluate_centers({"ours": OURS, "theirs": [blank_image()]}, {"x": unchanged}, target="ours")
    with pytest.raises(NotEnoughTissueError, match="x made all tiles of center 'theirs' blank"):
        evaluate_centers(CENTERS, {"x": lambda image: np.full_like(image, 255)}, target="ours", **QUICK)


def test_umap_is_optional():
    try:
        import umap  # noqa: F401
    except ImportError:
        with pytest.raises(MissingDependencyError, match=r"stainxform\[umap\]"):
            evaluate_centers(CENTERS, {"x": never}, target="ours", projection="umap")
    else:
        found = evaluate_centers(CENTERS, {"x": unchanged}, target="ours", projection="umap", **QUICK)
        assert np.isfinite(found["x"].map).all()
