"""The report: complete, self-contained, and working in a browser."""

import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import ParameterError
from stainxform.evaluate import evaluate_centers
from stainxform.report import report_html, write_report
from stainxform.samples import pair, write_center

pytest.importorskip("jinja2")
pytest.importorskip("sklearn")

VOID = {"meta", "img", "input", "br"}
NASTY = '<script>alert("&")</script>'


class Page(HTMLParser):
    """What the tests ask of a page: open and close of tags in order, text, attributes."""

    def __init__(self, html):
        super().__init__()
        self.open, self.words, self.attributes = [], [], []
        self.feed(html)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *pair) for pair in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


@pytest.fixture(scope="module")
def centers():
    ours, theirs = pair(6, 64, seed=3)
    return {"ours": list(ours), NASTY: list(theirs)}


@pytest.fixture(scope="module")
def normalizers(centers):
    return {name: sx.fit_center(centers["ours"], name) for name in ("macenko", "reinhard")}


@pytest.fixture(scope="module")
def evaluation(centers, normalizers):
    groups = {name: [i // 2 for i in range(len(tiles))] for name, tiles in centers.items()}
    masks = {NASTY: [tile[..., 0] < np.median(tile[..., 0]) for tile in centers[NASTY]]}
    return evaluate_centers(
        centers, normalizers, target="ours", groups=groups, masks=masks, aligned=True, repeats=30, threshold=0.999
    )


@pytest.fixture(scope="module")
def html(evaluation, centers, normalizers):
    return report_html(evaluation, centers, normalizers, title="A <title>", panels=3)


def test_everything_that_was_measured_is_on_the_page(html, evaluation):
    text = " ".join(Page(html).words)
    for method in evaluation.methods:
        assert method.name in text
        assert f"{method.identifiability.balanced_accuracy.value:.3g}" in text
        assert f"{method.gaps[NASTY].lab_sum.value:.3g}" in text
        assert f"{method.nuclei_auc.value:.3g}" in text
        assert f"{method.to_target['psnr'].value:.3g}" in text
        if method.structure:
            assert f"{method.structure.mean.value:.3g}" in text
            assert f"{method.seconds_per_megapixel:.3g}" in text
    squeezed = re.sub(r"\s+", " ", text)
    assert evaluation.findings
    assert evaluation.warnings
    for sentence in evaluation.findings + evaluation.warnings:
        assert re.sub(r"\s+", " ", sentence) in squeezed


def test_the_page_needs_no_network_and_runs_nothing_but_its_own_script(html):
    sources = [value for _, name, value in Page(html).attributes if name in ("src", "href")]
    assert sources
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert "http://" not in html
    assert "https://" not in html
    assert NASTY not in html
    assert "A &lt;title&gt;" in html
    assert html.count("<script") == 2


def test_the_numbers_are_in_the_page_as_json(html, evaluation):
    inside = re.search(r'<script type="application/json" id="numbers">(.*?)</script>', html, re.DOTALL)[1]
    assert json.loads(inside) == json.loads(evaluation.to_json())


def test_panels_start_with_the_worst(evaluation, html):
    captions = re.findall(r"<figcaption>(.*?): luminance SSIM", html)
    methods = evaluation.methods[1:]
    assert len(captions) == 3 * len(methods)
    for number, method in enumerate(methods):
        assert captions[3 * number].endswith(f"tile {method.structure.tiles[0][1]}")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"centers": {}}, "those of the evaluation"),
        ({"normalizers": {}}, "those of the evaluation"),
        ({"panels": 0}, "at least 1"),
    ],
)
def test_what_does_not_belong_to_the_evaluation_is_refused(evaluation, centers, normalizers, change, message):
    with pytest.raises(ParameterError, match=message):
        report_html(**{"evaluation": evaluation, "centers": centers, "normalizers": normalizers} | change)


# ---------------------------------------------------------------- command line


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    folder = tmp_path_factory.mktemp("centers")
    for name in "ab":
        for slide in range(2):
            write_center(folder / name / f"slide{slide}", name, 2, 64, seed=slide)
    for method in ("macenko", "reinhard"):
        sx.fit_center(folder / "a", method, center="a").save(folder / f"{method}.safetensors")
    return folder


def run(folders, *arguments, centers=("a", "b")):
    named = [f"{name}={folders / name}" for name in centers]
    return CliRunner().invoke(app, ["evaluate", "--centers", *named, *map(str, arguments)])


