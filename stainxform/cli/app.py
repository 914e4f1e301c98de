"""The program: its commands, and how errors end it."""

from __future__ import annotations

import errno
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from stainxform._version import __version__
from stainxform.cli.apply import apply
from stainxform.cli.calibrate import calibrate
from stainxform.cli.demo.command import demo
from stainxform.cli.evaluate import SeveralValues, evaluate
from stainxform.cli.fit import fit
from stainxform.cli.info import info, methods
from stainxform.cli.qc import qc
from stainxform.cli.slides.slide import slide
from stainxform.cli.slides.tiles import tiles
from stainxform.cli.text import complain
from stainxform.errors import StainXformError

__all__ = ["app"]


class _Commands(TyperGroup):
    """Turns expected errors into one line on stderr."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except StainXformError as error:
            complain("error", error)
        except OSError as error:
            if error.errno == errno.EPIPE:
                raise
            complain("error", error)
        except KeyboardInterrupt as error:
            complain("error", str(error) or "interrupted")
            raise typer.Exit(130) from None
        raise typer.Exit(1)


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"stainxform {__version__}")
        raise typer.Exit


@app.callback()
def _program(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Fit a center's stain appearance once, and make every other center's images look like it."""


for _command in (demo, qc, fit, calibrate, apply, slide, tiles, info, methods):
    app.command()(_command)
app.command(cls=SeveralValues)(evaluate)
