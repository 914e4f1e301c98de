"""torchvision transforms."""

from stainxform.torchvision.transforms import *  # noqa: F403
