"""What a pyramid says about itself: size, resolution, magnification, colors. Nothing else of the source is passed on."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform._version import __version__
from stainxform.slides.writer.options import PyramidOptions

__all__ = ["CREATOR", "Facts", "description", "thumbnail_description"]

CREATOR = f"stainxform {__version__}"

_LAYOUT = f"Aperio Image Library (its layout only; written by {CREATOR})"
"""Readers know the layout by the first words."""

_GIVEN = "micrometers per pixel given by the user"


@dataclass(frozen=True)
class Facts:
    """All that is known of the image: (height, width), micrometers per pixel (x, y) and whether the user said them,
    magnification, and its colors.
    """

    shape: tuple[int, int]
    mpp: tuple[float, float] | None
    magnification: float | None
    colors: str
    mpp_given: bool = False


def description(facts: Facts, options: PyramidOptions, tile: int, shape: tuple[int, int]) -> str | None:
    """The text of the level of that shape, (height, width); None: it has none."""
    if options.layout == "svs":
        return _aperio(facts, options, tile, shape)
    if shape != facts.shape:
        return None
    return _plain(facts) if options.layout == "generic" else _ome(facts)


def thumbnail_description(facts: Facts, shape: tuple[int, int]) -> str:
    """The text of the thumbnail among the images of layout "svs"; ``shape`` is its (height, width)."""
    (height, width), (rows, columns) = facts.shape, shape
    return f"{_LAYOUT}\n{width}x{height} -> {columns}x{rows} - "


def _plain(facts: Facts) -> str:
    return "; ".join([CREATOR, facts.colors, *([_GIVEN] if facts.mpp_given else [])])


def _aperio(facts: Facts, options: PyramidOptions, tile: int, shape: tuple[int, int]) -> str:
    (height, width), (rows, columns) = facts.shape, shape
    to = "" if shape == facts.shape else f" -> {columns}x{rows}"
    kind = "Deflate/RGB" if options.lossless else f"JPEG/RGB Q={options.quality}"
    fields = [f"{_LAYOUT}\n{width}x{height} [0,0 {width}x{height}] ({tile}x{tile}){to} {kind}"]
    if shape != facts.shape:
        return fields[0]
    if facts.magnification is not None:
        fields.append(f"AppMag = {facts.magnification:.10g}")
    if facts.mpp is not None:
        fields.append(f"MPP = {sum(facts.mpp) / 2:.10g}")
    if facts.mpp_given:
        fields.append(f"Resolution = {_GIVEN}")
    return "|".join([*fields, f"Colors = {facts.colors}"])


def _ome(facts: Facts) -> str:
    height, width = facts.shape
    size = instrument = used = ""
    if facts.mpp is not None:
        x, y = facts.mpp
        size = f' PhysicalSizeX="{x:.10g}" PhysicalSizeXUnit="µm" PhysicalSizeY="{y:.10g}" PhysicalSizeYUnit="µm"'
    if facts.magnification is not None:
        instrument = (
            f'<Instrument ID="Instrument:0"><Objective ID="Objective:0" NominalMagnification="{facts.magnification:.10g}"/>'
            "</Instrument>"
        )
        used = '<InstrumentRef ID="Instrument:0"/><ObjectiveSettings ID="Objective:0"/>'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        '<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
        'xsi:schemaLocation="http://www.openmicroscopy.org/Schemas/OME/2016-06 '
        f'http://www.openmicroscopy.org/Schemas/OME/2016-06/ome.xsd" Creator="{CREATOR}">{instrument}'
        f'<Image ID="Image:0"><Description>{_plain(facts)}</Description>{used}'
        '<Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" BigEndian="false" Interleaved="true" '
        f'SizeX="{width}" SizeY="{height}" SizeC="3" SizeZ="1" SizeT="1"{size}>'
        '<Channel ID="Channel:0:0" SamplesPerPixel="3"/><TiffData IFD="0" PlaneCount="1"/></Pixels></Image></OME>'
    )
