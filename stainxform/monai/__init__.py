"""monai transforms."""

from stainxform._optional import require

require("monai.transforms", "monai")

from stainxform.monai.augment import *  # noqa: E402, F403
from stainxform.monai.normalize import *  # noqa: E402, F403
from stainxform.monai.slides import *  # noqa: E402, F403
