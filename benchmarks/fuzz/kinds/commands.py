"""Command lines made from the parser itself: every command, its options by their types, with values that fit and others.

Each runs in this process, in a folder that is made anew. It must end with exit code 0, or with 1 or 2 and words on stderr;
what it is given stays as it is, and nothing half written is left.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import signal
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
import typer
from faults import Fault
from subjects import normalizers, tiles

import stainxform as sx
from stainxform.cli.app import app
from stainxform.testing.slides import write_slide

Rng = np.random.Generator

NUMBERS = (
    "0",
    "1",
    "2",
    "3",
    "64",
    "-1",
    "0.5",
    "1.0",
    "1e-9",
    "1e9",
    "99999999999999999999",
    "nan",
    "inf",
    "",
    "x",
    "0x10",
    "1/2",
)
WORDS = ("", "a", "auto", "cpu", "cuda:7", "slide", "tile", "folder", "file", "{group}_*.png", "([", "*", "\u00e9", "a" * 300, "A=in", "steps=2", "x=1",
         "=", "width=-1", "--", "-", "center_a", "png", "jpg", "safetensors", "he", "1/2", "0/0", "3/2")  # fmt: skip
TRAINED = ("colornormnet", "staingan", "stainlut", "stainnet")
SIZES = {"demo": ("--size", "32", "--slides", "1"), "evaluate": ("--panels", "1")}


class Commands:
    """See the module."""

    seconds = 60.0  # some start worker processes, and train for two steps
    memory = 4 << 30

    def __init__(self, folder: Path):
        torch.set_num_threads(1)
        self._given = folder / "given"
        self._work = folder / "work"
        self._make_inputs()
        self._command = typer.main.get_command(app)
        self._options: dict[str, list[Any]] = {name: list(one.params) for name, one in self._command.commands.items()}
        self._before = _digests(self._given)

    def _make_inputs(self) -> None:
        from PIL import Image

        shutil.rmtree(self._given, ignore_errors=True)
        for name, images in zip(("center_a", "center_b"), tiles()):
            for number, tile in enumerate(images[:3]):
                slide = self._given / name / f"slide{number % 2}"
                slide.mkdir(parents=True, exist_ok=True)
                Image.fromarray(tile[:64, :64]).save(slide / f"s{number % 2}_{number}.png")
        (self._given / "empty").mkdir()
        (self._given / "slides").mkdir()
        (self._given / "broken").mkdir()
        whole = self._given / "center_a" / "slide0" / "s0_0.png"
        (self._given / "broken" / "cut.png").write_bytes(whole.read_bytes()[:200])
        (self._given / "broken" / "text.png").write_text("no image")
        (self._given / "notes.txt").write_text("notes")
        image = np.full((200, 260, 3), 244, np.uint8)
        image[:128, :192] = np.tile(tiles()[1][0], (2, 2, 1))[:128, :192]
        write_slide(self._given / "slides" / "one.tif", image, "deflate", 2)
        (self._given / "slides" / "cut.tif").write_bytes((self._given / "slides" / "one.tif").read_bytes()[:3000])
        for name in ("transport", "macenko", "stainlut", "stainnet", "calibration of transport"):
            normalizers()[name].save(self._given / f"{name.replace(' ', '_')}.safetensors")
        (self._given / "cut.safetensors").write_bytes((self._given / "macenko.safetensors").read_bytes()[:100])

    def case(self, number: int) -> str:
        """One command line."""
        rng = np.random.default_rng((17, number))
        shutil.rmtree(self._work, ignore_errors=True)
        self._work.mkdir(parents=True)
        for each in self._given.iterdir():
            (self._work / each.name).symlink_to(each)
        (self._work / "there").mkdir()
        (self._work / "there" / "kept.txt").write_text("kept")
        words = self.words(rng)
        code, said, error = self._run(words)
        line = " ".join(words)
        if error is not None:
            raise Fault(f"{type(error).__name__} ends {words[0] if words else 'the program'}", line) from error
        if code not in (0, 1, 2):
            raise Fault(f"exit code {code} of {words[0]}", f"{line}\n{said}")
        if code and not said.strip():
            raise Fault(f"exit code {code} without a word: {words[0]}", line)
        if "Traceback" in said:
            raise Fault(f"a traceback is printed: {words[0]}", f"{line}\n{said[-1500:]}")
        self._check_folder(words, line, code)
        return f"exit code {code}"

    def words(self, rng: Rng) -> list[str]:
        """The words of one command line."""
        turn = rng.random()
        if turn < 0.02:
            return [[], ["--version"], ["-h"], ["nothing"], ["--nothing"], [""]][rng.integers(6)]
        name = str(rng.choice(list(self._options)))
        sound = rng.random() < 0.6
        words: list[str] = []
        arguments: list[str] = []
        for option in self._options[name]:
            value = self._value(name, option.name, rng, sound)
            if option.param_type_name == "argument":
                count = 1 if option.nargs == 1 else int(rng.choice([1, 1, 1, 2] if sound else [0, 1, 2, 3]))
                arguments += [self._value(name, option.name, rng, sound) for _ in range(count)]
                continue
            if not (option.required and sound) and rng.random() > (0.2 if option.required else 0.15):
                continue
            said = str(rng.choice([*option.opts, *option.secondary_opts]))
            words += [said] if option.is_flag else [said, value]
        words = [name, *arguments, *words] if rng.random() < 0.5 else [name, *words, *arguments]
        words += SIZES.get(name, ())
        if name == "fit":
            words += ["--steps", "2"] if "--steps" not in words and any(method in words for method in TRAINED) else []
        if rng.random() < 0.02:
            words.append(str(rng.choice(WORDS)))
        return words

    def _value(self, command: str, option: str, rng: Rng, sound: bool) -> str:
        """A value for an option, by its name: one that fits, mostly, or anything."""
        if not sound and rng.random() < 0.3:
            return str(rng.choice([*NUMBERS, *WORDS, "nowhere", "/nowhere/x", "notes.txt", "empty", "broken", "."]))
        folders = [
            "center_a",
            "center_b",
            "center_a/slide0",
            "center_a/*/*.png",
            "center_b/slide1/s1_1.png",
            "broken",
            "empty",
            "nowhere",
            "slides",
        ]
        models = ["transport.safetensors", "macenko.safetensors", "stainlut.safetensors", "stainnet.safetensors",
                  "calibration_of_transport.safetensors", "cut.safetensors", "notes.txt", "nowhere.safetensors"]  # fmt: skip
        slides = ["slides/one.tif", "slides", "slides/cut.tif", "slides/*.tif", "notes.txt", "center_a"]
        outputs = [
            "out",
            "out.safetensors",
            "there",
            "there/x.safetensors",
            "a/b/c",
            "out.html",
            "notes.txt",
            "center_a",
        ]
        known: dict[str, list[str]] = {
            "images": folders + (slides if rng.random() < 0.2 else []),
            "inputs": slides if command in ("slide", "tiles") else folders,
            "model": [f"a={models[0]}", *models] if command == "evaluate" else models,
            "output": outputs, "json": outputs, "workdir": outputs, "add_to": models,
            "method": [*sx.methods(), "nothing"],
            "centers": ["A=center_a", "B=center_b", "C=empty", "center_a", "A=nowhere"], "masks": ["A=center_a", "B=center_b"],
            "qc": ["warn", "drop", "off"], "on_blank": ["keep", "warn", "raise"], "format": ["png", "jpg", "tif", "same"],
            "layout": ["generic", "ome", "aperio"], "statistics": ["slide", "tile"], "projection": ["pca"], "device": ["cpu", "auto"],
            "reader": ["auto", "tifffile", "openslide"], "groups": ["folder", "file", "{group}_*.png", "s{group}_*"], "slides": ["folder", "tile"],
            "scheduler": [""], "resource": ["GPU=1", "x"], "target": ["A", "B", ""], "shard": ["1/1", "1/2", "2/2"],
            "settings": ["steps=2", "width=4", "penalty=0.1", "x=1"],
            "workers": ["1", "2", "0"], "size": ["32", "64", "0"], "steps": ["1", "2"], "per_slide": ["1", "3", "0"], "limit": ["1", "3"],
            "mpp": ["0.5", "1", "0"], "level": ["0", "1", "7"], "tiles": ["2", "10"], "quality": ["50", "90", "101"],
            "min_tissue": ["0", "0.5", "2"], "strength": ["0", "0.5", "1", "2"], "center_weight": ["auto", "0", "1", "0.3"],
        }  # fmt: skip
        best = known.get(option)
        if best is None:
            return str(rng.choice(NUMBERS[:8] if sound else [*NUMBERS, *WORDS]))
        # the first ones are right
        return best[min(int(rng.integers(len(best))), int(rng.integers(len(best))))] if sound else str(rng.choice(best))

    def _run(self, words: list[str]) -> tuple[Any, str, BaseException | None]:
        """Exit code, what it said on stderr, and what ended it otherwise."""
        out, err = io.StringIO(), io.StringIO()
        with (
            _in_folder(self._work),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("ignore")
            handler = signal.getsignal(signal.SIGTERM)
            try:
                app(words, prog_name="stainxform")
                code: Any = 0
            except SystemExit as error:
                code = error.code or 0
            except BaseException as error:
                return None, err.getvalue(), error
            finally:
                signal.signal(signal.SIGTERM, handler)
        return code, err.getvalue() + (out.getvalue() if code else ""), None

    def _check_folder(self, words: list[str], line: str, code: int) -> None:
        if _digests(self._given) != self._before:
            self._make_inputs()
            self._before = _digests(self._given)
            if "--force" not in words and "-f" not in words:
                raise Fault(f"{words[0]} changed its inputs", line)
        if not (self._work / "there" / "kept.txt").exists():
            raise Fault(f"{words[0]} removed a file that was there", line)
        for path in self._work.rglob("*"):
            if path.name.startswith(".") or path.suffix in (".partial", ".tmp") or ".partial" in path.name:
                raise Fault(f"{words[0]} left a partial file", f"{line}: {path.name}")
        if code:
            empty = [
                path
                for path in self._work.rglob("*")
                if path.is_file() and not path.stat().st_size and not path.is_symlink()
            ]
            if empty:
                raise Fault(f"{words[0]} left an empty file", f"{line}: {empty[0].name}")


@contextlib.contextmanager
def _in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _digests(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.md5(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
