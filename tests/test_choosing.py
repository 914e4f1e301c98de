"""docs/choosing.md: what its table says of each method is what the method does, and every page leads to it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

import stainxform as sx

pytest.importorskip("torch")
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
import method_tables

DOCS = Path(__file__).parents[1] / "docs"


def test_the_table_says_what_every_method_does(normalizer, tiles):
    """A row that is missing or wrong: python benchmarks/method_tables.py writes the table."""
    row = "| " + " | ".join(method_tables.method_row(normalizer, tiles[1])) + " |"
    assert row in (DOCS / "choosing.md").read_text().splitlines(), row


def test_the_table_holds_every_method_in_order():
    lines = (DOCS / "choosing.md").read_text().partition(method_tables.MARKS[0])[2].splitlines()
    assert [line.split("`")[1] for line in lines if line.startswith("| `")] == list(sx.methods())


def test_the_api_page_holds_every_method_and_its_settings():
    """A page that is out of date: python benchmarks/method_tables.py writes it."""
    text = (DOCS / "api" / "normalizers.md").read_text()
    assert "\n".join(method_tables.api_lines()) in text


def test_every_method_has_a_page_with_a_picture_and_a_way_to_the_others(normalizer):
    page = (DOCS / "methods" / f"{normalizer.method}.md").read_text()
    assert (DOCS / "images" / "methods" / f"{normalizer.method}.jpg").exists()
    for part in (f"../images/methods/{normalizer.method}.jpg", "../choosing.md", "**Use it**", "**It fails**"):
        assert part in page, part


def test_every_method_stands_in_the_readme_and_in_the_sites_menu(normalizer):
    page = f"methods/{normalizer.method}.md"
    assert f"[`{normalizer.method}`](docs/{page})" in (DOCS.parent / "README.md").read_text()
    assert f": {page}\n" in (DOCS.parent / "mkdocs.yml").read_text()
