"""The command line: ``stainxform``, the same program as ``python -m stainxform``."""

from __future__ import annotations

__all__ = ["main"]


def main() -> None:
    """Run the program; the console entry point."""
    import signal

    from stainxform.cli.app import app

    # Batch systems stop a job with SIGTERM: clean up as after Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    app(prog_name="stainxform")
