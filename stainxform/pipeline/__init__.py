"""Many slides: what is made of each, its record, and where the work is done."""

from stainxform.pipeline.many import normalize_slides, plan_slides, run
from stainxform.pipeline.model import ModelFile
from stainxform.pipeline.one import Outcome, Work
from stainxform.pipeline.pyramids import Pyramid
from stainxform.pipeline.tiles import TissueTiles

__all__ = ["ModelFile", "Outcome", "Pyramid", "TissueTiles", "Work", "normalize_slides", "plan_slides", "run"]
