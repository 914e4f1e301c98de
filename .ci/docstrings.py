"""Check every docstring of the package against numpydoc, by the checks that pyproject.toml names.

Usage: python .ci/docstrings.py, where the package and its extras are installed. numpydoc's own hook reads source files,
in which a dataclass has no signature; here objects are imported, so that each has its own.
"""

import importlib
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from numpydoc.docscrape import NumpyDocString
from numpydoc.validate import get_validation_checks, validate

import stainxform

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"


def modules() -> Iterator[ModuleType]:
    """Every module of the package that can be imported here."""
    yield stainxform
    for found in pkgutil.walk_packages(stainxform.__path__, "stainxform."):
        if not found.name.endswith("__main__"):
            try:
                yield importlib.import_module(found.name)
            except ImportError as error:
                print(f"not checked: {found.name} ({error})", file=sys.stderr)


def documented(owner: Any, name: str, module: str) -> Iterator[tuple[str, Any]]:
    """What a module or a class defines and documents: dotted names, and the classes, functions and properties."""
    made_when_asked = {key: getattr(owner, key) for key in getattr(owner, "__all__", ())}
    for key, member in (made_when_asked | dict(vars(owner))).items():
        member = getattr(member, "__func__", member)  # of a class method
        home = (
            getattr(member, "__module__", None),
            getattr(member, "__name__", None),
        )  # not another name's, nor imported
        ours = isinstance(member, property) or home == (module, key)
        if ours and member.__doc__ and (inspect.isroutine(member) or isinstance(member, property | type)):
            yield f"{name}.{key}", member
            if isinstance(member, type):
                yield from documented(member, f"{name}.{key}", module)


def faults(name: str, member: Any) -> Iterator[tuple[str, str, str]]:
    """What numpydoc finds: where, its code, and a sentence."""
    found = validate(name)
    for code, text in found["errors"]:
        if code == "PR01" and not undocumented(text, member):
            continue
        yield f"{found['file']}:{found['file_line']}", code, text


def undocumented(text: str, member: Any) -> set[str]:
    """Of the parameters that numpydoc misses, those that neither one sentence nor a base class takes care of."""
    own, *bases = member.__mro__ if isinstance(member, type) else (member,)
    if not NumpyDocString(inspect.cleandoc(own.__doc__))["Parameters"]:
        return set()  # what is explained in a sentence or two needs no list
    missing = set(re.findall(r"'([^']+)'", text))
    for base in bases:
        sections = NumpyDocString(inspect.cleandoc(base.__doc__ or ""))
        for title in ("Parameters", "Attributes"):
            missing -= {name for entry in sections[title] for name in entry.name.split(", ")}
    return missing


def main() -> int:
    """Print what is wrong; 1 if anything is."""
    checks = get_validation_checks(set(tomllib.loads(PYPROJECT.read_text())["tool"]["numpydoc_validation"]["checks"]))
    objects = dict(found for module in modules() for found in documented(module, module.__name__, module.__name__))
    wrong = [
        f"{place}: {name}: {code} {text}"
        for name, member in objects.items()
        for place, code, text in faults(name, member)
        if code in checks
    ]
    print(*wrong, f"{len(objects)} docstrings, {len(wrong)} faults", sep="\n")
    return int(bool(wrong) or not objects)


if __name__ == "__main__":
    sys.exit(main())
