"""Many slides: what is made of each, its record, and where the work is done."""

from stainxform.pipeline.model import ModelFile
from stainxform.pipeline.process import Outcome, Work
from stainxform.pipeline.pyramid import Pyramid
from stainxform.pipeline.run import normalize_slides, plan_slides, run
from stainxform.pipeline.tiles import TissueTiles

__all__ = ["ModelFile", "Outcome", "Pyramid", "TissueTiles", "Work", "normalize_slides", "plan_slides", "run"]
