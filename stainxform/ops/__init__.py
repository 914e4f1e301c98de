"""Torch operators on lookup tables."""
