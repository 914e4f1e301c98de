"""Our docstrings for the site: the sections of numpydoc hold ``name : description`` lines, which become lists."""

import inspect
import re
from typing import Any

import griffe

_SECTION = re.compile(r"^(Parameters|Attributes|Returns|Yields|Raises|Warns)\n-+\n", re.MULTILINE)
_PROSE = re.compile(r"^(Notes|References|Examples)\n-+\n", re.MULTILINE)
_ENTRY = re.compile(r"^(\S.*?) : ")
_ROLE = re.compile(r":(?:class|meth|func|mod):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites each docstring once, as Markdown."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = as_markdown(inspect.cleandoc(obj.docstring.value))


def as_markdown(text: str) -> str:
    """Sections as bold titles, each followed by a list of its entries; references to code as code."""
    text = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", _PROSE.sub(r"**\1**\n\n", text))
    before, *sections = _SECTION.split(text)
    parts = [before]
    for title, body in zip(sections[::2], sections[1::2]):
        entries, after = _entries(body)
        parts.append(f"**{title}**\n\n" + "\n".join(f"- {entry}" for entry in entries) + f"\n\n{after}")
    return "\n".join(parts)


def _entries(body: str) -> tuple[list[str], str]:
    """Entries of a section, and what follows it after a line left empty and not indented."""
    entries: list[str] = []
    lines = body.splitlines()
    for number, line in enumerate(lines):
        if not line.strip():
            rest = lines[number + 1 :]
            if any(_ENTRY.match(later) or later.startswith(" ") for later in rest[:1]):
                continue
            return entries, "\n".join(rest)
        if line.startswith(" ") and entries:
            entries[-1] += " " + line.strip()
        elif match := _ENTRY.match(line):
            names = ", ".join(f"`{name}`" for name in match[1].split(", "))
            entries.append(f"{names}: {line[match.end() :]}")
        else:
            entries.append(line)
    return entries, ""
