"""Normalizers as ``torch.nn.Module``: inside a model, under ``torch.compile``, through ``torch.export``.

>>> from stainxform.nn import Normalize  # doctest: +SKIP
>>> model = torch.nn.Sequential(Normalize("center_a.safetensors"), backbone)  # doctest: +SKIP
"""

from __future__ import annotations

from stainxform._optional import require

require("torch", "torch")

from stainxform.nn.normalize import Normalize  # noqa: E402

__all__ = ["Normalize"]
