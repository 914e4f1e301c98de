"""Written by .ci/stubs.py: the classes of stainxform.monai, as they follow from the registries."""

from collections.abc import Hashable, Sequence
from pathlib import Path

from monai.config.type_definitions import KeysCollection

from stainxform.augment.base import Interval
from stainxform.augment.randstainna import ColorStatistics
from stainxform.image.blank import OnBlank
from stainxform.image.layout import ValueRange
from stainxform.monai.augment import RandAugmentation, RandAugmentationd
from stainxform.monai.normalize import StainNormalize, StainNormalizeD, StainNormalized, StainNormalizeDict
from stainxform.monai.slides import SlideReader, WholeSlide
from stainxform.normalizers.base import Normalizer

__all__ = [
    "ColorNormNet",
    "ColorNormNetD",
    "ColorNormNetDict",
    "ColorNormNetd",
    "HistogramMatching",
    "HistogramMatchingD",
    "HistogramMatchingDict",
    "HistogramMatchingd",
    "Khan",
    "KhanD",
    "KhanDict",
    "Khand",
    "Macenko",
    "MacenkoD",
    "MacenkoDict",
    "Macenkod",
    "Ramakrishnan",
    "RamakrishnanD",
    "RamakrishnanDict",
    "Ramakrishnand",
    "RandAugmentation",
    "RandAugmentationd",
    "RandBrightnessContrast",
    "RandBrightnessContrastD",
    "RandBrightnessContrastDict",
    "RandBrightnessContrastd",
    "RandHED",
    "RandHEDD",
    "RandHEDDict",
    "RandHEDd",
    "RandHSV",
    "RandHSVD",
    "RandHSVDict",
    "RandHSVd",
    "RandStainGrayscale",
    "RandStainGrayscaleD",
    "RandStainGrayscaleDict",
    "RandStainGrayscaled",
    "RandStainJitter",
    "RandStainJitterD",
    "RandStainJitterDict",
    "RandStainJitterd",
    "RandStainNA",
    "RandStainNAD",
    "RandStainNADict",
    "RandStainNAd",
    "RandStainStyle",
    "RandStainStyleD",
    "RandStainStyleDict",
    "RandStainStyled",
    "Reinhard",
    "ReinhardD",
    "ReinhardDict",
    "ReinhardModified",
    "ReinhardModifiedD",
    "ReinhardModifiedDict",
    "ReinhardModifiedd",
    "Reinhardd",
    "SlideReader",
    "StainGAN",
    "StainGAND",
    "StainGANDict",
    "StainGANd",
    "StainLUT",
    "StainLUTD",
    "StainLUTDict",
    "StainLUTd",
    "StainNet",
    "StainNetD",
    "StainNetDict",
    "StainNetd",
    "StainNormalize",
    "StainNormalizeD",
    "StainNormalizeDict",
    "StainNormalized",
    "Transport",
    "TransportD",
    "TransportDict",
    "Transportd",
    "Vahadane",
    "VahadaneD",
    "VahadaneDict",
    "Vahadaned",
    "WholeSlide",
]

class ColorNormNet(StainNormalize):
    """One CIELAB offset for an image or a slide, predicted by a self-supervised network: :class:`StainNormalize` for ColorNormNet models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: ColorNormNet, ISBI 2021, arXiv 2011.15000 (reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class ColorNormNetd(StainNormalized):
    """One CIELAB offset for an image or a slide, predicted by a self-supervised network: :class:`StainNormalized` for ColorNormNet models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: ColorNormNet, ISBI 2021, arXiv 2011.15000 (reconstructed).
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

ColorNormNetD = ColorNormNetd

ColorNormNetDict = ColorNormNetd

class HistogramMatching(StainNormalize):
    """Cumulative histogram of each RGB channel (baseline): :class:`StainNormalize` for HistogramMatching models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Gonzalez and Woods, Digital Image Processing, section 3.3.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class HistogramMatchingd(StainNormalized):
    """Cumulative histogram of each RGB channel (baseline): :class:`StainNormalized` for HistogramMatching models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Gonzalez and Woods, Digital Image Processing, section 3.3.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

HistogramMatchingD = HistogramMatchingd

HistogramMatchingDict = HistogramMatchingd

