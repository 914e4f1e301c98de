"""The public names, each imported from its home when it is first used: adding a line here makes a name public.

The classes of the methods follow from the registry: python .ci/stubs.py writes their lines.
"""

from ._native.native import set_threads as set_threads
from ._version import __version__ as __version__
from .image.glass import background_intensity as background_intensity
from .image.tissue import tissue_mask as tissue_mask
from .maps import ColorMap as ColorMap
from .maps import Lut3DMap as Lut3DMap
from .maps import bake as bake
from .maps import bake_center as bake_center
from .maps import bake_error as bake_error
from .maps import read_cube as read_cube
from .maps import write_cube as write_cube
from .normalizers.base import Normalizer as Normalizer
from .normalizers.calibration.normalizer import Calibration as Calibration
from .normalizers.center import fit_center as fit_center
from .normalizers.colornormnet.normalizer import ColorNormNet as ColorNormNet
from .normalizers.histogram_matching import HistogramMatching as HistogramMatching
from .normalizers.khan import Khan as Khan
from .normalizers.macenko import Macenko as Macenko
from .normalizers.models import load as load
from .normalizers.models import methods as methods
from .normalizers.ramakrishnan import Ramakrishnan as Ramakrishnan
from .normalizers.registry import Method as Method
from .normalizers.registry import register as register
from .normalizers.reinhard import Reinhard as Reinhard
from .normalizers.reinhard_modified import ReinhardModified as ReinhardModified
from .normalizers.staingan.normalizer import StainGAN as StainGAN
from .normalizers.stainlut.normalizer import StainLUT as StainLUT
from .normalizers.stainnet.normalizer import StainNet as StainNet
from .normalizers.transport import Transport as Transport
from .normalizers.vahadane import Vahadane as Vahadane
from .pipeline.estimate import slide_map as slide_map
from .pipeline.run import normalize_slides as normalize_slides
from .slides.readers.registry import open_slide as open_slide
from .stains.references import complement_stains as complement_stains
from .stains.references import match_stains as match_stains
from .stains.references import reference_stains as reference_stains
from .stains.tools import combine_stains as combine_stains
from .stains.tools import estimate_stain_matrix as estimate_stain_matrix
from .stains.tools import separate_stains as separate_stains
