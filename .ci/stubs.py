"""Writes the stubs: what editors, mypy and the API reference know of classes that follow from the registries.

Usage: python .ci/stubs.py          rewrites them
       python .ci/stubs.py --check  exits with 1 where one is stale

The hosts need not be installed: what they write out is read, not imported.
"""

from __future__ import annotations

import argparse
import ast
import inspect
import sys
import textwrap
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "stainxform"
sys.path.insert(0, str(ROOT))

from stainxform._hosts.augment import signature, transform_doc, transform_name  # noqa: E402
from stainxform._hosts.normalize import class_doc, class_name  # noqa: E402
from stainxform.augment import AUGMENTATIONS, Augmentation  # noqa: E402
from stainxform.normalizers.registry import Method, registered  # noqa: E402

FORMS = {
    "monai": {
        "": ("StainNormalize", ["RandAugmentation"]),
        "d": ("StainNormalized", ["RandAugmentationd", "RandAugmentation"]),
    },
    "albumentations": {"": ("StainNormalize", ["RandAugmentation"])},
    "torchvision": {"": ("StainNormalize", ["RandAugmentation"])},
}
"""By host and suffix: the class for models of any method, and those whose arguments an augmentation's class takes, its
base first."""

ALIASES = {"monai": {"D": "d", "Dict": "d"}}
"""Suffixes of the same class under another name."""


def methods() -> list[Method]:
    """Those of this package: others may be installed beside it."""
    return [method for method in registered().values() if method.path.startswith("stainxform.")]


def augmentations() -> list[type[Augmentation]]:
    """Those of this package."""
    return [kind for kind in AUGMENTATIONS.values() if kind.__module__.startswith("stainxform.")]


class Host:
    """What the files of a host write out, and what follows from it."""

    def __init__(self, name: str) -> None:
        self.name = name
        trees = {path.stem: ast.parse(path.read_text()) for path in sorted((PACKAGE / name).glob("*.py"))}
        facade = trees.pop("__init__")
        self.written: list[str] = next(
            ast.literal_eval(node.value)
            for node in facade.body
            if isinstance(node, ast.Assign) and isinstance(node.value, ast.List)
        )
        self.classes = {n.name: n for tree in trees.values() for n in tree.body if isinstance(n, ast.ClassDef)}
        self.origins = dict(origins(*trees.values()))
        for module in map(inspect.getmodule, augmentations()):
            tree = ast.parse(inspect.getsource(module))
            self.origins |= dict(origins(tree)) | {
                n.name: module.__name__ for n in tree.body if isinstance(n, ast.ClassDef)
            }
        self.origins |= {name: module for name, module in origins(facade) if name in self.written}

    def signature(self, kind: str) -> inspect.Signature:
        """Arguments of a class that is written out, without ``self``; annotations as text."""
        (init,) = (node for node in self.classes[kind].body if getattr(node, "name", "") == "__init__")
        assert isinstance(init, ast.FunctionDef)
        return signature_of(init.args)

    def made(self) -> Iterator[tuple[str, str, str, inspect.Signature]]:
        """Name, base, docstring and arguments of each class that follows from a registry."""
        for method in methods():
            for suffix, (base, _) in FORMS[self.name].items():
                yield class_name(method) + suffix, base, class_doc(method, base), self.signature(base)
        for kind in augmentations():
            for suffix, (_, bases) in FORMS[self.name].items():
                arguments = signature(kind, *(self.signature(base) for base in bases))
                docs = [ast.get_docstring(self.classes[base]) for base in reversed(bases)]
                yield transform_name(kind.name) + suffix, bases[0], transform_doc(kind, arguments, *docs), arguments

    def stub(self) -> str:
        """The text of its ``__init__.pyi``."""
        used, body, names = set(self.written), [], list(self.written)
        for name, base, doc, arguments in self.made():
            used |= {base, *names_in(arguments)}
            names.append(name)
            body.append(written_class(name, base, doc, arguments))
            for other, suffix in ALIASES.get(self.name, {}).items():
                if name.endswith(suffix) and name[: -len(suffix)] in names:
                    names.append(name[: -len(suffix)] + other)
                    body.append(f"{names[-1]} = {name}\n")
        public = "".join(f'    "{name}",\n' for name in sorted(names))
        head = f'"""Written by .ci/stubs.py: the classes of stainxform.{self.name}, as they follow from the registries."""\n'
        imported = imports((self.origins[name], name) for name in used if name in self.origins)
        return "\n".join([head, imported, f"__all__ = [\n{public}]\n", *body])


