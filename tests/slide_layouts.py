"""Ways in which TIFF files keep a slide, or something that is none: small files, and what must come of each."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from stainxform.testing import pyramid

TILE = (64, 64)
ALL = ("cucim", "tifffile", "openslide")
OTHERS = ("tifffile", "openslide")
TIFFFILE = ("tifffile",)


class Layout(NamedTuple):
    """``write(path, image)`` writes the file; then either ``readers`` read these levels of the image, or it is refused.

    A reader that is not named may refuse it, or see some of the levels; it must not read anything else.

    ``row`` is its row in the table of docs/bad_input.md: several layouts may share one.
    """

    row: str
    write: Callable[[Path, np.ndarray], None]
    readers: tuple[str, ...] = ()
    levels: int = 1
    refused: str = ""
    mpp: tuple[float, float] | None = None
    tolerance: float = 0.0
    """Mean difference, in 8-bit levels, that its compression makes."""


def halves(image: np.ndarray, levels: int) -> list[np.ndarray]:
    """The image and smaller ones, as ``pyramid`` makes them."""
    return pyramid(image, levels)


def macro_of(image: np.ndarray, shape=(120, 260)) -> np.ndarray:
    """A small picture of the whole glass, with a black label."""
    macro = np.full((*shape, 3), 235, np.uint8)
    small = image[::4, ::4][: shape[0] - 10, : shape[1] - 130]
    macro[5 : 5 + len(small), 130 : 130 + small.shape[1]] = small
    macro[10:60, 10:110] = 20
    return macro


def microns(side: float = 0.5, unit: str = "µm", **more) -> dict:
    """Metadata of tifffile's OME-TIFF."""
    return {
        "PhysicalSizeX": side, "PhysicalSizeXUnit": unit, "PhysicalSizeY": side, "PhysicalSizeYUnit": unit, **more
    }  # fmt: skip


# ---- pieces --------------------------------------------------------------------------------------------------------


def chain(*options: dict, levels: int = 3, order=None, **file):
    """A plain chain of levels, each with options of its own, or all with the same."""

    def write(path, image):
        import tifffile

        with tifffile.TiffWriter(path, ome=False, **file) as writer:
            for rank in order or range(levels):
                own = options[rank] if len(options) > 1 else options[0] if options else {}
                common = {"tile": TILE, "photometric": "rgb", "compression": "deflate", "metadata": None}
                writer.write(halves(image, levels)[rank], **common | {"subfiletype": int(rank > 0)} | own)

    return write


def pages(change: Callable[[np.ndarray], list[np.ndarray]], **options):
    """Pages made of the image, one after the other."""

    def write(path, image):
        import tifffile

        with tifffile.TiffWriter(path, ome=False) as writer:
            for page in change(image):
                writer.write(page, **{"tile": TILE, "photometric": "rgb", "metadata": None} | options)

    return write


def single(change: Callable[[np.ndarray], np.ndarray], *, imagej: bool = False, **options):
    """One array, written by one call; an OME-TIFF where it has metadata and is none of ImageJ's."""

    def write(path, image):
        import tifffile

        common = {} if imagej else {"tile": TILE}
        described = bool(options.get("metadata")) and not imagej
        tifffile.imwrite(path, change(image), imagej=imagej, ome=described, **common | options)

    return write


def ome(*images: tuple[str, Callable[[np.ndarray], np.ndarray], dict], levels: int = 1, **options):
    """An OME-TIFF of several images by name; levels of each in SubIFDs."""

    def write(path, image):
        import tifffile

        with tifffile.TiffWriter(path, ome=True) as writer:
            for name, change, metadata in images:
                own = {"tile": TILE, "photometric": "rgb", "compression": "deflate"} | options
                full = change(image)
                smaller = levels if name == "scan" else 1
                writer.write(full, subifds=smaller - 1, metadata={"Name": name} | metadata, **own)
                for rank in range(1, smaller):
                    part = (
                        full[..., :: 1 << rank, :: 1 << rank]
                        if planes_first(full)
                        else full[:: 1 << rank, :: 1 << rank]
                    )
                    writer.write(np.ascontiguousarray(part), subfiletype=1, **own)

    return write


