"""What OME-XML says about the images of a file; no entity of it is expanded, and nothing but what slides need is kept.

Source: the OME schema 2016-06 and the specification of OME-TIFF, whose defaults are used where an attribute is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from xml.etree import ElementTree

from stainxform.errors import UnsupportedSlideError
from stainxform.slides.readers.planes import UnfitSlideError
from stainxform.slides.readers.resolution import micrometers, number

__all__ = ["OmeError", "OmeImage", "is_ome", "ome_images"]

_RGB = ("red", "green", "blue")
_RGB_COLORS = (0xFF0000, 0x00FF00, 0x0000FF)
_NO_DYE = re.compile(
    r"(channel|ch|c|sample|component)?[\s:=_#-]*\d*(:\d+)*|(tl[\s_-]*)?bright[\s_-]*field|bf|rgb|transmitted light|h ?& ?e",
    re.I,
)
"""Names of channels that tell nothing against red, green and blue."""

_FLUORESCENCE = ("Fluor", "EmissionWavelength", "ExcitationWavelength")


class OmeError(UnsupportedSlideError):
    """OME-XML that cannot be read, or does not fit its file."""


@dataclass
class OmeImage:
    """One image of the set: its size, where its planes are, and its resolution and magnification.

    ``pixels``, ``channels`` and ``blocks`` are the attributes of its Pixels, Channel and TiffData elements; ``elsewhere``
    names another file that some of its planes are in; ``first`` is its first page where no TiffData says one.
    """

    name: str = ""
    pixels: Mapping[str, str] = field(default_factory=dict)
    channels: list[Mapping[str, str]] = field(default_factory=list)
    blocks: list[dict[str, str]] = field(default_factory=list)
    objective: str | None = None
    magnification: float | None = None
    elsewhere: str | None = None
    first: int = 0

    def size(self, side: str) -> int:
        """Pixels along X or Y, planes along Z and T, or channels; at least 1."""
        text = self.pixels.get(f"Size{side}", "1")
        if not re.fullmatch(r"\s*\+?\d{1,9}\s*", text) or int(text) < 1:
            raise OmeError(f"Size{side} is {text[:20]!r}")
        return int(text)

    @property
    def mpp(self) -> tuple[float | None, float | None]:
        """Micrometers along (x, y): None where the file is silent, or counts in pixels; NaN where it makes no sense."""
        sides = ((self.pixels.get(f"PhysicalSize{s}"), self.pixels.get(f"PhysicalSize{s}Unit")) for s in "XY")
        x, y = (None if unit in ("pixel", "reference frame") else micrometers(value, unit) for value, unit in sides)
        return x, y

    def count(self, samples: int) -> int:
        """Its planes, if each page holds that many of its channels."""
        return self.size("Z") * self.size("T") * self._channels(samples)

    def planes(self, samples: int, most: int = 3) -> list[int]:
        """The pages of its first planes, in the order that ``DimensionOrder`` says."""
        sides = {"Z": self.size("Z"), "T": self.size("T"), "C": self._channels(samples)}
        order = [side for side in self.pixels.get("DimensionOrder", "XYCZT") if side in sides]
        if sorted(order) != ["C", "T", "Z"]:
            raise OmeError(f"DimensionOrder is {self.pixels['DimensionOrder'][:20]!r}")
        needed, pages = min(most, self.count(samples)), dict[int, int]()
        for block in self.blocks or [{}]:
            start, step = 0, 1
            for side in order:
                start += step * (_integer(block, f"First{side}", 0) // (samples if side == "C" else 1))
                step *= sides[side]
            page = _integer(block, "IFD", 0 if self.blocks else self.first)
            planes = _integer(block, "PlaneCount", 1 if "IFD" in block else needed)
            for plane in range(min(planes, needed - start)):
                pages.setdefault(start + plane, page + plane)
        if len(pages) != needed:
            raise OmeError(f"{len(pages)} of {needed} planes have a place")
        return [pages[plane] for plane in range(needed)]

    def _channels(self, samples: int) -> int:
        return max(1, self.size("C") // samples)

    def rgb_order(self) -> tuple[int, int, int] | None:
        """Which of three channels are red, green and blue; None where they are something else, such as dyes."""
        channels = [*self.channels, {}, {}, {}][:3]
        if self.size("C") != 3 or len(self.channels) > 3 or any(_is_dye(channel) for channel in channels):
            return None
        names = [channel.get("Name", "").strip().lower() for channel in channels]
        found = {"r": "red", "g": "green", "b": "blue"}
        names = [found.get(name, name) for name in names]
        if sorted(names) == sorted(_RGB):
            return names.index("red"), names.index("green"), names.index("blue")
        colors = [_color(channel) for channel in channels]
        plain = len(set(colors)) == 1 or tuple(colors) == _RGB_COLORS
        return (0, 1, 2) if plain and all(_NO_DYE.fullmatch(name) for name in names) else None


def is_ome(text: str) -> bool:
    """Whether the description of a file's first page is OME-XML."""
    return re.search(r"<(\w+:)?OME[\s>]", text[:100_000]) is not None


