"""Torch operators on lookup tables: ``torch.ops.stainxform.lut3d``, ``lut4d`` and ``lookup_gray``.

Importing this package registers them. ``registration`` says what each takes and which kernels compute it,
``reference`` is their definition, ``triton_kernels`` serves CUDA.
"""

from stainxform.ops import registration as _registration  # noqa: F401

__all__: list[str] = []
