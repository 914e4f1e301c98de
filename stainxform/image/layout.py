"""Images in and out: layouts, dtypes and value ranges, checked once and restored exactly.

numpy images are ``(H, W, 3)`` or ``(N, H, W, 3)``, torch images ``(..., 3, H, W)``, unless ``channel_axis`` says
otherwise. uint8 means 0..255; floats carry an explicit ``value_range``. The range is never guessed from the data.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from stainxform._native import native
from stainxform._native.kernels import Kernel, recolor
from stainxform._optional import is_tensor
from stainxform.color import Planes
from stainxform.errors import InvalidImageError, ParameterError

__all__ = [
    "BLOCK_PIXELS",
    "Image",
    "ImageSpec",
    "ValueRange",
    "as_numpy",
    "blocks",
    "check_image",
    "check_range",
    "each_image",
    "like",
    "map_pixels",
    "read_planes",
    "rewrap",
    "working_dtype",
    "write_planes",
]

Image = Any
"""numpy array or torch tensor."""

ValueRange = tuple[float, float]

BLOCK_PIXELS = 1 << 15
"""Pixels worked on at once: few enough to stay in cache, many enough that numpy's overhead does not show."""


@dataclass(frozen=True)
class ImageSpec:
    """How the values of one image are stored."""

    channel_axis: int
    low: float
    high: float
    integer: bool

    @property
    def scale(self) -> float:
        """Width of the value range."""
        return self.high - self.low


def check_image(image: Image, value_range: ValueRange | None = None, channel_axis: int | None = None) -> ImageSpec:
    """Validate an image or a batch and describe it.

    Parameters
    ----------
    image : ndarray or Tensor
        numpy array ``(H, W, 3)`` or ``(N, H, W, 3)``, or torch tensor ``(..., 3, H, W)``; uint8 or float.
    value_range : (float, float), optional
        (low, high) of float images, default (0, 1). Ignored for uint8.
    channel_axis : int, optional
        Position of the channels, default -1 for numpy and -3 for torch.

    Raises
    ------
    InvalidImageError
        Wrong type, shape, dtype, NaN or infinite values, or values far outside the range.
    ParameterError
        A value range that is empty or not finite.
    """
    tensor = is_tensor(image)
    if not tensor and not isinstance(image, np.ndarray):
        raise InvalidImageError(f"expected a numpy array or a torch tensor, got {type(image).__name__}")
    if tensor and (image.is_meta or image.is_sparse or image.is_sparse_csr):
        raise InvalidImageError(
            f"expected pixels in memory, got a tensor on {image.device} of layout {image.layout}; pass a dense one"
        )
    axis = channel_axis if channel_axis is not None else (-3 if tensor else -1)
    shape = tuple(image.shape)
    if axis not in (-1, -3):
        raise ParameterError(f"channel_axis must be -1 (H, W, 3) or -3 (3, H, W), got {axis}")
    layout = "(..., 3, H, W)" if axis == -3 else "(..., H, W, 3)"
    if len(shape) < 3:
        raise InvalidImageError(
            f"expected an RGB image of shape {layout}, got shape {shape}; repeat a gray image 3 times"
        )
    if shape[axis] != 3:
        raise InvalidImageError(
            f"expected an RGB image of shape {layout}, got shape {shape}; {_shape_advice(shape, axis)}"
        )
    kind = str(image.dtype).removeprefix("torch.") if tensor else image.dtype.name  # big-endian floats, too
    if kind == "uint8":
        return ImageSpec(axis, 0.0, 255.0, True)
    if "float" not in kind:
        raise InvalidImageError(
            f"expected uint8 or float pixels, got {kind}; convert to uint8, or to float with value_range=(low, high)"
        )
    low, high = check_range(value_range)
    _check_values(image, low, high)
    return ImageSpec(axis, low, high, False)


def check_range(value_range: ValueRange | None) -> ValueRange:
    """(low, high) as finite floats, (0, 1) for None; ParameterError for anything else."""
    if value_range is None:
        return 0.0, 1.0
    try:
        low, high = (float(edge) for edge in value_range)
    except (TypeError, ValueError):
        low = high = float("nan")
    if isinstance(value_range, str) or not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise ParameterError(f"value_range must be (low, high), two numbers with low < high, got {value_range!r}")
    return low, high