def origins(*trees: ast.Module) -> Iterator[tuple[str, str]]:
    """The names that files import, and the modules that they come from."""
    for tree in trees:
        for node in tree.body:
            if isinstance(node, ast.ImportFrom) and node.module:
                yield from ((alias.name, node.module) for alias in node.names)


def signature_of(arguments: ast.arguments) -> inspect.Signature:
    """A signature with annotations as text; defaults must be literals."""
    positional, found = arguments.args[1:], []
    defaults = [None] * (len(positional) - len(arguments.defaults)) + arguments.defaults
    for kind, pairs in (
        (inspect.Parameter.POSITIONAL_OR_KEYWORD, zip(positional, defaults)),
        (inspect.Parameter.KEYWORD_ONLY, zip(arguments.kwonlyargs, arguments.kw_defaults)),
    ):
        for argument, default in pairs:
            value = inspect.Parameter.empty if default is None else ast.literal_eval(default)
            annotation = ast.unparse(argument.annotation) if argument.annotation else inspect.Parameter.empty
            found.append(inspect.Parameter(argument.arg, kind, default=value, annotation=annotation))
    return inspect.Signature(found)


def names_in(arguments: inspect.Signature) -> set[str]:
    """The names in annotations."""
    trees = (ast.parse(parameter.annotation) for parameter in arguments.parameters.values())
    return {node.id for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Name)}


def written_class(name: str, base: str, doc: str, arguments: inspect.Signature) -> str:
    """A class with its docstring and its arguments, as ruff formats it."""
    lines, star = ["self,"], False
    for parameter in arguments.parameters.values():
        if parameter.kind is parameter.KEYWORD_ONLY and not star:
            lines.append("*,")
            star = True
        default = "" if parameter.default is parameter.empty else f" = {written(parameter.default)}"
        lines.append(f"{parameter.name}: {parameter.annotation}{default},")
    clean = textwrap.indent(inspect.cleandoc(doc), "    ").strip()
    ending = '\n    """' if "\n" in clean else '"""'
    body = textwrap.indent("\n".join(lines), "        ")
    return f'class {name}({base}):\n    """{clean}{ending}\n\n    def __init__(\n{body}\n    ) -> None: ...\n'


def written(value: object) -> str:
    """A literal with double quotes."""
    return f'"{value}"' if isinstance(value, str) else repr(value)


def imports(pairs: Iterable[tuple[str, str]]) -> str:
    """Import statements of (module, name) pairs, as isort sorts them."""

    def section(module: str) -> int:
        root = module.partition(".")[0]
        return 0 if root in sys.stdlib_module_names else 2 if root == "stainxform" else 1

    blocks = []
    ordered = sorted((section(module), module, name.casefold(), name) for module, name in pairs)
    for _, found in groupby(ordered, lambda p: p[0]):
        lines = []
        for module, group in groupby(found, lambda p: p[1]):
            names = [name for *_, name in group]
            line = f"from {module} import {', '.join(names)}\n"
            if len(line) > 121:
                line = f"from {module} import (\n" + "".join(f"    {name},\n" for name in names) + ")\n"
            lines.append(line)
        blocks.append("".join(lines))
    return "\n".join(blocks)


def top_level(text: str) -> str:
    """``stainxform/__init__.pyi``: as it is, but the classes of the methods follow from the registry."""
    head, _, _ = text.partition("\nfrom ")
    pairs = {
        (node.module, alias.name)
        for node in ast.parse(text).body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    classes = {tuple(method.path.removeprefix("stainxform.").split(":")) for method in methods()}
    gone = {name for module, name in pairs if module.startswith("normalizers.") and name in {n for _, n in classes}}
    kept = {(module, name) for module, name in pairs if name not in gone}
    return head + "\n" + "".join(f"from .{module} import {name} as {name}\n" for module, name in sorted(kept | classes))


def main() -> int:
    """Write the stubs, or tell which are stale."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    check = parser.parse_args().check
    top = PACKAGE / "__init__.pyi"
    texts = {top: top_level(top.read_text())} | {PACKAGE / name / "__init__.pyi": Host(name).stub() for name in FORMS}
    stale = [path for path, text in texts.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if check:
            print(f"{path.relative_to(ROOT)} is stale; run: python .ci/stubs.py")
        else:
            path.write_text(texts[path])
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
