"""Image files in and out: what docs/bad_input.md says of them, kind by kind, and format by mode by what is told besides."""

from __future__ import annotations

import io
import itertools
import os
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps, PngImagePlugin, TiffImagePlugin
from strategies import he_image

import stainxform as sx
from stainxform.cli.file_work import FileWork
from stainxform.errors import InvalidImageError, ParameterError
from stainxform.io import images
from stainxform.io.decode import FileFacts
from stainxform.io.images import WRITTEN, encode_image, note_of, read_image, read_image_and_facts, write_image
from stainxform.io.outputs import Job
from stainxform.io.profile import space_of, srgb_profile
from stainxform.io.sources import Tiles
from stainxform.samples import pair

PAGE = Path(__file__).parents[1] / "docs" / "bad_input.md"
TILE = pair(1, 64, ("b",), 5)[0][0][:, :48]
PICTURE = Image.fromarray(TILE)
FORMATS = ("png", "jpg", "tif")
SAVED = {"jpg": {"quality": 100, "subsampling": 0}}


def save(image, path, **options):
    image.save(path, **{**SAVED.get(path.suffix[1:], {}), **options})
    return path


def profile(space="RGB", name="Scanner B"):
    """A profile by its header: of which colors it is, and who made it."""
    made = bytearray(srgb_profile())
    made[16:20] = space.ljust(4).encode()
    made[48:52] = name[:4].encode()
    return bytes(made)


# ---------------------------------------------------------------- what is read


COMMON, OF_TIFF = ("1", "L", "P", "RGB"), ("RGBX", "YCbCr", "CMYK")


@pytest.mark.parametrize(
    ("suffix", "mode"),
    [*itertools.product(("png", "tif", "bmp"), COMMON), *itertools.product(("tif",), OF_TIFF)],
)
def test_modes_become_rgb(tmp_path, mode, suffix):
    stored = PICTURE.quantize(64) if mode == "P" else PICTURE.convert(mode)
    found = read_image(save(stored, tmp_path / f"x.{suffix}"))
    assert (found.dtype, found.shape) == (np.uint8, TILE.shape)
    assert np.array_equal(found, np.asarray(stored.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "CMYK", "YCbCr"])
def test_modes_of_jpeg_become_rgb(tmp_path, mode):
    """CMYK as Adobe stores it, inverted, too."""
    found = read_image(save(PICTURE.convert(mode), tmp_path / "x.jpg")).astype(int)
    assert np.abs(found - np.asarray(PICTURE.convert(mode).convert("RGB"))).mean() < 3


def with_transparency(mode):
    """A picture whose first row is transparent, and whose second is half, where the mode can say so."""
    alpha = np.full(TILE.shape[:2], 255, np.uint8)
    alpha[0], alpha[1] = 0, 128
    if mode == "P":
        indexed = PICTURE.quantize(16)
        return indexed, {"transparency": 0}, np.asarray(indexed) == 0
    if mode in ("L", "RGB"):
        key = TILE[0, 0, 0] if mode == "L" else tuple(map(int, TILE[0, 0]))
        pixels = TILE[..., 0] if mode == "L" else TILE
        hidden = pixels == key if mode == "L" else (pixels == key).all(-1)
        return Image.fromarray(np.array(pixels)), {"transparency": int(key) if mode == "L" else key}, hidden
    image = PICTURE.convert("L").convert("LA") if mode == "LA" else PICTURE.convert("RGBA")
    image.putalpha(Image.fromarray(alpha))
    return image, {}, alpha == 0


@pytest.mark.parametrize(
    ("mode", "suffix"),
    [*itertools.product(("LA", "RGBA", "P", "L", "RGB"), ["png"]), ("LA", "tif"), ("RGBA", "tif")],
)
def test_transparency_is_laid_over_white(tmp_path, mode, suffix):
    image, options, hidden = with_transparency(mode)
    found = read_image(save(image, tmp_path / f"x.{suffix}", **options))
    assert hidden.any()
    assert (found[hidden] == 255).all()
    opaque = np.asarray(image.convert("RGB"))
    if mode in ("LA", "RGBA"):
        np.testing.assert_allclose(found[1], opaque[1] * (128 / 255) + 127, atol=1)
        assert np.array_equal(found[2:], opaque[2:])
    else:
        assert np.array_equal(found[~hidden], opaque[~hidden])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", FORMATS)
