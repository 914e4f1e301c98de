"""stainxform: fit a center's stain appearance once, and make every other center's images look like it.

>>> import stainxform as sx
>>> center = sx.fit_center("center_a/", method="macenko")  # doctest: +SKIP
>>> normalized = center(image)  # doctest: +SKIP

Importing the package loads numpy at most; every public name is imported from its home when it is first used. The homes
are in ``__init__.pyi`` beside this file.
"""

from __future__ import annotations

from typing import Any

import lazy_loader

_import, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return _import(name)
    except ModuleNotFoundError as error:
        if error.name == "torch":
            from stainxform._optional import require

            require("torch", "torch")  # raises the error that names the extra
        raise
