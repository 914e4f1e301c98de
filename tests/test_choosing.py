"""docs/choosing.md: what its table says of each method is what the method does, and every page leads to it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import stainxform as sx
from stainxform.errors import ParameterError
from stainxform.maps import ColorMap

DOCS = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def table() -> dict[str, dict[str, str]]:
    """Rows by method, cells by column title."""
    lines = (DOCS / "choosing.md").read_text().partition("## All methods")[2].splitlines()
    titles, _, *rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("|")]
    return {row[0].strip("`"): dict(zip(titles, row)) for row in rows}


def yes(condition):
    return "yes" if condition else "no"


def test_the_table_holds_every_method(table):
    assert list(table) == list(sx.methods())


def test_the_table_is_true(normalizer, tiles, table):
    row = table[normalizer.method]
    assert row["pointwise"] == yes(isinstance(normalizer.map_for(tiles[1][0]), ColorMap))
    try:
        normalizer.map_for_tiles(tiles[1])
        one_map = True
    except ParameterError:
        one_map = False
    assert row["one map for a slide"] == yes(one_map)
    image = torch.tensor(np.moveaxis(tiles[1][0] / 255, -1, 0), requires_grad=True)
    assert row["gradients"] == yes(normalizer(image).requires_grad)
    assert row["learned"] == yes(hasattr(normalizer, "training"))


def test_every_method_has_a_page_with_a_picture_and_a_way_to_the_others(normalizer):
    page = (DOCS / "methods" / f"{normalizer.method}.md").read_text()
    assert (DOCS / "images" / "methods" / f"{normalizer.method}.jpg").exists()
    for part in (f"../images/methods/{normalizer.method}.jpg", "../choosing.md", "**Use it**", "**It fails**"):
        assert part in page, part
