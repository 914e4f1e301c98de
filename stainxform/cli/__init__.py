"""The command line: ``stainxform``, the same program as ``python -m stainxform``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the program; the console entry point."""
    import io
    import signal
    import sys

    from stainxform.cli.app import app

    # Batch systems stop a job with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files that this terminal has no letters for
    app(prog_name="stainxform")
