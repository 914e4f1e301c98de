"""Which group - slide, patient, block, day - each tile of another center belongs to."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stainxform._optional import is_tensor
from stainxform.errors import ParameterError
from stainxform.image.layout import as_numpy

__all__ = ["Groups", "check_groups", "group_name", "group_names", "of_paths"]

Groups = str | Mapping[Any, Any] | Callable[[Any], Any] | Iterable[Any] | None
"""How groups are told: see :func:`group_names`."""

_HOW = '"folder", "file", a pattern with {group}, a mapping, a function, or a list with one name a tile'


def check_groups(groups: Any) -> None:
    """ParameterError for what cannot tell groups, before anything is read."""
    if isinstance(groups, str):
        if groups not in ("folder", "file") and groups.count("{group}") != 1:
            raise ParameterError(f"groups must be {_HOW}, got {groups!r}")
    elif not (groups is None or isinstance(groups, Mapping | Iterable) or callable(groups)):
        raise ParameterError(f"groups must be {_HOW}, got {type(groups).__name__}")


def group_names(sources: Sequence[Any], groups: Groups) -> list[str | None]:
    """The group of each tile.

    Parameters
    ----------
    sources : sequence
        Where each tile is from: its path, or whatever a Dataset gives.
    groups : str, mapping, callable, iterable or None
        "folder": the name of the folder that the file is in. "file": each file is a group, named without its suffix. A
        pattern with ``{group}``, for example "{group}_*.png": the part of the path that stands there, as long as can
        be; * is any text without a slash. A mapping from path, file name or stem to a name. A function of the path (of
        a Dataset: of the item). A list with one name a tile. None: no tile is in a group.

    Returns
    -------
    list of str or None
        A tile whose name is None is in no group, and counts for the center alone.

    Raises
    ------
    ParameterError
        Names cannot be told, two folders or files have the same, or their number is not that of the tiles.
    """
    check_groups(groups)
    if groups is None:
        return [None] * len(sources)
    if isinstance(groups, str):
        return [*of_paths(_paths(sources, groups), groups)]
    if isinstance(groups, Mapping):
        return [group_name(_looked_up(groups, path)) for path in _paths(sources, "a mapping")]
    if callable(groups):
        return [group_name(_told_by(groups, number, source)) for number, source in enumerate(sources)]
    names = [group_name(name) for name in groups]
    if len(names) != len(sources):
        raise ParameterError(f"groups names {len(names)} tiles, but there are {len(sources)}")
    return names


def of_paths(paths: Sequence[Path], groups: str) -> list[str | None]:
    """The group of each file, by "folder", "file" or a pattern; see :func:`group_names`."""
    if groups == "file":
        return _distinct([path.absolute() for path in paths], [path.stem for path in paths])
    if groups == "folder":
        folders = [path.absolute().parent for path in paths]
        return _distinct(folders, [folder.name for folder in folders])
    before, after = (re.escape(part).replace(r"\*", "[^/]*") for part in groups.split("{group}"))
    pattern = re.compile(rf"(?:^|/){before}(?P<group>[^/]+){after}$")
    return [_matched(pattern, path, groups) for path in paths]


def group_name(name: Any) -> str | None:
    """A group's name as text.

    Parameters
    ----------
    name : str, number, array or tensor of one of them, or None
        1, 1.0 and "1" are one group. None, and NaN, which tables have for what is missing, stand for no group.

    Raises
    ------
    ParameterError
        Several names, an empty one, or something else.
    """
    if isinstance(name, np.ndarray | np.generic) or is_tensor(name):
        held = as_numpy(name) if is_tensor(name) else np.asarray(name)
        name = held.item() if held.size == 1 else held.tolist()
    if name is None or (isinstance(name, float) and math.isnan(name)):
        return None
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    if not isinstance(name, str | int | float):
        raise ParameterError(f"a group is one name, a text or a number, got {name!r}")
    if not (text := str(name)) or "\0" in text:
        raise ParameterError(f"a group must have a name, got {text!r}; None is for no group")
    return text


def _distinct(places: Sequence[Path], names: Sequence[str]) -> list[str | None]:
    """The names, if no two places have the same."""
    known: dict[str, Path] = {}
    for place, name in zip(places, names):
        if known.setdefault(name, place) != place:
            raise ParameterError(
                f"{known[name]} and {place} would be one group, {name!r}; tell groups by a pattern, a mapping or a function"
            )
    return list(names)


def _told_by(groups: Callable[[Any], Any], number: int, source: Any) -> Any:
    try:
        return groups(source)
    except Exception as error:
        which = source if isinstance(source, str | Path) else f"item {number}"
        raise ParameterError(f"the function of groups failed on {which}: {type(error).__name__}: {error}") from error


def _matched(pattern: re.Pattern[str], path: Path, groups: str) -> str:
    if not (found := pattern.search(path.as_posix())):
        raise ParameterError(f"{path} does not match the pattern {groups!r} of groups")
    return found["group"]


def _paths(sources: Sequence[Any], groups: str) -> list[Path]:
    for source in sources:
        if not isinstance(source, str | Path):
            raise ParameterError(
                f"groups by {groups} need files, got {type(source).__name__}; pass a function, or one name a tile"
            )
    return [Path(source) for source in sources]


def _looked_up(groups: Mapping[Any, Any], path: Path) -> Any:
    for key in (path, str(path), path.name, path.stem):
        if key in groups:
            return groups[key]
    raise ParameterError(f"groups has no name for {path}; give its path, file name or stem, or None for no group")
