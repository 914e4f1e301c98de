"""albumentations transforms."""

from stainxform._optional import require

require("albumentations", "albumentations")

from stainxform.albumentations.augment import *  # noqa: E402, F403
from stainxform.albumentations.normalize import *  # noqa: E402, F403