class Khan(StainNormalize):
    """Stain color descriptor, pixel classifier, and a spline for each stain: :class:`StainNormalize` for Khan models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Khan et al., IEEE TBME 61(6), 2014 (classifier reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Khand(StainNormalized):
    """Stain color descriptor, pixel classifier, and a spline for each stain: :class:`StainNormalized` for Khan models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Khan et al., IEEE TBME 61(6), 2014 (classifier reconstructed).
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

KhanD = Khand

KhanDict = Khand

class Macenko(StainNormalize):
    """Stain matrix from robust extreme angles: :class:`StainNormalize` for Macenko models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Macenko et al., ISBI 2009.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Macenkod(StainNormalized):
    """Stain matrix from robust extreme angles: :class:`StainNormalized` for Macenko models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Macenko et al., ISBI 2009.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

MacenkoD = Macenkod

MacenkoDict = Macenkod

class Ramakrishnan(StainNormalize):
    """Median of the sparse stain matrices of a slide's tiles, measured below its own glass: :class:`StainNormalize` for Ramakrishnan models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Ramakrishnan et al., arXiv 1901.03088, 2019.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Ramakrishnand(StainNormalized):
    """Median of the sparse stain matrices of a slide's tiles, measured below its own glass: :class:`StainNormalized` for Ramakrishnan models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Ramakrishnan et al., arXiv 1901.03088, 2019.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

RamakrishnanD = Ramakrishnand

RamakrishnanDict = Ramakrishnand

class Reinhard(StainNormalize):
    """Mean and standard deviation in CIELAB or l-alpha-beta: :class:`StainNormalize` for Reinhard models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Reinhard et al., IEEE CG&A 21(5), 2001.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Reinhardd(StainNormalized):
    """Mean and standard deviation in CIELAB or l-alpha-beta: :class:`StainNormalized` for Reinhard models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Reinhard et al., IEEE CG&A 21(5), 2001.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

ReinhardD = Reinhardd

ReinhardDict = Reinhardd

class ReinhardModified(StainNormalize):
    """Mean of the color channels; lightness keeps its mean and is stretched: :class:`StainNormalize` for ReinhardModified models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Roy et al., EUSIPCO 2021.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class ReinhardModifiedd(StainNormalized):
    """Mean of the color channels; lightness keeps its mean and is stretched: :class:`StainNormalized` for ReinhardModified models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Roy et al., EUSIPCO 2021.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

ReinhardModifiedD = ReinhardModifiedd

ReinhardModifiedDict = ReinhardModifiedd

class StainGAN(StainNormalize):
    """CycleGAN between two centers (needs tiles of both): :class:`StainNormalize` for StainGAN models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Shaban et al., arXiv 1804.01601, 2018.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class StainGANd(StainNormalized):
    """CycleGAN between two centers (needs tiles of both): :class:`StainNormalized` for StainGAN models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Shaban et al., arXiv 1804.01601, 2018.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

StainGAND = StainGANd

StainGANDict = StainGANd

class StainLUT(StainNormalize):
    """Self-supervised colorization of the gray image through a fused 4D LUT: :class:`StainNormalize` for StainLUT models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed).
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class StainLUTd(StainNormalized):
    """Self-supervised colorization of the gray image through a fused 4D LUT: :class:`StainNormalized` for StainLUT models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: StainLUT, npj Digital Medicine 2025, doi 10.1038/s41746-025-02196-8 (reconstructed).
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

StainLUTD = StainLUTd

StainLUTDict = StainLUTd

class StainNet(StainNormalize):
    """Any normalizer distilled into a 1x1 network, hence into a LUT (needs a teacher): :class:`StainNormalize` for StainNet models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Kang et al., Frontiers in Medicine 8, 2021.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class StainNetd(StainNormalized):
    """Any normalizer distilled into a 1x1 network, hence into a LUT (needs a teacher): :class:`StainNormalized` for StainNet models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Kang et al., Frontiers in Medicine 8, 2021.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

StainNetD = StainNetd

StainNetDict = StainNetd

class Transport(StainNormalize):
    """Linear optimal transport of tissue color, in optical density: :class:`StainNormalize` for Transport models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Pitie and Kokaram, CVMP 2007.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Transportd(StainNormalized):
    """Linear optimal transport of tissue color, in optical density: :class:`StainNormalized` for Transport models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Pitie and Kokaram, CVMP 2007.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

