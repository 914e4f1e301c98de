"""Procedural H&E tissue, rendered as several centers would have stained and scanned it."""

from stainxform.samples.tissue import CENTERS, Center, Tissue, pair, render, tissue, write_center

__all__ = ["CENTERS", "Center", "Tissue", "pair", "render", "tissue", "write_center"]
