"""Written by .ci/stubs.py: the classes of stainxform.torchvision, as they follow from the registries."""

from collections.abc import Hashable, Sequence
from pathlib import Path

from stainxform.augment.base import Interval
from stainxform.augment.randstainna import ColorStatistics
from stainxform.image.blank import OnBlank
from stainxform.image.layout import ValueRange
from stainxform.normalizers.base import Normalizer
from stainxform.torchvision.augment import RandAugmentation
from stainxform.torchvision.normalize import StainNormalize

__all__ = [
    "ColorNormNet",
    "HistogramMatching",
    "Khan",
    "Macenko",
    "Ramakrishnan",
    "RandAugmentation",
    "RandBrightnessContrast",
    "RandHED",
    "RandHSV",
    "RandStainGrayscale",
    "RandStainJitter",
    "RandStainNA",
    "RandStainStyle",
    "Reinhard",
    "ReinhardModified",
    "StainGAN",
    "StainLUT",
    "StainNet",
    "StainNormalize",
    "Transport",
    "Vahadane",
]

class ColorNormNet(StainNormalize):
    """One CIELAB offset for an image or a slide, predicted by a self-supervised network: :class:`StainNormalize` for ColorNormNet models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: ColorNormNet, ISBI 2021, arXiv 2011.15000 (reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class HistogramMatching(StainNormalize):
    """Cumulative histogram of each RGB channel (baseline): :class:`StainNormalize` for HistogramMatching models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Gonzalez and Woods, Digital Image Processing, section 3.3.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Khan(StainNormalize):
    """Stain color descriptor, pixel classifier, and a spline for each stain: :class:`StainNormalize` for Khan models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Khan et al., IEEE TBME 61(6), 2014 (classifier reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Macenko(StainNormalize):
    """Stain matrix from robust extreme angles: :class:`StainNormalize` for Macenko models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Macenko et al., ISBI 2009.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Ramakrishnan(StainNormalize):
    """Median of the sparse stain matrices of a slide's tiles, measured below its own glass: :class:`StainNormalize` for Ramakrishnan models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Ramakrishnan et al., arXiv 1901.03088, 2019.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Reinhard(StainNormalize):
    """Mean and standard deviation in CIELAB or l-alpha-beta: :class:`StainNormalize` for Reinhard models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Reinhard et al., IEEE CG&A 21(5), 2001.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class ReinhardModified(StainNormalize):
    """Mean of the color channels; lightness keeps its mean and is stretched: :class:`StainNormalize` for ReinhardModified models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Roy et al., EUSIPCO 2021.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class StainGAN(StainNormalize):
    """CycleGAN between two centers (needs tiles of both): :class:`StainNormalize` for StainGAN models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Shaban et al., arXiv 1804.01601, 2018.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class StainLUT(StainNormalize):
    """Self-supervised colorization of the gray image through a fused 4D LUT: :class:`StainNormalize` for StainLUT models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class StainNet(StainNormalize):
    """Any normalizer distilled into a 1x1 network, hence into a LUT (needs a teacher): :class:`StainNormalize` for StainNet models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Kang et al., Frontiers in Medicine 8, 2021.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Transport(StainNormalize):
    """Linear optimal transport of tissue color, in optical density: :class:`StainNormalize` for Transport models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Pitie and Kokaram, CVMP 2007.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class Vahadane(StainNormalize):
    """Sparse non-negative factorization into two stains: :class:`StainNormalize` for Vahadane models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Vahadane et al., IEEE TMI 35(8), 2016.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
        group_key: Hashable | None = None,
    ) -> None: ...

