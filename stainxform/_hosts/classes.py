"""The classes of a host follow from the registries: one or more for each method and each augmentation."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from stainxform._hosts.augment import transform_name
from stainxform._hosts.normalize import class_name
from stainxform.augment import AUGMENTATIONS, Augmentation
from stainxform.normalizers.registry import Method, registered

__all__ = ["attach"]


def attach(
    package: str,
    written: Sequence[str],
    of_method: Callable[[Method], Sequence[type]],
    of_augmentation: Callable[[type[Augmentation]], Sequence[type]],
    suffixes: Sequence[str] = ("",),
) -> tuple[Callable[[str], type], Callable[[], list[str]], list[str]]:
    """``__getattr__``, ``__dir__`` and ``__all__`` of a host's package.

    A class is made when it is first asked for, and once; what is registered later is found, too.

    Parameters
    ----------
    package : str
        The name of the package, in which the classes say they live.
    written : sequence of str
        Names of the classes that are written out, for ``dir`` and ``__all__``.
    of_method, of_augmentation : callable
        Make the classes of one method or augmentation, one for each of ``suffixes``.
    suffixes : sequence of str, optional
        What the names of a host's forms end with: "" and "d" make ``Macenko`` and ``Macenkod``.
    """
    made: dict[Method | type[Augmentation], Sequence[type]] = {}
    lock = threading.RLock()

    def titles() -> Iterator[tuple[str, Method | type[Augmentation]]]:
        ours_first = sorted(registered().values(), key=lambda method: not method.path.startswith("stainxform."))
        yield from ((class_name(method), method) for method in ours_first)
        yield from ((transform_name(name), kind) for name, kind in AUGMENTATIONS.items())

    def classes(origin: Method | type[Augmentation]) -> Sequence[type]:
        with lock:
            if origin not in made:
                made[origin] = of_method(origin) if isinstance(origin, Method) else of_augmentation(origin)
            return made[origin]

    def get(name: str) -> type:
        if not name.startswith("_"):
            for title, origin in titles():
                for position, suffix in enumerate(suffixes):
                    if name == title + suffix:
                        return classes(origin)[position]
        raise AttributeError(f"module {package!r} has no attribute {name!r}")

    def names() -> list[str]:
        return sorted([*written, *(title + suffix for title, _ in titles() for suffix in suffixes)])

    return get, names, names()