def planes_first(array: np.ndarray) -> bool:
    return array.ndim > 2 and array.shape[-1] > 4


def xml(text: str, change=lambda image: image, before="", **options):
    """An OME-TIFF whose XML is given: {x}, {y} are its size."""

    def write(path, image):
        import tifffile

        array = change(image)
        height, width = array.shape[-2:] if planes_first(array) else array.shape[:2]
        described = before + (text if text.startswith(("<?", "<!")) else OME.format(text)).replace(
            "@x", str(width)
        ).replace("@y", str(height))
        common = {"tile": TILE, "photometric": "rgb", "compression": "deflate", "metadata": None}
        tifffile.imwrite(path, array, description=described.encode(), **common | options)

    return write


OME = '<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06">{}</OME>'
IMAGE = (
    '<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYCZT" Type="uint8" SizeX="@x" SizeY="@y" SizeZ="1" SizeC="3" '
    'SizeT="1"%s><Channel ID="Channel:0:0" SamplesPerPixel="3"/>%s</Pixels></Image>'
)
HALF = ' PhysicalSizeX="0.5" PhysicalSizeY="0.5"'
HERE = "<TiffData/>"
ELSEWHERE = (
    '<TiffData IFD="0"><UUID FileName="b.ome.tif">urn:uuid:1</UUID></TiffData>'
    '<TiffData IFD="0" FirstC="1"><UUID FileName="c.ome.tif">urn:uuid:2</UUID></TiffData>'
)


def aperio(*, tiled: bool):
    """An Aperio slide with thumbnail, label and macro."""

    def write(path, image):
        import tifffile

        head = "Aperio Image Library v12\r\n"
        height, width = image.shape[:2]
        with tifffile.TiffWriter(path, ome=False) as writer:
            common = {"photometric": "rgb", "compression": "deflate", "metadata": None}
            first, second = halves(image, 2)
            text = f"{head}{width}x{height} (64x64) Deflate/RGB|AppMag = 20|MPP = 0,5"
            writer.write(first, tile=TILE, description=text, **common)
            strips = {"tile": TILE} if tiled else {"rowsperstrip": 16}
            writer.write(
                np.ascontiguousarray(image[::8, ::8]), rowsperstrip=16, description=f"{head}thumbnail", **common
            )
            writer.write(second, tile=TILE, description=f"{head}level", **common)
            for name in ("label", "macro"):
                small = np.ascontiguousarray(image[::4, ::4]) // 2
                text = f"{head}{name} {small.shape[1]}x{small.shape[0]}"
                writer.write(small, subfiletype=1 if name == "label" else 9, description=text, **strips, **common)

    return write


def with_alpha(image: np.ndarray, associated: bool = False) -> np.ndarray:
    """Transparent black around the tissue at the left, half transparent below."""
    alpha = np.full(image.shape[:2], 255, np.uint8)
    alpha[:, :70] = 0
    alpha[300:, 70:] = 100
    colors = np.rint(image * (alpha[..., None] / 255)).astype(np.uint8) if associated else image.copy()
    colors[:, :70] = 0
    return np.dstack([colors, alpha])


def on_white(image: np.ndarray, associated: bool = False) -> np.ndarray:
    """What ``with_alpha`` must look like."""
    rgba = with_alpha(image, associated).astype(np.float64)
    weight = rgba[..., 3:] / 255
    return np.rint(rgba[..., :3] * (1 if associated else weight) + 255 * (1 - weight)).astype(np.uint8)


def opaque(image: np.ndarray) -> np.ndarray:
    return np.dstack([image, np.full(image.shape[:2], 255, np.uint8)])


def same(image: np.ndarray) -> np.ndarray:
    return image


def ycbcr(image: np.ndarray) -> np.ndarray:
    return np.asarray(Image.fromarray(image).convert("YCbCr"))