def test_pictures_are_turned_upright_once(tmp_path, suffix, orientation):
    exif = PICTURE.getexif()
    exif[0x112] = orientation
    path = save(PICTURE, tmp_path / f"x.{suffix}", exif=exif, dpi=(100, 200))
    with Image.open(path) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    turned = orientation > 4
    found, facts = read_image_and_facts(path)
    assert found.shape[:2] == ((48, 64) if turned else (64, 48))
    assert np.array_equal(found, upright)
    assert facts.dpi == pytest.approx((200, 100) if turned else (100, 200), abs=0.1)


@pytest.mark.parametrize("damage", [b"Exif\0\0no TIFF", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"])
def test_damaged_exif_tells_no_orientation(tmp_path, damage):
    assert np.array_equal(read_image(save(PICTURE, tmp_path / "x.png", exif=damage)), TILE)


def deep_png(channels):
    """Pillow cannot write 16-bit RGB."""
    pixels = np.arange(4 * 5 * channels, dtype=np.uint16).reshape(4, 5, channels) * 1000

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 5, 4, 16, {1: 0, 2: 4, 3: 2, 4: 6}[channels], 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in pixels)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def deep_tiff(path, channels, dtype):
    tifffile = pytest.importorskip("tifffile")
    pixels = (np.arange(4 * 5 * channels).reshape(4, 5, channels) * 1000).astype(dtype)
    tifffile.imwrite(path, pixels.squeeze(), photometric="rgb" if channels == 3 else "minisblack")


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_deep_png_is_refused(tmp_path, channels):
    (tmp_path / "x.png").write_bytes(deep_png(channels))
    with pytest.raises(InvalidImageError, match=r"x\.png has more than 8 bits a channel"):
        read_image(tmp_path / "x.png")


@pytest.mark.parametrize(("channels", "dtype"), [(1, "u2"), (3, "u2"), (1, "u4"), (1, "f4"), (1, "i2")])
def test_deep_tiff_is_refused(tmp_path, channels, dtype):
    deep_tiff(tmp_path / "x.tif", channels, dtype)
    with pytest.raises(InvalidImageError, match=r"x\.tif has more than 8 bits a channel"):
        read_image(tmp_path / "x.tif")


def test_deep_tiff_in_planes_is_refused(tmp_path):
    """Pillow takes the bytes of uncompressed planes for pixels."""
    tifffile = pytest.importorskip("tifffile")
    pixels = np.moveaxis(TILE.astype(np.uint16) * 257, -1, 0)
    tifffile.imwrite(tmp_path / "x.tif", pixels, photometric="rgb", planarconfig="separate")
    with pytest.raises(InvalidImageError, match="more than 8 bits a channel"):
        read_image(tmp_path / "x.tif")
    with Image.open(tmp_path / "x.tif") as image:
        image.load()  # before it is given
    with pytest.raises(InvalidImageError, match="more than 8 bits a channel"):
        Tiles([image])[0]


def test_tiff_of_signed_integers_is_refused(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(tmp_path / "x.tif", TILE[..., 0].astype(np.int8))
    with pytest.raises(InvalidImageError, match=r"x\.tif holds no unsigned integers \(SampleFormat 2\)"):
        read_image(tmp_path / "x.tif")


@pytest.mark.parametrize("levels", [255, 1023, 65535])
def test_ppm_of_more_than_256_levels_is_refused(tmp_path, levels):
    pixels = (TILE.astype(np.uint32) * levels // 255).astype("u1" if levels == 255 else ">u2")
    height, width, _ = TILE.shape
    (tmp_path / "x.ppm").write_bytes(b"P6\n%d %d\n%d\n" % (width, height, levels) + pixels.tobytes())
    if levels == 255:
        assert np.array_equal(read_image(tmp_path / "x.ppm"), TILE)
    else:
        with pytest.raises(InvalidImageError, match="more than 8 bits a channel"):
            read_image(tmp_path / "x.ppm")


def test_deep_avif_is_refused(tmp_path):
    codecs = pytest.importorskip("imagecodecs")
    if "AVIF" not in {*Image.registered_extensions().values()}:
        pytest.skip("this Pillow reads no AVIF")
    (tmp_path / "deep.avif").write_bytes(codecs.avif_encode(TILE.astype(np.uint16) * 4, bitspersample=10))
    (tmp_path / "x.avif").write_bytes(codecs.avif_encode(TILE, level=100))
    with pytest.raises(InvalidImageError, match="more than 8 bits a channel"):
        read_image(tmp_path / "deep.avif")
    assert read_image(tmp_path / "x.avif").shape == TILE.shape


@pytest.mark.parametrize("channels", [1, 3])
def test_deep_jpeg_2000_is_refused(tmp_path, channels):
    """Pillow drops the low bits of three channels when it decodes."""
    codecs = pytest.importorskip("imagecodecs")
    for dtype, path in ((np.uint16, tmp_path / "deep.jp2"), (np.uint8, tmp_path / "x.jp2")):
        pixels = np.arange(64 * 64 * channels).reshape(64, 64, channels).astype(dtype).squeeze()
        path.write_bytes(codecs.jpeg2k_encode(pixels, level=0))
    with pytest.raises(InvalidImageError, match="more than 8 bits a channel"):
        read_image(tmp_path / "deep.jp2")
    assert np.array_equal(
        read_image(tmp_path / "x.jp2"), np.repeat(pixels[..., None], 3, -1) if channels == 1 else pixels
    )


def pages(path, kinds):
    """A TIFF of pages of these kinds: "full", or "reduced" to half the size."""
    with TiffImagePlugin.AppendingTiffWriter(str(path), new=True) as file:
        for number, kind in enumerate(kinds):
            page = PICTURE if kind == "full" else PICTURE.resize((24, 32))
            page.save(file, format="TIFF", tiffinfo={254: 0 if kind == "full" else 1}, dpi=(300 + number,) * 2)
            file.newFrame()
    return path


@pytest.mark.parametrize("kinds", [["full", "reduced", "reduced"], ["reduced", "full"]])
def test_the_one_full_page_of_a_tiff_is_the_picture(tmp_path, kinds):
    found, facts = read_image_and_facts(pages(tmp_path / "x.tif", kinds))
    assert np.array_equal(found, TILE)
    assert facts.dpi == (300 + kinds.index("full"),) * 2


def test_the_first_picture_of_a_camera_is_read(tmp_path):
    exif = PICTURE.getexif()
    exif[0x112] = 6
    preview = PICTURE.resize((24, 32)).point(lambda value: 255 - value)
    path = save(PICTURE, tmp_path / "x.jpg", format="MPO", save_all=True, append_images=[preview], exif=exif)
    with Image.open(path) as image:
        assert (image.format, image.n_frames) == ("MPO", 2)
        assert np.array_equal(read_image(path), np.asarray(ImageOps.exif_transpose(image).convert("RGB")))


@pytest.mark.parametrize(("channels", "photometric"), [(5, "rgb"), (2, "minisblack"), (3, "minisblack")])
def test_channels_that_would_be_dropped_are_refused(tmp_path, channels, photometric):
    tifffile = pytest.importorskip("tifffile")
    pixels = np.random.default_rng(0).integers(0, 255, (16, 16, channels), np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric=photometric, planarconfig="contig", extrasamples=None)
    with pytest.raises(InvalidImageError, match=rf"a.tif (holds {channels} channels|cannot be read)"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("name", "count"),
    [("pages.tif", 3), ("animated.gif", 2), ("animated.png", 2), ("animated.webp", 2), ("reduced.tif", 2)],
)
def test_several_pictures_are_refused_by_their_number(tmp_path, name, count):
    path = tmp_path / name
    if name.endswith(".tif"):
        pages(path, ["full"] * 3 if name == "pages.tif" else ["reduced"] * 2)
    else:
        PICTURE.save(path, save_all=True, append_images=[Image.fromarray(255 - TILE)])
    with pytest.raises(InvalidImageError, match=rf"{name} holds {count} images; save the one you want"):
        read_image(path)


def test_interlaced_png_is_read(tmp_path):
    """Pillow writes none: eight by eight pixels in Adam7, by hand."""
    tile = TILE[:8, :8]
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    rows = b"".join(b"\0" + row.tobytes() for y, x, dy, dx in passes for row in tile[y::dy, x::dx])

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 1)
    data = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    (tmp_path / "x.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    assert np.array_equal(read_image(tmp_path / "x.png"), tile)


def test_progressive_jpeg_is_read(tmp_path):
    plain, progressive = (read_image(save(PICTURE, tmp_path / f"{p}.jpg", progressive=p)) for p in (False, True))
    assert np.array_equal(plain, progressive)


def test_lab_becomes_srgb(tmp_path):
    rgb, lab = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
    path = save(ImageCms.profileToProfile(PICTURE, rgb, lab, outputMode="LAB"), tmp_path / "x.tif")
    assert np.abs(read_image(path).astype(int) - TILE).mean() < 2


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns of damaged TIFF tags before it gives up
@pytest.mark.parametrize("suffix", [*FORMATS, "bmp"])
@pytest.mark.parametrize("share", [0, 0.01, 0.1, 0.5, 0.9])
def test_truncated_files_are_refused(tmp_path, suffix, share):
    whole = save(Image.fromarray(he_image(0, 40, 40)), tmp_path / f"whole.{suffix}").read_bytes()
    path = tmp_path / f"cut.{suffix}"
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(InvalidImageError, match="cannot be read as an image"):
        read_image(path)
    with pytest.raises(InvalidImageError, match="cut"):
        list(Tiles(path))


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")
@pytest.mark.parametrize("suffix", [*FORMATS, "bmp", "gif", "webp"])
def test_flipped_bytes_are_an_image_or_an_error_of_ours(tmp_path, suffix):
    whole = save(PICTURE, tmp_path / f"whole.{suffix}", dpi=(300, 300)).read_bytes()
    path, rng = tmp_path / f"x.{suffix}", np.random.default_rng(0)
    for _ in range(60):
        data = np.frombuffer(whole, np.uint8).copy()
        data[rng.integers(0, min(len(data), 400), 4)] = rng.integers(0, 256, 4)
        path.write_bytes(data.tobytes())
        try:
            found = read_image(path)
        except InvalidImageError:
            continue
        assert (found.ndim, found.shape[-1], found.dtype) == (3, 3, np.uint8)


def test_what_is_no_image_is_refused(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    os.mkfifo(tmp_path / "pipe.png")
    for path in ("text.png", "missing.png", "pipe.png", "", "a\0b"):
        with pytest.raises(InvalidImageError, match="cannot be read as an image"):
            read_image(f"{tmp_path}/{path}")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
def test_more_pixels_than_pillow_allows_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InvalidImageError, match="decompression bomb"):
        read_image(save(PICTURE, tmp_path / "x.png"))


@pytest.mark.parametrize("change", ["grows", "shrinks"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path, monkeypatch, change):
    path = save(PICTURE, tmp_path / "x.png")
    decoded = images.decoded

    def slowly(file, name):
        found = decoded(file, name)
        os.truncate(path, path.stat().st_size + (100 if change == "grows" else -100))
        return found

    monkeypatch.setattr(images, "decoded", slowly)
    with pytest.raises(InvalidImageError, match="changed while it was read"):
        read_image(path)


# ---------------------------------------------------------------- what is carried over


@pytest.fixture(scope="session")
def state():
    return sx.Macenko.fit(pair(1, 64, ("a",), 1)[0][0]).state()


def normalized(state, source, suffix=None):
    """What ``apply`` makes of a file."""
    target = source.with_name("out") / (source.stem + (suffix or source.suffix))
    outcome = FileWork(state)(Job(source, target))
    assert outcome.status in ("normalized", "blank"), outcome.message
    return target


PROFILES = {
    "none": (None, None),
    "of RGB": (profile(), srgb_profile()),
    "of gray": (profile("GRAY"), None),
    "no profile": (b"no profile", None),
}


@pytest.mark.parametrize("name", PROFILES)
@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("read", FORMATS)
def test_profile_and_resolution_are_carried_over(tmp_path, state, read, written, name):
    given, expected = PROFILES[name]
    source = save(PICTURE, tmp_path / f"x.{read}", icc_profile=given, dpi=(300, 600))
    target = normalized(state, source, f".{written}")
    with Image.open(target) as image:
        assert image.info.get("icc_profile") == expected
        assert image.info["dpi"] == pytest.approx((300, 600), abs=0.1)
    plain = normalized(state, save(PICTURE, tmp_path / f"y.{read}"), f".{written}")
    assert np.array_equal(read_image(target), read_image(plain))  # a profile is not applied
    with Image.open(plain) as image:
        assert "icc_profile" not in image.info
        assert image.format == "TIFF" or "dpi" not in image.info


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_tile_that_stays_as_it_is_keeps_its_profile(tmp_path, state, suffix):
    source = save(Image.new("RGB", (40, 40), (243, 243, 243)), tmp_path / f"x.{suffix}", icc_profile=profile())
    with Image.open(normalized(state, source)) as image:
        assert image.info["icc_profile"] == profile()


def test_a_profile_of_cmyk_is_applied(tmp_path, monkeypatch, state):
    """No tool of ours makes one: that it is asked for."""
    asked = []
    monkeypatch.setattr(
        ImageCms, "ImageCmsProfile", lambda file: asked.append(file.read()) or ImageCms.createProfile("sRGB")
    )
    monkeypatch.setattr(ImageCms, "profileToProfile", lambda image, *_, outputMode: image.convert(outputMode))
    source = save(PICTURE.convert("CMYK"), tmp_path / "x.tif", icc_profile=profile("CMYK"))
    found, facts = read_image_and_facts(source)
    assert asked == [profile("CMYK")]
    assert facts.icc is None
    assert found.shape == TILE.shape


@pytest.mark.parametrize("suffix", WRITTEN)
@pytest.mark.parametrize("dpi", [(72, 72), (25400, 12700), (101600, 101600)])
def test_resolution_is_told_in_every_file_type(tmp_path, suffix, dpi):
    """A pixel of 0.25 micrometers is 101600 dpi: more than JPEG can say per inch."""
    path = tmp_path / f"x{suffix}"
    write_image(path, TILE, FileFacts(dpi=dpi))
    assert read_image_and_facts(path)[1].dpi == pytest.approx(dpi, rel=2e-4)


def test_resolution_that_jpeg_cannot_tell_is_left_out(tmp_path):
    write_image(tmp_path / "x.jpg", TILE, FileFacts(dpi=(2e5, 2e5)))
    assert read_image_and_facts(tmp_path / "x.jpg")[1].dpi is None


@pytest.mark.parametrize("dpi", [(0, 0), (1, 1), (1e9, 300)])
def test_resolution_that_makes_no_sense_is_none(tmp_path, dpi):
    assert read_image_and_facts(save(PICTURE, tmp_path / "x.tif", dpi=dpi))[1].dpi is None


def private(suffix):
    """Options that put a name wherever Pillow can."""
    secret = "DOE^JANE"
    exif = PICTURE.getexif()
    exif[0x10E] = exif[0x13B] = exif[0x8298] = exif[0x9C9B] = secret
    exif.get_ifd(0x8825)[29] = secret
    options = {"exif": exif}
    if suffix == "png":
        text = PngImagePlugin.PngInfo()
        for add in (text.add_text, text.add_itxt):
            add("Comment", secret)
        text.add_text("Description", secret, zip=False)
        options |= {"pnginfo": text}
    elif suffix == "jpg":
        options |= {"comment": secret, "xmp": secret.encode()}
    else:
        options |= {"description": secret, "artist": secret, "tiffinfo": {700: secret.encode(), 270: secret}}
    return secret.encode(), options


@pytest.mark.parametrize("written", FORMATS)
@pytest.mark.parametrize("read", FORMATS)
def test_nothing_else_is_carried_over(tmp_path, state, read, written):
    secret, options = private(read)
    source = save(PICTURE, tmp_path / f"x.{read}", **options)
    assert secret in source.read_bytes()
    target = normalized(state, source, f".{written}")
    assert secret not in target.read_bytes()
    with Image.open(target) as image:
        assert image.info.keys() <= {"Software", "comment", "compression", "dpi", "jfif", "jfif_density"} | (
            {"jfif_unit", "jfif_version", "resolution"}
        )
        assert note_of(target).startswith(f"stainxform {sx.__version__} ")


def test_a_profile_is_told_from_what_is_none():
    assert [space_of(given) for given in (None, b"", b"x" * 200, srgb_profile())] == ["", "", "", "RGB"]


# ---------------------------------------------------------------- what is written


@pytest.mark.parametrize("suffix", WRITTEN)
def test_written_images_read_back(tmp_path, suffix):
    path = tmp_path / f"x{suffix.upper()}"
    write_image(path, TILE, note="a note")
    difference = np.abs(read_image(path).astype(int) - TILE)
    assert difference.mean() < 5 if "j" in suffix else difference.max() == 0  # JPEG is lossy
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    assert note_of(path) == "a note"


def test_the_note_of_what_has_none_is_empty(tmp_path):
    (tmp_path / "text.png").write_text("no image")
    for path in (
        tmp_path / "missing.png",
        tmp_path / "text.png",
        save(PICTURE, tmp_path / "x.jpg", comment=b"\xff\xfe"),
    ):
        assert not note_of(path).startswith("stainxform")


def test_an_unknown_suffix_cannot_be_written(tmp_path):
    with pytest.raises(ParameterError, match=r"cannot write '.webp' files; use one of: .png"):
        encode_image(TILE, ".webp")
    with pytest.raises(ParameterError):
        write_image(tmp_path / "x.svs", TILE)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------- the page

HELD_BY = {
    "gray, 1 bit, a palette": test_modes_become_rgb,
    "alpha, or a color that stands for transparent": test_transparency_is_laid_over_white,
    "an EXIF orientation": test_pictures_are_turned_upright_once,
    "an ICC profile of RGB": test_profile_and_resolution_are_carried_over,
    "CMYK, Lab": test_lab_becomes_srgb,
    "a resolution": test_resolution_is_told_in_every_file_type,
    "anything else: names, dates, comments, places, XMP, gamma, thumbnails": test_nothing_else_is_carried_over,
    "more than 8 bits a channel, signed integers, floats": test_deep_tiff_is_refused,
    "JPEG of a camera with previews (MPO)": test_the_first_picture_of_a_camera_is_read,
    "TIFF whose other pages are smaller versions of one": test_the_one_full_page_of_a_tiff_is_the_picture,
    "TIFF with more channels than RGB and one more, or gray and one more": test_channels_that_would_be_dropped_are_refused,
    "several pages or frames": test_several_pictures_are_refused_by_their_number,
    "cut off, damaged, no image, more than 178,956,970 pixels": test_truncated_files_are_refused,
}
"""Rows of the page, and what holds them."""


def rows(heading):
    """First cells of the table under a heading of the page."""
    section = PAGE.read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    cells = [line.split(" | ")[0].removeprefix("| ") for line in section.splitlines() if line.startswith("| ")]
    return cells[1:]


def test_every_row_of_the_page_has_a_test():
    assert rows("Image files") == list(HELD_BY)
    assert 2 * Image.MAX_IMAGE_PIXELS == 178_956_970


def test_gamma_of_png_is_not_applied(tmp_path, state):
    info = PngImagePlugin.PngInfo()
    info.add(b"gAMA", struct.pack(">I", 100000))
    source = save(PICTURE, tmp_path / "x.png", pnginfo=info)
    with Image.open(source) as image:
        assert image.info["gamma"] == 1
    assert np.array_equal(read_image(source), TILE)
    with Image.open(io.BytesIO(normalized(state, source).read_bytes())) as image:
        assert "gamma" not in image.info
