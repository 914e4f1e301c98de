"""Our docstrings for the site: references to code, which Sphinx would link, become code."""

import re
from typing import Any

import griffe

_ROLE = re.compile(r":(?:class|meth|func|mod):`~?([^`]+)`")


class Docstrings(griffe.Extension):
    """Rewrites each docstring once."""

    def on_instance(self, *, obj: griffe.Object, **_: Any) -> None:
        """Called by griffe for each module, class, function and attribute."""
        if obj.docstring:
            obj.docstring.value = _ROLE.sub(lambda role: f"`{role[1].rpartition('.')[2]}`", obj.docstring.value)
