"""Normalizers: one method, one file, one paper. The table of methods is in :mod:`.registry`."""