def ome_images(text: str, filename: str) -> list[OmeImage]:
    """The images that OME-XML describes, in its order.

    Parameters
    ----------
    text : str
        The XML.
    filename : str
        Name of the file that it was found in: planes of other files are told apart by it, or by the file's UUID.

    Raises
    ------
    OmeError
        It is no well-formed XML.
    UnfitSlideError
        It declares entities: a few lines of them can stand for gigabytes.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise UnfitSlideError(f"{filename} declares entities in its OME-XML, which is not read; remove them")
    collector = _Collector()
    parser = ElementTree.XMLParser(target=collector)
    try:
        parser.feed(text.strip().strip("\0\ufeff").strip())
        parser.close()
    except (ElementTree.ParseError, ValueError) as error:
        raise OmeError(str(error)) from error
    return collector.finish(filename)


class _Collector:
    """Receives the elements of OME-XML one after the other; no tree is built."""

    def __init__(self) -> None:
        self.images: list[OmeImage] = []
        self.objectives: dict[str, float | None] = {}
        self.uuid = self.companion = ""
        self._path: list[str] = []

    def start(self, tag: str, given: Mapping[str, str]) -> None:
        name = tag.rpartition("}")[2]
        self._path.append(name)
        image = self.images[-1] if self.images and "Image" in self._path else None
        if name == "OME":
            self.uuid = given.get("UUID", "")
        elif name == "BinaryOnly":
            self.companion = given.get("MetadataFile", "another file")
        elif name == "Objective":
            power = given.get("NominalMagnification")
            self.objectives[given.get("ID", "")] = None if power is None else number(power)
        elif name == "Image":
            self.images.append(OmeImage(given.get("Name", "")))
        elif image is None:
            return
        elif name in ("ObjectiveSettings", "ObjectiveRef"):
            image.objective = given.get("ID")
        elif name == "Pixels":
            image.pixels = dict(given)
        elif name == "Channel":
            image.channels.append(dict(given))
        elif name == "TiffData":
            image.blocks.append(dict(given))
        elif name == "UUID" and image.blocks:
            image.blocks[-1]["FileName"] = given.get("FileName", "")

    def data(self, text: str) -> None:
        if self._path[-2:] == ["TiffData", "UUID"] and self.images and self.images[-1].blocks:
            block = self.images[-1].blocks[-1]
            block["UUID"] = block.get("UUID", "") + text.strip()

    def end(self, tag: str) -> None:
        self._path.pop()

    def close(self) -> None:
        """Nothing is left to do; ElementTree calls it."""

    def finish(self, filename: str) -> list[OmeImage]:
        if self.companion:
            return [OmeImage(elsewhere=self.companion)]
        images = [image for image in self.images if image.pixels]
        blocks = [block for image in images for block in image.blocks]
        renamed = len({block.get("FileName") for block in blocks}) == 1
        for image in images:
            for block in image.blocks:
                other, uuid = block.get("FileName"), block.get("UUID")
                here = not other or PurePath(other).name == filename or bool(uuid and uuid == self.uuid) or renamed
                image.elsewhere = image.elsewhere or (None if here else other)
            if image.objective is not None:
                image.magnification = self.objectives.get(image.objective)
            elif len(images) == len(self.objectives) == 1:
                (image.magnification,) = self.objectives.values()
        return images


def _is_dye(channel: Mapping[str, str]) -> bool:
    how = (channel.get("ContrastMethod", "") + channel.get("IlluminationType", "")).lower()
    return "fluorescence" in how or any(channel.get(name) for name in _FLUORESCENCE)


def _color(channel: Mapping[str, str]) -> int:
    """Red, green and blue of a channel's color, a signed RGBA number; white where it has none."""
    text = channel.get("Color", "-1").strip()
    return (int(text) & 0xFFFFFFFF) >> 8 if re.fullmatch(r"-?\d{1,10}", text) else 0xFFFFFF


def _integer(given: Mapping[str, str], name: str, default: int) -> int:
    text = given.get(name)
    if text is None:
        return default
    if not re.fullmatch(r"\s*\+?\d{1,9}\s*", text):
        raise OmeError(f"{name} is {text[:20]!r}")
    return int(text)
