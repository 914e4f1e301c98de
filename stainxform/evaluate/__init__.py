"""Does a normalizer help, and does it harm: measures of color, structure and downstream results, with intervals.

The extra ``report`` installs what :func:`center_identifiability` and :func:`evaluate_centers` need.
"""

from stainxform.evaluate.centers import evaluate_centers
from stainxform.evaluate.color_distances import frechet_distance, lab_wasserstein, stain_angle
from stainxform.evaluate.downstream import auc, dice, f1, iou
from stainxform.evaluate.identifiability import Identifiability, center_identifiability
from stainxform.evaluate.instances import PanopticQuality, aji, panoptic_quality
from stainxform.evaluate.intervals import Interval, bootstrap_interval
from stainxform.evaluate.metrics import ciede2000, psnr, ssim
from stainxform.evaluate.result import ColorGap, Evaluation, MethodResult, StructureKept
from stainxform.evaluate.structure import luminance_ssim
from stainxform.stains.features import FEATURE_NAMES, color_features, tissue_colors

__all__ = [
    "FEATURE_NAMES",
    "ColorGap",
    "Evaluation",
    "Identifiability",
    "Interval",
    "MethodResult",
    "PanopticQuality",
    "StructureKept",
    "aji",
    "auc",
    "bootstrap_interval",
    "center_identifiability",
    "ciede2000",
    "color_features",
    "dice",
    "evaluate_centers",
    "f1",
    "frechet_distance",
    "iou",
    "lab_wasserstein",
    "luminance_ssim",
    "panoptic_quality",
    "psnr",
    "ssim",
    "stain_angle",
    "tissue_colors",
]