def _shape_advice(shape: tuple[int, ...], axis: int) -> str:
    if shape[axis] == 4:
        return "drop the alpha channel first"
    if shape[axis] == 1:
        return "repeat the gray channel 3 times"
    other = -1 if axis == -3 else -3
    if shape[other] == 3:
        return "move the channels, or pass channel_axis"
    return "stain normalization needs red, green and blue"


def _check_values(image: Image, low: float, high: float) -> None:
    if 0 in image.shape:
        return
    image = image.detach() if is_tensor(image) else image
    lowest, highest = float(image.min()), float(image.max())
    if not (np.isfinite(lowest) and np.isfinite(highest)):  # NaN propagates through min and max
        raise InvalidImageError("the image holds NaN or infinite values; repair or drop it before normalization")
    # Interpolation and noise overshoot a little and are clipped; beyond half the range the range itself is wrong.
    slack = (high - low) / 2
    if lowest < low - slack or highest > high + slack:
        raise InvalidImageError(
            f"pixel values span {lowest:g}..{highest:g}, outside value_range=({low:g}, {high:g}); pass the true value_range"
        )
    if high - low >= 255 and 0 < highest <= 1 and bool(((image > 0) & (image < 1)).any()):
        raise InvalidImageError(
            f"pixel values are fractions of at most {highest:g} although value_range=({low:g}, {high:g}); "
            "pass value_range=(0, 1)"
        )


def as_numpy(image: Image) -> np.ndarray:
    """View a CPU tensor as numpy (bfloat16, which numpy lacks, is copied to float32); arrays pass through."""
    if not is_tensor(image):
        return np.asarray(image)
    import torch

    plain = image.detach().as_subclass(torch.Tensor).cpu().resolve_neg()
    return (plain.float() if plain.dtype == torch.bfloat16 else plain).numpy()


def working_dtype(dtype: np.dtype) -> np.dtype:
    """float64 for float64 images, float32 for all others."""
    return np.dtype(np.float64) if dtype == np.float64 else np.dtype(np.float32)


def read_planes(block: np.ndarray, spec: ImageSpec) -> np.ndarray:
    """Channels-first pixels ``(3, ...)`` to contiguous float planes in [0, 1], clipped."""
    planes = block.astype(working_dtype(block.dtype), order="C", copy=True)
    if not spec.integer:
        if spec.low:
            planes -= spec.low
        np.clip(planes, 0, spec.scale, out=planes)
    if spec.scale != 1.0:
        planes /= spec.scale
    return planes


def write_planes(planes: np.ndarray, out: np.ndarray, spec: ImageSpec) -> None:
    """Float planes, nominally [0, 1], into channels-first pixels: clipped, and rounded for uint8; NaN: ParameterError."""
    if np.isnan(planes).any():
        raise ParameterError("the map gives NaN: its numbers are too large, or make no sense; fit the model again")
    np.clip(planes, 0, 1, out=planes)
    if spec.scale != 1.0:
        planes *= spec.scale
    if spec.integer:
        np.rint(planes, out=planes)
    elif spec.low:
        planes += spec.low
    out[...] = planes.astype(out.dtype)