def test_one_command_writes_the_report(folders, tmp_path):
    models = [folders / f"{method}.safetensors" for method in ("macenko", "reinhard")]
    report, numbers = tmp_path / "sub" / "report.html", tmp_path / "numbers.json"
    result = run(folders, "--model", *models, "-o", report, "--json", numbers)
    assert result.exit_code == 0, result.output
    found = json.loads(numbers.read_text())
    assert found["target"] == "a"  # the center that the models name
    assert [method["name"] for method in found["methods"][1:]] == ["macenko", "reinhard"]
    assert found["centers"]["b"]["groups"] == 2  # a folder each
    assert str(folders) not in report.read_text()
    again = run(folders, "--model", *models, "-o", report)
    assert again.exit_code == 1
    assert "--force" in again.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--slides", "slide(\\d)"], ""),
        (["--slides", "tile"], ""),
        (["--slides", "nothing(\\d)"], "finds nothing"),
        (["--slides", "("], "regular expression"),
        (["--target", "c"], "none of the centers"),
        (["--masks", "b"], "NAME=DIR"),
    ],
)
def test_options_are_checked(folders, tmp_path, arguments, message):
    result = run(folders, "--model", folders / "macenko.safetensors", "-o", tmp_path / "report.html", *arguments)
    assert (result.exit_code == 0) == (not message), result.output
    assert message in " ".join(result.output.split())


def test_masks_are_found_by_name(folders, tmp_path):
    from stainxform.io.images import read_image, write_image

    for tile in (folders / "b").rglob("*.png"):
        mask = (read_image(tile).mean(axis=-1, keepdims=True) < 150) * np.full(3, 255, np.uint8)
        path = tmp_path / "masks" / tile.parent.name / tile.name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, mask)
    report = tmp_path / "report.html"
    model = folders / "macenko.safetensors"
    result = run(folders, "--model", model, "-o", report, "--masks", f"b={tmp_path / 'masks'}")
    assert result.exit_code == 0, result.output
    assert 'id="nuclei"' in report.read_text()
    next((tmp_path / "masks").rglob("*.png")).unlink()
    result = run(folders, "--model", model, "-o", report, "--force", "--masks", f"b={tmp_path / 'masks'}")
    assert result.exit_code == 1
    assert "has no mask slide" in result.output


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    webdriver = pytest.importorskip("selenium.webdriver")
    binary, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (binary and driver):
        pytest.skip("no Chromium and ChromeDriver on this machine")
    options = webdriver.ChromeOptions()
    options.binary_location = binary
    profile = tmp_path_factory.mktemp("profile")
    for argument in ("headless", "no-sandbox", "disable-gpu", "disable-background-networking", "window-size=1200,1000"):
        options.add_argument(f"--{argument}")
    options.add_argument(f"--user-data-dir={profile}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    chromium = webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))
    yield chromium
    chromium.quit()


@pytest.mark.slow
def test_the_divider_is_dragged_and_the_method_chosen(browser, evaluation, centers, normalizers, tmp_path):
    from selenium.webdriver import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.support.ui import Select

    write_report(tmp_path / "report.html", evaluation, centers, normalizers, panels=2)
    browser.get(f"file://{tmp_path}/report.html")

    def shown():
        return [part for part in browser.find_elements(By.CSS_SELECTOR, ".method") if part.is_displayed()]

    def clip():
        return browser.execute_script("return getComputedStyle(document.querySelector('.compare .after')).clipPath")

    assert len(shown()) == 1
    before = clip()
    divider = shown()[0].find_element(By.CSS_SELECTOR, ".compare input")
    browser.execute_script("arguments[0].scrollIntoView({block: 'center'})", divider)
    ActionChains(browser).click_and_hold(divider).move_by_offset(-100, 0).release().perform()
    moved = clip()
    assert moved != before
    value = float(divider.get_attribute("value"))
    assert value == pytest.approx(50 - 100 / 3.2, abs=2)
    divider.send_keys("\ue014")  # the arrow to the right, for who uses no mouse
    assert float(divider.get_attribute("value")) > value

    Select(browser.find_element(By.ID, "method")).select_by_visible_text("reinhard")
    assert [part.get_attribute("data-method") for part in shown()] == ["1"]
    loaded = "return [...document.images].filter(image => image.offsetParent).every(image => image.naturalWidth > 0)"
    assert browser.execute_script(loaded)
    assert browser.get_log("browser") == []
