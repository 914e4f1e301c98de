"""Stain matrices: published ones, estimation from colors, separation into amounts, and what they say of a tile."""
