"""The torch device of a training."""

from __future__ import annotations

from typing import Any

from stainxform._optional import require
from stainxform.errors import ParameterError


def pick_device(device: Any) -> Any:
    """Resolve "auto" to CUDA where present, else the CPU.

    Raises ParameterError for a device that torch does not have, MissingDependencyError without torch.
    """
    torch = require("torch", "torch")
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise ParameterError(
            f"device {device!r} cannot be used ({str(error).splitlines()[0]}); pass device='cpu'"
        ) from error