class RandBrightnessContrast(RandAugmentation):
    """Changed brightness, and contrast about the image's mean gray, at random.

    Draws from :class:`stainxform.augment.BrightnessContrast`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    brightness, contrast : (float, float), optional
        (low, high) of the factors, within 0..10; 1 changes nothing.
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        brightness: Interval | None = None,
        contrast: Interval | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandHED(RandAugmentation):
    """Scaled and shifted hematoxylin, eosin and DAB, with fixed stain vectors, at random.

    Draws from :class:`stainxform.augment.HED`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: Tellez et al., IEEE TMI 37(9), 2018; Medical Image Analysis 58, 2019.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    sigma, bias : (float, float), optional
        (low, high), within -1..1; drawn for each stain by itself.
    definition : str, optional
        "legacy" (-ln(I + 2), scikit-image up to 0.17; the published ranges are meant for it) or "current" (scikit-image
        since 0.19). Ranges do not carry over: in "current" the same sigma changes colors much less and the same bias
        twice as much; and colors that the three stains cannot mix change in every draw.
    cutoff : (float, float), optional
        An image whose mean, in 0..1, lies outside is left as it is: mostly glass, or mostly black.
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        sigma: Interval | None = None,
        bias: Interval | None = None,
        definition: str | None = None,
        cutoff: Interval | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandHSV(RandAugmentation):
    """Turned hue and changed saturation, at random.

    Draws from :class:`stainxform.augment.HSV`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    hue : (float, float), optional
        (low, high), in turns, within -1..1.
    saturation : (float, float), optional
        (low, high), within -1..1; -1 is gray.
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        hue: Interval | None = None,
        saturation: Interval | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainNA(RandAugmentation):
    """Reinhard normalization to a target drawn from a training set's variation, at random.

    Draws from :class:`stainxform.augment.RandStainNA`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: Shen et al., MICCAI 2022, arXiv 2206.12694.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    model : str, Path or ColorStatistics
        The fitted :class:`ColorStatistics`, or the path of their file. The file is read once, now.
    spread : float, optional
        Multiplies the spread of the distribution; the authors' std_hyper is spread - 1.
    distribution : str, optional
        "normal" or "laplace" (with the standard deviation as its scale, as in the authors' code).
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        model: str | Path | ColorStatistics | None = None,
        spread: float | None = None,
        distribution: str | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainGrayscale(RandAugmentation):
    """Gray image, three times: the baseline without color, at random.

    Draws from :class:`stainxform.augment.StainGrayscale`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: ITU-R BT.601; as a baseline in Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainJitter(RandAugmentation):
    """Scaled and shifted hematoxylin and eosin, with the image's own stain vectors, at random.

    Draws from :class:`stainxform.augment.StainJitter`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: StainTools (Byfield 2018); Macenko et al., ISBI 2009, for the stain vectors.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    sigma, bias : (float, float), optional
        (low, high), within -1..1; drawn for each stain by itself. The bias is an optical density, natural logarithm.
    estimator : str, optional
        What estimates the image's stain matrix, a name in ``stainxform.stains.ESTIMATORS``.
    stain_matrix : str or tuple of tuple of float, optional
        Instead of an estimate: the name of published stains ("he", "hdab", ..., see
        :func:`stainxform.stains.references.reference_stains`), or three rows (red, green, blue) of two optical
        densities, which are scaled to unit length.
    residual : bool, optional
        Keep what the two stains cannot explain (pigment, blood, ink; a neutral draw then changes nothing), or drop it,
        which moves every color into the plane of the two stains, as StainTools does.
    tissue_only : bool, optional
        Leave glass and black as they are (StainTools' default).
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        preset: str | None = None,
        sigma: Interval | None = None,
        bias: Interval | None = None,
        estimator: str | None = None,
        stain_matrix: str | tuple[tuple[float, ...], ...] | None = None,
        residual: bool | None = None,
        tissue_only: bool | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainStyle(RandAugmentation):
    """Normalization to a center, or a mixture of two, drawn from several, at random.

    Draws from :class:`stainxform.augment.StainStyle`.

    All images and frames of a call get the same draw; masks, boxes and labels are left alone. Images are found as by
    :class:`StainNormalize`.

    Source: stainxform; any fitted pointwise method.

    Parameters
    ----------
    models : sequence of (str, Path or Normalizer)
        Fitted normalizers of pointwise methods (Macenko, Reinhard, ...), or the paths of their model files. The files
        are read once, now.
    interpolate : bool, optional
        Draw two centers and a weight, and go between their results.
    p : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        models: Sequence[str | Path | Normalizer] | None = None,
        interpolate: bool | None = None,
        p: float = 0.5,
        value_range: ValueRange = (0, 1),
        on_blank: OnBlank = "keep",
    ) -> None: ...
