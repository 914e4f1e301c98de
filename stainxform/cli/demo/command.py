"""``stainxform demo``: see the library work, on synthetic tissue, in about a minute."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from stainxform.cli import text

if TYPE_CHECKING:
    from rich.table import Table

    from stainxform.cli.demo.run import Score

__all__ = ["demo"]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder to write into.", metavar="DIR")] = Path(
        "stainxform-demo"
    ),
    steps: Annotated[
        int | None, typer.Option(min=1, help="Training steps of StainLUT.", show_default="about half a minute's")
    ] = None,
    tiles: Annotated[int, typer.Option(min=1, help="Tiles to fit on.")] = 12,
    size: Annotated[int, typer.Option(min=32, help="Side of the tiles, in pixels.")] = 256,
    force: Annotated[bool, typer.Option("--force", "-f", help="Write into a folder that is not empty.")] = False,
) -> None:
    """See it work: paint two centers, fit one, normalize the other, compare with the truth.

    Takes about a minute. Nothing is downloaded: the tissue is synthetic.
    """
    from stainxform.cli.demo.run import METHODS, STEPS, Files, run_demo

    with text.plain_warnings():
        scores = run_demo(output, steps=steps or STEPS, tiles=tiles, size=size, force=force, tell=_tell)
    text.out().print(_table(scores))
    files = Files(output)
    text.show_facts([("side by side", files.picture), ("model", files.model)])
    text.say("")
    text.say("Continue with:", style="bold")
    longer = ("--steps", "4000") if len(scores) > len(METHODS) else ("--method", "macenko")
    for command in (
        ("info", files.model),
        ("apply", "--model", files.model, files.other, "-o", files.folder / "normalized"),
        ("fit", files.ours, "-o", files.folder / "mine.safetensors", *longer),
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
            f"{score.seconds_per_megapixel:.2f} s",
        )
    return table
