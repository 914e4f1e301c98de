"""Readers of whole slides: one file for each package, and what they share."""

__all__: list[str] = []