def gray(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(image[..., 1])


def first(*planes: int) -> Callable[[np.ndarray], np.ndarray]:
    """Channels before rows."""
    return lambda image: np.ascontiguousarray(np.moveaxis(image[..., list(planes)], -1, 0))


def deep(kind: str, factor: float = 1) -> Callable[[np.ndarray], np.ndarray]:
    return lambda image: (image * np.float64(factor)).astype(kind)


def stack(image: np.ndarray) -> np.ndarray:
    return np.stack([image, 255 - image])


def large(image: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(np.tile(image[..., 1], (2, 2)))


NONE = {"photometric": "minisblack"}
PLANES = {"photometric": "minisblack", "compression": "deflate"}

# ---- the table -----------------------------------------------------------------------------------------------------

FIRST = "an OME-TIFF whose macro, label or thumbnail comes before the scan, or is larger, or has its proportions"
COLORS = "red, green and blue in gray pages (OME-TIFF), in planes, in tiles or strips"
MIXED = "levels that differ in compression, in how colors are stored, or in the size of tiles"
STORED = (
    "BigTIFF, big-endian, LZW, deflate, zstd, with predictors, JPEG, JPEG 2000, JPEG XL, WebP, PNG, in RGB or YCbCr"
)
ALPHA = "an alpha channel, premultiplied or not"
OVERVIEWS = "label and macro among the pages of an SVS, in strips or tiles"
ORDER = "levels from the smallest to the largest, or all of them marked as reduced, or none"
LENGTHS = (
    "lengths of OME-XML or ImageJ in any unit of the OME schema, the micro sign in either letter or as a reference"
)
STALE = "OME-XML with a resolution of its own, and TIFF tags with another"
UNFIT = "OME-XML that is not well-formed, or gives another size than the image has"
ODD = "a resolution that no microscope has: x and y more than a quarter apart, not a number, a print's dots per inch"
DEPTH = "12 or 16 bits, floats, gray, palettes, CMYK"
DYES = "channels that are not red, green and blue: 2 or 4 of them, dyes by name, color or wavelength, pages that no OME-XML explains"
STACKS = "stacks and time series; several images of the largest size"
OVERVIEW_ONLY = "the largest image is not RGB, and a smaller one is; nothing but a macro or label"
SETS = "OME-TIFF in several files"
BOMB = "OME-XML that declares entities"

READ = {
    FIRST: "read: the largest image that is not called a macro, label, barcode, thumbnail, overview or preview, with its own resolution and magnification",
    COLORS: "read: put together, tile by tile",
    MIXED: "read: all levels",
    STORED: "read",
    ALPHA: "read: laid over white; tiles that are all transparent are white, not missing",
    OVERVIEWS: "read: without them",
    ORDER: "read: sorted by size",
    LENGTHS: "read: converted to micrometers; micrometers where no unit stands",
    STALE: "read: the XML counts; the tags only where it is silent",
    UNFIT: "read: the largest image in RGB; its resolution is unknown, and the log says why",
    ODD: "read: its resolution is unknown",
}
REFUSED = {
    DEPTH: "refused: the message says what it is",
    DYES: "refused: the message names the channels",
    STACKS: "refused: the message says how many; save the one you want as a file of its own",
    OVERVIEW_ONLY: "refused: an overview is not a slide",
    SETS: "refused: the message names the other file",
    BOMB: "refused: entities are never expanded",
}

TWO = {"tile": (32, 48)}
JPEG = {"compression": "jpeg"}
J2K = {"compression": "jpeg2000"}
SCAN = ("scan", same, microns())


def stored(readers=TIFFFILE, tolerance=0.0, **options) -> Layout:
    return Layout(STORED, chain(options), readers, 3, tolerance=tolerance)


LAYOUTS = {
    "ome, macro first": Layout(
        FIRST, ome(("macro", macro_of, microns(9)), SCAN, levels=3), TIFFFILE, 3, mpp=(0.5, 0.5)
    ),
    "ome, unnamed macro first": Layout(FIRST, ome(("", macro_of, {}), SCAN, levels=2), TIFFFILE, 2, mpp=(0.5, 0.5)),
    "ome, macro last": Layout(FIRST, ome(SCAN, ("label", macro_of, microns(9))), OTHERS, mpp=(0.5, 0.5)),
    "ome, macro of the scan's proportions": Layout(
        FIRST, ome(("x", lambda i: np.ascontiguousarray(i[::2, ::2]) // 2, {}), SCAN), TIFFFILE, mpp=(0.5, 0.5)
    ),
    "ome, a larger macro": Layout(
        FIRST, ome(("Slide 1 macro image", lambda i: np.tile(i, (2, 2, 1)) // 2, {}), SCAN), TIFFFILE, mpp=(0.5, 0.5)
    ),
    **{
        f"ome, a larger {name}": Layout(
            FIRST, ome((name, lambda i: np.tile(i, (2, 2, 1)) // 2, {}), SCAN), TIFFFILE, mpp=(0.5, 0.5)
        )
        for name in (
            "Overview",
            "slide preview",
            "SlideLabel",
            "Macro_1",
            "label #2",
            "MacroImage",
            "x.svs - macro.jpg",
        )
    },
    "ome, a mask of its size": Layout(FIRST, ome(SCAN, ("mask", gray, {}), photometric=None), OTHERS, mpp=(0.5, 0.5)),
    "ome, gray pages": Layout(
        COLORS, ome(("scan", first(0, 1, 2), microns(axes="CYX")), levels=3, **PLANES), TIFFFILE, 3, mpp=(0.5, 0.5)
    ),
    "ome, gray pages in strips": Layout(
        COLORS, single(first(0, 1, 2), tile=None, rowsperstrip=50, metadata={"axes": "CYX"}, **PLANES), TIFFFILE
    ),
    "ome, gray pages by name": Layout(
        COLORS,
        single(first(2, 1, 0), metadata={"axes": "CYX", "Channel": {"Name": ["Blue", "green", "R"]}}, **PLANES),
        TIFFFILE,
    ),
    "ome, planes of gray": Layout(
        COLORS, single(first(0, 1, 2), planarconfig="separate", metadata={"axes": "SYX"}, **PLANES), TIFFFILE
    ),
    "planes in tiles": Layout(
        COLORS,
        single(first(0, 1, 2), planarconfig="separate", photometric="rgb", compression="lzw", predictor=2),
        TIFFFILE,
    ),
    "planes in strips": Layout(
        COLORS, single(first(0, 1, 2), planarconfig="separate", photometric="rgb", tile=None, rowsperstrip=7), TIFFFILE
    ),
    "planes in jpeg": Layout(
        COLORS, single(first(0, 1, 2), planarconfig="separate", photometric="rgb", **JPEG), TIFFFILE, tolerance=3
    ),
    "jpeg 2000 over jpeg": Layout(MIXED, chain(J2K, JPEG, JPEG), TIFFFILE, 3, tolerance=4),
    "deflate over jpeg": Layout(MIXED, chain({}, JPEG, JPEG), ALL, 3, tolerance=4),
    "jpeg in rgb over ycbcr": Layout(
        MIXED, chain(JPEG | {"compressionargs": {"outcolorspace": "rgb"}}, JPEG, {}), ALL, 3, tolerance=3
    ),
    "tiles of other sizes": Layout(MIXED, chain({}, TWO, {}), ALL, 3),
    "the smallest in strips": Layout(MIXED, chain({}, {}, {"tile": None, "rowsperstrip": 20}), TIFFFILE, 3),
    "all in strips": Layout(MIXED, chain({"tile": None, "rowsperstrip": 20}), TIFFFILE, 3),
    "big tiff": Layout(STORED, chain(bigtiff=True), ALL, 3),
    "big endian": Layout(STORED, chain(byteorder=">"), ("cucim", "tifffile"), 3),
    "strips": Layout(STORED, chain({"tile": None, "rowsperstrip": 16}, levels=1), TIFFFILE, 1),
    "lzw with predictor": stored(OTHERS, compression="lzw", predictor=2),
    "deflate with predictor": stored(OTHERS, predictor=2),
    "zstd": stored(OTHERS, compression="zstd"),
    "jpeg 2000": stored(compression="jpeg2000"),
    "jpeg xl": stored(compression="jpegxl"),
    "webp": stored(compression="webp"),
    "png": stored(compression="png"),
    "ycbcr without jpeg": Layout(
        STORED, single(ycbcr, photometric="ycbcr", subsampling=(1, 1)), ("openslide",), tolerance=1
    ),
    "alpha": Layout(ALPHA, single(with_alpha, photometric="rgb", extrasamples=["unassalpha"]), TIFFFILE),
    "alpha, premultiplied": Layout(
        ALPHA, single(lambda i: with_alpha(i, True), photometric="rgb", extrasamples=["assocalpha"]), TIFFFILE
    ),
    "alpha in planes": Layout(
        ALPHA,
        single(
            lambda i: first(0, 1, 2, 3)(with_alpha(i)),
            photometric="rgb",
            planarconfig="separate",
            extrasamples=["unassalpha"],
        ),
        TIFFFILE,
    ),
    "alpha in ome": Layout(
        ALPHA, ome(("scan", with_alpha, microns()), extrasamples=["unassalpha"]), TIFFFILE, mpp=(0.5, 0.5)
    ),
    "an opaque channel of unspecified meaning": Layout(
        ALPHA, single(opaque, photometric="rgb", extrasamples=["unspecified"]), TIFFFILE
    ),
    "svs": Layout(OVERVIEWS, aperio(tiled=False), ALL, 2, mpp=(0.5, 0.5)),
    "svs, overviews in tiles": Layout(OVERVIEWS, aperio(tiled=True), ("tifffile",), 2, mpp=(0.5, 0.5)),
    "smallest first": Layout(ORDER, chain(order=(2, 1, 0)), TIFFFILE, 3),
    "none marked as reduced": Layout(ORDER, chain({"subfiletype": 0}), TIFFFILE, 3),
    "all marked as reduced": Layout(ORDER, chain({"subfiletype": 1}), OTHERS, 3),
    **{
        f"in {unit or 'no unit'}": Layout(
            LENGTHS,
            xml(
                IMAGE
                % (
                    f' PhysicalSizeX="{side}" PhysicalSizeY="{side}"'
                    + (f' PhysicalSizeXUnit="{unit}" PhysicalSizeYUnit="{unit}"' if unit else ""),
                    HERE,
                )
            ),
            ALL,
            mpp=(0.5, 0.5),
        )
        for unit, side in (
            ("", "0.5"),
            ("µm", "0.5"),
            ("μm", "5e-1"),
            ("&#181;m", "0,5"),
            ("&#x3BC;m", ".5"),
            ("Âµm", "0.5"),
            ("mm", "0.0005"),
            ("nm", "500"),
            ("pm", "500000"),
            ("m", "5E-7"),
            ("Å", "5000"),
            ("in", "1.968503937e-5"),
            ("thou", "0.01968503937"),
        )
    },
    "one side": Layout(LENGTHS, xml(IMAGE % (' PhysicalSizeX="0.5"', HERE)), ALL, mpp=(0.5, 0.5)),
    "sides in different units": Layout(
        LENGTHS,
        xml(IMAGE % (' PhysicalSizeX="0.5" PhysicalSizeY="500" PhysicalSizeYUnit="nm"', HERE)),
        ALL,
        mpp=(0.5, 0.5),
    ),
    "stale tags": Layout(
        STALE, xml(IMAGE % (HALF, HERE), resolution=(400, 400), resolutionunit="CENTIMETER"), ALL, mpp=(0.5, 0.5)
    ),
    "silent xml": Layout(
        STALE, xml(IMAGE % ("", HERE), resolution=(20000, 20000), resolutionunit="CENTIMETER"), ALL, mpp=(0.5, 0.5)
    ),
    **{
        f"imagej, {unit}": Layout(
            LENGTHS,
            single(same, imagej=True, resolution=(1 / side, 1 / side), metadata={"unit": unit, "axes": "YXS"}),
            TIFFFILE,
            mpp=(0.5, 0.5),
        )
        for unit, side in (("micron", 0.5), ("um", 0.5), ("\\u00B5m", 0.5), ("mm", 0.0005))
    },
    "pixels as unit": Layout(
        STALE,
        xml(
            IMAGE
            % (
                ' PhysicalSizeX="1" PhysicalSizeXUnit="pixel" PhysicalSizeY="1" PhysicalSizeYUnit="reference frame"',
                HERE,
            ),
            resolution=(20000, 20000),
            resolutionunit="CENTIMETER",
        ),
        ALL,
        mpp=(0.5, 0.5),
    ),
    "broken xml": Layout(UNFIT, xml(OME.format(IMAGE % (HALF, HERE))[:-40] + "</OME>"), ALL),
    "xml of another size": Layout(
        UNFIT, xml(IMAGE.replace("@x", "5000") % (HALF, HERE), resolution=(400, 400), resolutionunit="CENTIMETER"), ALL
    ),
    "xml of a missing page": Layout(UNFIT, xml(IMAGE % (HALF, '<TiffData IFD="7"/>')), ALL),
    "x unlike y": Layout(ODD, xml(IMAGE % (' PhysicalSizeX="0.25" PhysicalSizeY="0.5"', HERE)), ALL),
    "an unknown unit": Layout(ODD, xml(IMAGE % (' PhysicalSizeX="0.5" PhysicalSizeXUnit="furlong"', HERE)), ALL),
    "no number": Layout(ODD, xml(IMAGE % (' PhysicalSizeX="NaN" PhysicalSizeY="0.5"', HERE)), ALL),
    "zero": Layout(ODD, xml(IMAGE % (' PhysicalSizeX="0" PhysicalSizeY="0"', HERE)), ALL),
    "a print": Layout(ODD, chain({"resolution": (300, 300), "resolutionunit": "INCH"}, levels=1), ALL),
    "a screen": Layout(ODD, chain({"resolution": (72, 72), "resolutionunit": "INCH"}, levels=1), ALL),
    "tags unlike": Layout(ODD, chain({"resolution": (20000, 10000), "resolutionunit": "CENTIMETER"}, levels=1), ALL),
    "gray": Layout(DEPTH, single(gray), refused="its largest image is gray;"),
    "gray, white is zero": Layout(DEPTH, single(gray, photometric="miniswhite"), refused="is gray"),
    "16 bits": Layout(DEPTH, single(deep("u2", 257), photometric="rgb"), refused="has 16 bits a channel"),
    "12 bits in 16 (ome)": Layout(
        DEPTH, ome(("scan", deep("u2", 16), microns())), refused="scan, has 16 bits|image has 16 bits"
    ),
    "16 bits in gray pages": Layout(
        DEPTH,
        single(lambda i: first(0, 1, 2)(i).astype("u2"), metadata={"axes": "CYX"}, **PLANES),
        refused="has 16 bits a channel",
    ),
    "floats": Layout(
        DEPTH, single(deep("f4", 1 / 255), photometric="rgb"), refused=r"no unsigned integers \(SampleFormat 3\)"
    ),
    "signed": Layout(DEPTH, single(deep("i1", 0.4), photometric="rgb"), refused="no unsigned integers"),
    "palette": Layout(
        DEPTH, single(gray, photometric="palette", colormap=np.zeros((3, 256), "u2")), refused="is a palette of colors"
    ),
    "cmyk": Layout(DEPTH, single(opaque, photometric="separated"), refused="is CMYK with 4 channels"),
    "lab": Layout(DEPTH, single(same, photometric="cielab"), refused="is CIELAB"),
    "four dyes": Layout(
        DYES,
        single(
            first(0, 1, 2, 1), metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "Cy3", "Cy5"]}}, **PLANES
        ),
        refused=r"has 4 channels that are not red, green and blue \(DAPI, FITC, Cy3, Cy5\)",
    ),
    "two channels": Layout(
        DYES, single(first(0, 1), metadata={"axes": "CYX"}, **PLANES), refused="has 2 channels that are not"
    ),
    "three dyes by name": Layout(
        DYES,
        single(first(0, 1, 2), metadata={"axes": "CYX", "Channel": {"Name": ["DAPI", "FITC", "TRITC"]}}, **PLANES),
        refused=r"has 3 channels .* \(DAPI, FITC, TRITC\)",
    ),
    "three dyes by wavelength": Layout(
        DYES,
        single(first(0, 1, 2), metadata={"axes": "CYX", "Channel": {"EmissionWavelength": [461, 520, 570]}}, **PLANES),
        refused="has 3 channels that are not",
    ),
    "three dyes by color": Layout(
        DYES,
        single(first(0, 1, 2), metadata={"axes": "CYX", "Channel": {"Color": [65535, 16711935, -16776961]}}, **PLANES),
        refused="has 3 channels that are not",
    ),
    "gray pages": Layout(DYES, pages(lambda i: list(first(0, 1, 2)(i)), photometric="minisblack"), refused="is gray"),
    "gray samples": Layout(
        DYES,
        single(same, photometric="minisblack", planarconfig="contig", metadata=None),
        refused="is gray with 3 channels",
    ),
    "imagej channels": Layout(
        DYES, single(first(0, 1, 2), imagej=True, metadata={"axes": "CYX"}), refused="is gray|stack of 3"
    ),
    "five samples": Layout(
        DYES,
        single(lambda i: np.dstack([i, i[..., :2]]), photometric="rgb", extrasamples=["unspecified"] * 2),
        refused="is RGB with 5 channels",
    ),
    "ome, a stack": Layout(
        STACKS, single(stack, photometric="rgb", metadata={"axes": "ZYXS"}), refused="is a stack of 2 planes"
    ),
    "ome, a time series of gray pages": Layout(
        STACKS,
        single(lambda i: first(0, 1, 2)(i)[None].repeat(2, 0), metadata={"axes": "TCYX"}, **PLANES),
        refused="is a stack of 2 planes",
    ),
    "imagej, a stack": Layout(
        STACKS, single(stack, imagej=True, metadata={"axes": "ZYXS"}), refused="a stack of 2 images"
    ),
    "pages of one size": Layout(STACKS, pages(lambda i: list(stack(i))), refused="holds 2 images of 421 x 333"),
    "ome, two scans of one size": Layout(
        STACKS, ome(SCAN, ("other", lambda i: 255 - i, microns())), refused="holds 2 images of 421 x 333"
    ),
    "ome, fluorescence with a macro": Layout(
        OVERVIEW_ONLY,
        ome(("macro of it", macro_of, {}), ("dyes", large, {}), photometric=None),
        refused="its largest image, dyes, is gray",
    ),
    "gray with a macro": Layout(
        OVERVIEW_ONLY, pages(lambda i: [macro_of(i), large(i)], photometric=None), refused="its largest image is gray"
    ),
    "ome, nothing but a macro": Layout(
        OVERVIEW_ONLY, ome(("macro", macro_of, microns())), refused="only images called macro"
    ),
    "ome, a set": Layout(SETS, xml(IMAGE % (HALF, ELSEWHERE)), refused="is part of a set of files"),
    "ome, the companion": Layout(
        SETS,
        xml(OME.format('<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:1"/>')),
        refused=r"a\.companion\.ome",
    ),
    "a bomb": Layout(
        BOMB,
        xml(
            '<!DOCTYPE OME [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;">]>'
            + OME.format(IMAGE % (HALF, HERE)).partition("?>")[2]
        ),
        refused="declares entities",
    ),
}
