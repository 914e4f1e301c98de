"""Searches: links, what is left out, patterns, and paths that make no sense."""

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from strategies import he_image
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import InvalidImageError, ParameterError, StainXformError, StainXformWarning
from stainxform.io import search
from stainxform.io.outputs import plan
from stainxform.io.search import files_of, find, image_files
from stainxform.io.sources import Tiles

TILES = [he_image(seed, 24, 24) for seed in range(3)]


def put(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(TILES[0]).save(path) if path.suffix in (".png", ".webp") else path.touch()


def names(files, root):
    return [file.relative_to(root).as_posix() for file in files]


@pytest.fixture
def data(tmp_path):
    """Two centers, one of which is a link, as data folders often are."""
    put(tmp_path / "data/h2/b.png", tmp_path / "store/h1/a.png")
    (tmp_path / "data/h1").symlink_to(tmp_path / "store/h1")
    return tmp_path / "data"


def test_linked_folders_are_searched(data):
    assert names(files_of(data), data) == ["h1/a.png", "h2/b.png"]
    assert names(files_of(f"{data}/**/*.png"), data) == ["h1/a.png", "h2/b.png"]
    assert len(Tiles(data / "h1")) == 1


@pytest.mark.parametrize(("link", "to", "said"), [
    ("h2/up", "..", "1 link to a folder that is searched anyway"),
    ("h2/self", ".", "1 link to a folder that is searched anyway"),
    ("again", "h2", "1 link to a folder that is searched anyway"),
    ("out", "../..", "1 link to a folder around it"),
    ("lost", "nowhere", "1 broken link"),
    ("ring.png", "ring.png", "1 broken link"),
])  # fmt: skip
def test_each_real_folder_is_searched_once_and_links_lead_nowhere_else(data, link, to, said):
    (data / link).symlink_to(to)
    with pytest.warns(StainXformWarning, match=f"^1 file was left out: {said}$"):
        assert names(image_files(data), data) == ["h1/a.png", "h2/b.png"]
    if "ring" not in link:
        assert names(files_of(f"{data}/**/*.png"), data) == ["h1/a.png", "h2/b.png"]


def test_a_web_of_links_is_searched_in_no_time(data):
    for number in range(8):
        for place in (data, data / "h2", data.parent / "store/h1"):
            (place / f"to{number}").symlink_to(data)
    with pytest.warns(StainXformWarning, match="24 links to folders that are searched anyway"):
        assert len(files_of(data)) == 2
    assert len(files_of(f"{data}/**/*.png")) == 2


def test_links_to_files_are_files(data):
    (data / "c.png").symlink_to(data / "h2/b.png")
    assert names(files_of(data), data) == ["c.png", "h1/a.png", "h2/b.png"]


def test_what_is_left_out_is_counted_and_said(tmp_path):
    put(
        *(
            tmp_path / f"a/{name}"
            for name in ("1.PNG", "2.webp", "3.jp2", "4.npy", "5.svs", ".h.png", "._1.PNG", "Thumbs.db")
        )
    )
    put(*(tmp_path / f"{number}.npy" for number in range(2)), tmp_path / ".cache/x.png", tmp_path / "README")
    with pytest.warns(StainXformWarning) as caught:
        assert names(files_of(tmp_path), tmp_path) == ["a/1.PNG", "a/2.webp"]
    assert len(caught) == 1
    message = str(caught[0].message)
    assert message.startswith("10 files were left out: 3 hidden, 3 .npy, 1 ")
    assert "; whole slides are given as slides=" in message
    assert "; arrays are opened first" in message
    with pytest.warns(StainXformWarning, match="10 files were left out"):
        assert len(Tiles([tmp_path, tmp_path / "a/2.webp"])) == 3  # one warning for all entries


def test_a_folder_without_images_says_what_it_holds(tmp_path):
    put(tmp_path / "a.svs", tmp_path / "b.svs")
    with pytest.raises(
        InvalidImageError, match=r"holds no png, .* images \(2 .svs left out; whole slides are given as slides="
    ):
        sx.fit_center(tmp_path)
    result = CliRunner().invoke(app, ["fit", str(tmp_path), "-o", str(tmp_path / "x.safetensors")])
    assert (result.exit_code, "a.svs is a whole slide; pass --slides" in result.output) == (1, True)


def test_patterns_match_folders_brackets_and_known_types(tmp_path, monkeypatch):
    put(*(tmp_path / name for name in ("h1/a.png", "h2/a.png", "h [3]/b[1].png", "h [3]/b1.png", "notes.txt")))
    with pytest.warns(StainXformWarning, match="1 .txt"):
        found = find([f"{tmp_path}/*"])[0]
    assert [file.relative.as_posix() for file in found] == ["h [3]/b1.png", "h [3]/b[1].png", "h1/a.png", "h2/a.png"]
    assert names(files_of(f"{tmp_path}/h [3]/*.png"), tmp_path) == ["h [3]/b1.png", "h [3]/b[1].png"]
    assert names(files_of(f"{tmp_path}/h [3]/b[1]*"), tmp_path) == ["h [3]/b1.png"]
    (tmp_path / "h [3]/b1.png").unlink()
    assert names(files_of(f"{tmp_path}/h [3]/b[1]*"), tmp_path) == ["h [3]/b[1].png"]
    assert names(files_of(f"{tmp_path}/*.txt"), tmp_path) == ["notes.txt"]  # a type that is asked for
    assert names(files_of(f"{tmp_path}/**/h1"), tmp_path) == ["h1/a.png"]
    monkeypatch.chdir(tmp_path)
    assert files_of("h?/*.png") == [Path("h1/a.png"), Path("h2/a.png")]
    with pytest.warns(StainXformWarning, match="1 .txt"):
        assert len(files_of(".")) == 3
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    assert names(files_of("~/h1"), tmp_path) == ["h1/a.png"]


def test_folders_that_a_pattern_matches_keep_their_names_and_outputs_are_no_inputs(tmp_path):
    put(tmp_path / "in/h1/a.png", tmp_path / "in/h2/a.png", tmp_path / "in/out/h1/a.png", tmp_path / "in/out/x.csv")
    jobs = plan([f"{tmp_path}/in/*"], tmp_path / "in/out", lambda relative: relative)
    assert names([job.target for job in jobs], tmp_path) == ["in/out/h1/a.png", "in/out/h2/a.png"]


def test_mirax_data_is_no_file_that_was_left_out(tmp_path):
    put(tmp_path / "s.mrxs", tmp_path / "s/Slidedat.ini", tmp_path / "s/Data0000.dat")
    assert names(files_of(tmp_path, search.SLIDES), tmp_path) == ["s.mrxs"]


def test_a_folder_that_cannot_be_searched_is_an_error(tmp_path, monkeypatch):
    put(tmp_path / "in/a/x.png", tmp_path / "in/b/x.png")
    scandir = os.scandir

    def without(fault):
        def scan(folder):
            if Path(folder).name == "b":
                raise fault
            return scandir(folder)

        return scan

    for fault in (PermissionError(13, "Permission denied"), FileNotFoundError(2, "No such file or directory")):
        monkeypatch.setattr(os, "scandir", without(fault))
        with pytest.raises(InvalidImageError, match=f"b cannot be searched .{fault.strerror}"):
            files_of(tmp_path / "in")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_pipes_are_never_waited_for(tmp_path):
    put(tmp_path / "a.png")
    os.mkfifo(tmp_path / "b.png")
    with pytest.warns(StainXformWarning, match="1 pipe or device"):
        assert len(files_of(tmp_path)) == 1
    with pytest.raises(InvalidImageError, match="is a pipe or a device"):
        files_of(tmp_path / "b.png")


NO_PATHS = {
    "empty": "", "blank": "  ", "Path": Path(""), "of a variable": Path("."), "null": "a\0b", "long": "x" * 5000,
    "a long name": "x" * 300 + ".png", "no user": "~nobody-has-this-name/x",
}  # fmt: skip


@pytest.mark.parametrize("path", NO_PATHS.values(), ids=NO_PATHS)
def test_a_path_that_makes_no_sense_is_one_sentence_everywhere(path, normalizers, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "private.png")
    macenko = normalizers["macenko"]
    calls = [
        lambda: sx.fit_center(path), lambda: sx.fit_center([TILES[0], path]), lambda: sx.fit_center(slides=path),
        lambda: sx.fit_center(slides=[path]), lambda: macenko.calibrate(path), lambda: macenko.map_for_tiles(path),
        lambda: Tiles([{"image": path}])[0], lambda: sx.load(path), lambda: macenko.save(path), lambda: sx.open_slide(path),
    ]  # fmt: skip
    for call in calls:
        with pytest.raises(StainXformError) as caught:
            call()
        assert "\n" not in str(caught.value)
    assert [file.name for file in tmp_path.iterdir()] == ["private.png"]


def commands():
    """Each command with each of its options and arguments that is a path."""
    from typer.main import get_command

    program = get_command(app)
    for name in program.list_commands(None):
        for option in program.get_command(None, name).params:
            if any(text in (option.metavar or "") + option.name for text in ("DIR", "FILE", "SHEET", "REPORT", "IN", "MODEL", "model", "output", "IMAGES")):  # fmt: skip
                yield name, option.opts[-1] if option.opts[0].startswith("-") else option.name


NEEDED = {
    "fit": {"images": "t", "-o": "x.safetensors"}, "apply": {"inputs": "t", "-m": "m", "-o": "o"},
    "calibrate": {"model": "m", "images": "t", "-o": "x.safetensors"}, "qc": {"images": "t"}, "info": {"model": "m"},
    "slide": {"inputs": "t", "-m": "m", "-o": "o"}, "tiles": {"inputs": "t", "-o": "o"}, "demo": {},
    "evaluate": {"--centers": "A=t", "-m": "m", "-o": "r.html"},
}  # fmt: skip


@pytest.mark.parametrize("value", ["", " "])
@pytest.mark.parametrize(("command", "option"), [found for found in commands() if found[0] in NEEDED])
def test_an_unset_variable_on_the_command_line_is_an_error(command, option, value, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "private.png", tmp_path / "t/a.png")
    sx.fit_center(TILES, "macenko", qc="off").save("m")
    given = NEEDED[command] | {option: f"A={value}" if option in ("--centers", "--masks") else value}
    words = [word for name, value in given.items() for word in ([name, value] if name.startswith("-") else [value])]
    result = CliRunner().invoke(app, [command, *words])
    assert result.exit_code in (1, 2), result.output
    assert "empty" in result.output or "NAME=DIR" in result.output
    assert sorted(file.name for file in tmp_path.iterdir() if file.name != "o") == ["m", "private.png", "t"]


def test_every_path_of_the_commands_is_in_that_table():
    assert {name for name, _ in commands()} == {*NEEDED}
    assert len(list(commands())) > 20


@pytest.mark.filterwarnings("ignore:.*few", "ignore:.*hardly")
def test_a_file_counts_once_and_copies_are_said(tmp_path):
    for number, tile in enumerate(TILES):
        Image.fromarray(tile).save(tmp_path / f"{number}.png")
    once = sx.fit_center(tmp_path, "macenko", qc="off")
    (tmp_path / "link.png").symlink_to("0.png")
    os.link(tmp_path / "1.png", tmp_path / "hard.png")
    with pytest.warns(
        StainXformWarning, match="skipped 4 of 7 tiles: the same file as another, by its name or by a link"
    ):
        twice = sx.fit_center([tmp_path, f"{tmp_path}/[02].png"], "macenko", qc="off")
    assert twice.info.tiles == 3
    assert np.array_equal(once.stain_matrix, twice.stain_matrix)
    with pytest.warns(StainXformWarning, match="1 of 4 tiles have the same pixels as another, and count as often"):
        copied = sx.fit_center([*TILES, TILES[0]], "macenko", qc="off")
    assert copied.info.tiles == 4
    files = [tmp_path / "0.png", *sorted(tmp_path.glob("[012].png"))]
    with pytest.warns(StainXformWarning, match="the same file"):
        assert once.calibrate(files, groups=["x", "x", "y", "z"], qc="off").groups == ("x", "y", "z")


def test_an_empty_path_is_no_current_folder_and_a_dot_is(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    put(tmp_path / "a.png")
    assert len(Tiles(".")) == 1
    with pytest.raises(
        ParameterError, match=r"empty, perhaps a variable that was never set; for the current folder pass '\.'"
    ):
        Tiles("")
