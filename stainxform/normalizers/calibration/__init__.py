"""Another center, known once: a normalizer with a fixed map for its images, and one for each group of them."""

from stainxform.normalizers.calibration.calibrate import calibrate
from stainxform.normalizers.calibration.normalizer import Calibration
from stainxform.normalizers.calibration.settings import CalibrationSettings

__all__ = ["Calibration", "CalibrationSettings", "calibrate"]
