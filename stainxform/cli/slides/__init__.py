"""The commands for whole slides: ``stainxform slide`` and ``stainxform tiles``."""

__all__: list[str] = []