TransportD = Transportd

TransportDict = Transportd

class Vahadane(StainNormalize):
    """Sparse non-negative factorization into two stains: :class:`StainNormalize` for Vahadane models only.

    Takes the arguments of :class:`StainNormalize`; a model of another method raises ParameterError.

    Source: Vahadane et al., IEEE TMI 35(8), 2016.
    """

    def __init__(
        self,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class Vahadaned(StainNormalized):
    """Sparse non-negative factorization into two stains: :class:`StainNormalized` for Vahadane models only.

    Takes the arguments of :class:`StainNormalized`; a model of another method raises ParameterError.

    Source: Vahadane et al., IEEE TMI 35(8), 2016.
    """

    def __init__(
        self,
        keys: KeysCollection,
        model: str | Path | Normalizer,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
        group_key: Hashable | None = None,
    ) -> None: ...

VahadaneD = Vahadaned

VahadaneDict = Vahadaned

class RandBrightnessContrast(RandAugmentation):
    """Changed brightness, and contrast about the image's mean gray, at random.

    Draws from :class:`stainxform.augment.BrightnessContrast`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    brightness, contrast : (float, float), optional
        (low, high) of the factors, within 0..10; 1 changes nothing.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
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
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandBrightnessContrastd(RandAugmentationd):
    """Changed brightness, and contrast about the image's mean gray, at random.

    Draws from :class:`stainxform.augment.BrightnessContrast`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    preset : str, optional
        A strength by name: light, strong.
    brightness, contrast : (float, float), optional
        (low, high) of the factors, within 0..10; 1 changes nothing.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        preset: str | None = None,
        brightness: Interval | None = None,
        contrast: Interval | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandBrightnessContrastD = RandBrightnessContrastd

RandBrightnessContrastDict = RandBrightnessContrastd

class RandHED(RandAugmentation):
    """Scaled and shifted hematoxylin, eosin and DAB, with fixed stain vectors, at random.

    Draws from :class:`stainxform.augment.HED`.

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
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
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
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandHEDd(RandAugmentationd):
    """Scaled and shifted hematoxylin, eosin and DAB, with fixed stain vectors, at random.

    Draws from :class:`stainxform.augment.HED`.

    Source: Tellez et al., IEEE TMI 37(9), 2018; Medical Image Analysis 58, 2019.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
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
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        preset: str | None = None,
        sigma: Interval | None = None,
        bias: Interval | None = None,
        definition: str | None = None,
        cutoff: Interval | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandHEDD = RandHEDd

RandHEDDict = RandHEDd

class RandHSV(RandAugmentation):
    """Turned hue and changed saturation, at random.

    Draws from :class:`stainxform.augment.HSV`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    preset : str, optional
        A strength by name: light, strong.
    hue : (float, float), optional
        (low, high), in turns, within -1..1.
    saturation : (float, float), optional
        (low, high), within -1..1; -1 is gray.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
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
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandHSVd(RandAugmentationd):
    """Turned hue and changed saturation, at random.

    Draws from :class:`stainxform.augment.HSV`.

    Source: Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    preset : str, optional
        A strength by name: light, strong.
    hue : (float, float), optional
        (low, high), in turns, within -1..1.
    saturation : (float, float), optional
        (low, high), within -1..1; -1 is gray.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        preset: str | None = None,
        hue: Interval | None = None,
        saturation: Interval | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandHSVD = RandHSVd

RandHSVDict = RandHSVd

class RandStainNA(RandAugmentation):
    """Reinhard normalization to a target drawn from a training set's variation, at random.

    Draws from :class:`stainxform.augment.RandStainNA`.

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
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
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
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainNAd(RandAugmentationd):
    """Reinhard normalization to a target drawn from a training set's variation, at random.

    Draws from :class:`stainxform.augment.RandStainNA`.

    Source: Shen et al., MICCAI 2022, arXiv 2206.12694.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    preset : str, optional
        A strength by name: light, strong.
    model : str, Path or ColorStatistics
        The fitted :class:`ColorStatistics`, or the path of their file. The file is read once, now.
    spread : float, optional
        Multiplies the spread of the distribution; the authors' std_hyper is spread - 1.
    distribution : str, optional
        "normal" or "laplace" (with the standard deviation as its scale, as in the authors' code).
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        preset: str | None = None,
        model: str | Path | ColorStatistics | None = None,
        spread: float | None = None,
        distribution: str | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandStainNAD = RandStainNAd

RandStainNADict = RandStainNAd

class RandStainGrayscale(RandAugmentation):
    """Gray image, three times: the baseline without color, at random.

    Draws from :class:`stainxform.augment.StainGrayscale`.

    Source: ITU-R BT.601; as a baseline in Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainGrayscaled(RandAugmentationd):
    """Gray image, three times: the baseline without color, at random.

    Draws from :class:`stainxform.augment.StainGrayscale`.

    Source: ITU-R BT.601; as a baseline in Tellez et al., Medical Image Analysis 58, 2019.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandStainGrayscaleD = RandStainGrayscaled

RandStainGrayscaleDict = RandStainGrayscaled

class RandStainJitter(RandAugmentation):
    """Scaled and shifted hematoxylin and eosin, with the image's own stain vectors, at random.

    Draws from :class:`stainxform.augment.StainJitter`.

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
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
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
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainJitterd(RandAugmentationd):
    """Scaled and shifted hematoxylin and eosin, with the image's own stain vectors, at random.

    Draws from :class:`stainxform.augment.StainJitter`.

    Source: StainTools (Byfield 2018); Macenko et al., ISBI 2009, for the stain vectors.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
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
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        preset: str | None = None,
        sigma: Interval | None = None,
        bias: Interval | None = None,
        estimator: str | None = None,
        stain_matrix: str | tuple[tuple[float, ...], ...] | None = None,
        residual: bool | None = None,
        tissue_only: bool | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandStainJitterD = RandStainJitterd

RandStainJitterDict = RandStainJitterd

class RandStainStyle(RandAugmentation):
    """Normalization to a center, or a mixture of two, drawn from several, at random.

    Draws from :class:`stainxform.augment.StainStyle`.

    Source: stainxform; any fitted pointwise method.

    Parameters
    ----------
    models : sequence of (str, Path or Normalizer)
        Fitted normalizers of pointwise methods (Macenko, Reinhard, ...), or the paths of their model files. The files
        are read once, now.
    interpolate : bool, optional
        Draw two centers and a weight, and go between their results.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    """

    def __init__(
        self,
        *,
        models: Sequence[str | Path | Normalizer] | None = None,
        interpolate: bool | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
    ) -> None: ...

class RandStainStyled(RandAugmentationd):
    """Normalization to a center, or a mixture of two, drawn from several, at random.

    Draws from :class:`stainxform.augment.StainStyle`.

    Source: stainxform; any fitted pointwise method.

    Parameters
    ----------
    keys : hashable or sequence of hashable
        One key or several, of the images; all get the same draw.
    models : sequence of (str, Path or Normalizer)
        Fitted normalizers of pointwise methods (Macenko, Reinhard, ...), or the paths of their model files. The files
        are read once, now.
    interpolate : bool, optional
        Draw two centers and a weight, and go between their results.
    prob : float, optional
        Probability of applying it.
    value_range : (float, float), optional
        (low, high) of float images. The default is what LoadImage yields, float32 in 0..255; after ScaleIntensity pass
        ``(0, 1)``. Ignored for uint8.
    on_blank : {"keep", "warn", "raise"}, optional
        An image with too little tissue to estimate from is returned unchanged ("keep"), with a StainXformWarning
        ("warn"), or raises NotEnoughTissueError ("raise").
    allow_missing_keys : bool, optional
        Skip a key that is not in the data, instead of raising MissingKeyError, a KeyError.
    """

    def __init__(
        self,
        keys: KeysCollection,
        *,
        models: Sequence[str | Path | Normalizer] | None = None,
        interpolate: bool | None = None,
        prob: float = 0.5,
        value_range: ValueRange = (0, 255),
        on_blank: OnBlank = "keep",
        allow_missing_keys: bool = False,
    ) -> None: ...

RandStainStyleD = RandStainStyled

RandStainStyleDict = RandStainStyled
