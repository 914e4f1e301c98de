"""``stainxform demo``: see the library work, on synthetic tissue, in some seconds."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainxform.cli import text
from stainxform.cli.path import path

if TYPE_CHECKING:
    from rich.table import Table

    from stainxform.cli.demo.run import Score

__all__ = ["demo"]

STAINLUT = (
    "Not shown: StainLUT, which needs no tile of the other center. It is for the same disease and the same preparation, "
    "where only scanner and stain differ: stainxform fit --method stainlut"
)


def demo(
    output: Annotated[
        Path, typer.Option("--output", "-o", parser=path, help="Folder to write into.", metavar="DIR")
    ] = Path("stainxform-demo"),
    slides: Annotated[int, typer.Option(min=1, help="Slides of each center.")] = 4,
    size: Annotated[int, typer.Option(min=32, help="Side of the tiles, in pixels.")] = 256,
    force: Annotated[bool, typer.Option("--force", "-f", help="Write into a folder that is not empty.")] = False,
) -> None:
    """See it work: paint two centers, fit one, calibrate the other, compare with the truth.

    Takes some seconds. Nothing is downloaded: the tissue is synthetic.
    """
    from stainxform.cli.demo.run import Files, run_demo

    scores = run_demo(output, slides=slides, size=size, force=force, tell=_tell)
    text.out().print(_table(scores))
    files = Files(output)
    text.show_facts([("side by side", files.picture), ("our center", files.model), ("calibration", files.calibration)])
    text.say("")
    text.say(STAINLUT)
    text.say("")
    text.say("Continue with:", style="bold")
    ours, bridge = files.folder / "center_a.safetensors", files.folder / "b_to_a.safetensors"
    for command in (
        ("info", files.calibration),
        ("fit", files.ours, "-o", ours),
        ("calibrate", ours, files.theirs, "--groups", "folder", "--keep-groups", "-o", bridge),
        ("apply", files.test, "-m", bridge, "--groups", "folder", "-o", files.folder / "normalized"),
    ):
        text.say("  stainxform " + shlex.join(map(str, command)))


def _tell(message: str) -> None:
    text.say(message, text.err(), "dim")


def _table(scores: Sequence[Score]) -> Table:
    table = text.table("other center, compared with ours", ">PSNR", ">SSIM", ">CIEDE2000", ">fit", ">per megapixel")
    before, *after = scores
    table.add_row(before.title, f"{before.psnr:.1f} dB", f"{before.ssim:.3f}", f"{before.ciede2000:.1f}", "", "")
    for score in after:
        table.add_row(
            score.title,
            f"{score.psnr:.1f} dB",
            f"{score.ssim:.3f}",
            f"{score.ciede2000:.1f}",
            f"{score.fit_seconds:.1f} s",
            f"{score.seconds_per_megapixel:.3f} s",
        )
    return table
