"""What can be added from outside: things by name, built in, registered by a call, or found by entry points.

An installed package names its normalizers, augmentations or readers in the entry points of its metadata::

    [project.entry-points."stainxform.normalizers"]
    gray_world = "my_package.gray_world:GrayWorld"

They are looked up when a name is asked for that is not known yet, or all names are.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any, Generic, TypeVar

from stainxform.errors import ParameterError, StainXformWarning

Entry = TypeVar("Entry")


class Registry(Mapping[str, Entry], Generic[Entry]):
    """Entries by name: those of the package, those registered by a call, then those of entry points, sorted.

    Parameters
    ----------
    kind : str
        What an entry is, for error messages: "method".
    group : str
        Group of entry points.
    entry_of : callable
        An entry from a name ("" if it is not known) and what :meth:`register` or an entry point gives; raises
        ParameterError for what is none.
    place_of : callable
        Where an entry is defined: two of one name are the same entry if this is the same.
    lazy : bool, optional
        Entry points are kept as ``module:attribute`` and not imported.
    """

    def __init__(
        self,
        kind: str,
        group: str,
        entry_of: Callable[[str, Any], Entry],
        place_of: Callable[[Entry], object],
        lazy: bool = False,
    ) -> None:
        self._kind, self._group, self._entry_of, self._place_of, self._lazy = kind, group, entry_of, place_of, lazy
        self._entries: dict[str, Entry] = {}
        self._searched = False

    def register(self, name: str, given: Any) -> None:
        """Add an entry. ParameterError if the name is taken by one that is defined elsewhere."""
        entry = self._entry_of(name, given)
        if name in self._entries and self._place_of(self._entries[name]) != self._place_of(entry):
            raise ParameterError(f"the {self._kind} name {name!r} is taken by {self._place_of(self._entries[name])}")
        self._entries[name] = entry

    @property
    def known(self) -> Mapping[str, Entry]:
        """The entries so far, without a search for entry points."""
        return self._entries

    @contextmanager
    def temporarily(self) -> Iterator[None]:
        """What is registered within the block is forgotten after it: for tests of plug-ins."""
        before, searched = dict(self._entries), self._searched
        try:
            yield
        finally:
            self._entries, self._searched = before, searched

    def __getitem__(self, name: str) -> Entry:
        if name not in self._entries:
            self._search()
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        self._search()
        return iter(list(self._entries))

    def __len__(self) -> int:
        self._search()
        return len(self._entries)

    def _search(self) -> None:
        """Entry points, once; one that cannot be used is named in a StainXformWarning, and the others work."""
        if self._searched:
            return
        self._searched = True
        for point in sorted(entry_points(group=self._group)):
            try:
                self.register(point.name, point.value if self._lazy else point.load())
            except Exception as error:
                warnings.warn(
                    f"the {self._kind} {point.name!r} of {point.value} cannot be used ({error})",
                    StainXformWarning,
                    stacklevel=2,
                )
