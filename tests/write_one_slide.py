"""Writes a test slide in a process of its own, to be killed: python write_one_slide.py PATH resume|anew."""

import sys
from pathlib import Path

import numpy as np
from pyramid_files import ArraySlide
from slide_files import tissue

from stainxform.maps import IdentityMap
from stainxform.slides import PyramidOptions, write_slide
from stainxform.slides.writer import write as writing

OPTIONS = PyramidOptions(tile=64)


def write(path, resume, **more):
    """With a note after every block, of 128 pixels."""
    writing.NOTE_SECONDS, writing.BLOCK_SIDE = 0.0, 128
    with ArraySlide(np.tile(tissue(), (3, 2, 1))) as slide:
        return write_slide(slide, path, IdentityMap(), OPTIONS, resume=resume, fingerprint="tissue", threads=2, **more)


if __name__ == "__main__":
    write(Path(sys.argv[1]), sys.argv[2] == "resume", progress=lambda *_: print("block", flush=True))