def blocks(channels_first: np.ndarray) -> Iterator[tuple[Any, ...]]:
    """Index tuples that cut ``(3, ..., H, W)`` into bands of rows of about BLOCK_PIXELS pixels."""
    *batch, height, width = channels_first.shape[1:]
    rows = max(1, BLOCK_PIXELS // max(1, width))
    for index in np.ndindex(*batch):
        for top in range(0, height, rows):
            yield (slice(None), *index, slice(top, top + rows))


def each_image(image: Image, function: Callable[[Image], Image]) -> Image:
    """Apply a function of one image to an image, or to each image of a batch by itself."""
    if len(image.shape) == 3:
        return function(image)
    if is_tensor(image):
        import torch

        plain = image.as_subclass(torch.Tensor)
        # flatten: unlike reshape(-1, ...) defined for images without pixels, too
        parts = list(map(function, plain.flatten(0, -4)))
        return rewrap(torch.stack(parts).reshape(plain.shape) if parts else plain.clone(), image)
    result = np.empty_like(image, order="C")
    for index in np.ndindex(*image.shape[:-3]):
        result[index] = function(image[index])
    return result


def map_pixels(
    image: Image,
    spec: ImageSpec,
    evaluate: Callable[[Planes], Planes],
    kernel: Kernel | None = None,
    levels: np.ndarray | None = None,
) -> Image:
    """Apply a function of color to every pixel; the result has the type, dtype, shape and device of ``image``.

    CPU tensors are computed by numpy on shared memory, so that numpy and torch hosts agree bit for bit. Tensors on
    other devices, and those that need gradients, are computed by torch; gradients flow through floats. Where there are
    compiled kernels, uint8 and float32 pixels go through ``kernel``; without one, and where ``levels`` are known, the
    distinct colors ``(3, K)`` of a uint8 image, and the kernel is a heavy one, each color is evaluated once.
    """
    if is_tensor(image) and (image.device.type != "cpu" or image.requires_grad):
        return _map_tensor(image, spec, evaluate)
    source = np.moveaxis(as_numpy(image), spec.channel_axis, 0)
    result = np.empty_like(as_numpy(image), order="C")
    target = np.moveaxis(result, spec.channel_axis, 0)
    if native.takes(source) and source.size and (kernel or spec.integer):
        known = levels is not None and spec.integer and source.ndim == 3 and 2 * levels.size < source.size
        for batch in np.ndindex(source.shape[1:-2]):
            index = (slice(None), *batch)
            if kernel and not (kernel.heavy and known):
                kernel(source[index], target[index], spec.low, spec.scale)
            else:
                recolor(source[index], target[index], _on_colors(evaluate, kernel, spec), levels if known else None)
        return like(result, image)
    for index in blocks(source):
        target[index] = _evaluate(source[index], spec, evaluate)
    return like(result, image)


def _on_colors(
    evaluate: Callable[[Planes], Planes], kernel: Kernel | None, spec: ImageSpec
) -> Callable[[np.ndarray], np.ndarray]:
    """A function of uint8 colors ``(3, K)``."""

    def colors_of(levels: np.ndarray) -> np.ndarray:
        if not kernel:
            return _evaluate(levels, spec, evaluate)
        result = np.empty_like(levels)
        kernel(levels[:, None], result[:, None], spec.low, spec.scale)
        return result

    return colors_of


def _evaluate(pixels: np.ndarray, spec: ImageSpec, evaluate: Callable[[Planes], Planes]) -> np.ndarray:
    """A function of color on channels-first pixels."""
    result = np.empty_like(pixels, order="C")
    write_planes(evaluate(read_planes(pixels, spec)), result, spec)
    return result


def _map_tensor(image: Any, spec: ImageSpec, evaluate: Callable[[Planes], Planes]) -> Any:
    import torch

    from stainxform._torch import undisturbed

    plain = image.as_subclass(torch.Tensor)
    planes = plain.movedim(spec.channel_axis, 0)
    planes = planes.to(torch.float64 if plain.dtype == torch.float64 else torch.float32)
    with undisturbed():
        planes = evaluate(((planes - spec.low) / spec.scale).clamp(0, 1)).clamp(0, 1) * spec.scale
    planes = planes.round() if spec.integer else planes + spec.low
    return rewrap(planes.to(plain.dtype).movedim(0, spec.channel_axis), image)


def like(result: np.ndarray, image: Image) -> Image:
    """Give a numpy result the type, dtype and device of ``image``."""
    if not is_tensor(image):
        return result
    import torch

    return rewrap(torch.from_numpy(result).to(image.device, image.dtype), image)


def rewrap(plain: Any, image: Any) -> Any:
    """Give a plain tensor the tensor subclass of ``image`` (MetaTensor, tv_tensors.Image) with its metadata."""
    import torch

    if type(image) is torch.Tensor:
        return plain
    wrapped = torch.empty_like(image.detach(), memory_format=torch.contiguous_format)
    if not isinstance(wrapped, type(image)):
        return plain.as_subclass(type(image))
    return wrapped.copy_(plain)
