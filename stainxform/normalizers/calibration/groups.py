"""Which group - slide, patient, block, day - each tile of another center belongs to."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from stainxform.errors import ParameterError

__all__ = ["Groups", "check_groups", "group_names", "of_paths"]

Groups = str | Mapping[Any, Any] | Callable[[Any], Any] | Sequence[Any] | None
"""How groups are told: see :func:`group_names`."""

_HOW = '"folder", "file", a pattern with {group}, a mapping, a function, or a list with one name a tile'


def check_groups(groups: Any) -> None:
    """ParameterError for what cannot tell groups, before anything is read."""
    if isinstance(groups, str):
        if groups not in ("folder", "file") and groups.count("{group}") != 1:
            raise ParameterError(f"groups must be {_HOW}, got {groups!r}")
    elif not (groups is None or isinstance(groups, Mapping | Sequence) or callable(groups)):
        raise ParameterError(f"groups must be {_HOW}, got {type(groups).__name__}")


def group_names(sources: Sequence[Any], groups: Groups) -> list[str | None]:
    """The group of each tile.

    Parameters
    ----------
    sources : sequence
        Where each tile is from: its path, or whatever a Dataset gives.
    groups : str, mapping, callable, sequence or None
        "folder": the folder that the file is in, relative to the folder that all are in. "file": each file is a group.
        A pattern with ``{group}``, for example "{group}_*.png": the part of the path that stands there; * is any text
        without a slash. A mapping from path, file name or stem to a name. A function of the path (of a Dataset: of the
        item). A list with one name a tile. None: no tile is in a group.

    Returns
    -------
    list of str or None
        A tile whose name is None is in no group, and counts for the center alone.

    Raises
    ------
    ParameterError
        Names cannot be told, or their number is not that of the tiles.
    """
    check_groups(groups)
    if groups is None:
        return [None] * len(sources)
    if isinstance(groups, str):
        return [*of_paths(_paths(sources, groups), groups)]
    if isinstance(groups, Mapping):
        return [_name(_looked_up(groups, path)) for path in _paths(sources, "a mapping")]
    if callable(groups):
        return [_name(groups(source)) for source in sources]
    if len(groups) != len(sources):
        raise ParameterError(f"groups names {len(groups)} tiles, but there are {len(sources)}")
    return [_name(name) for name in groups]


def of_paths(paths: Sequence[Path], groups: str) -> list[str | None]:
    """The group of each file, by "folder", "file" or a pattern; see :func:`group_names`."""
    if groups == "file":
        stems = [path.stem for path in paths]
        return list(stems if len(set(stems)) == len(set(paths)) else map(str, paths))
    if groups == "folder":
        folders = [path.absolute().parent for path in paths]
        top = Path(os.path.commonpath(folders)) if folders else Path()
        return [top.name if folder == top else folder.relative_to(top).as_posix() for folder in folders]
    before, after = (re.escape(part).replace(r"\*", "[^/]*") for part in groups.split("{group}"))
    pattern = re.compile(rf"(?:^|/){before}(?P<group>[^/]+?){after}$")
    return [_matched(pattern, path, groups) for path in paths]


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


def _name(name: Any) -> str | None:
    if name is None:
        return None
    if not (text := str(name)):
        raise ParameterError("a group must have a name, got an empty text; None is for no group")
    return text
