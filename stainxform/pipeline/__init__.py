"""Many slides: what is made of each, its record, and where the work is done.

The words, one for each idea, in all files here:

========== =============================================================================================================
job        one slide to read (source) and the file or folder to write (target): :class:`~stainxform.io.outputs.Job`
recipe     what is done with every slide: kind of output, model, reader, device, threads
kind       of output, with its settings: :class:`Pyramid` or :class:`TissueTiles`
context    what a kind of output is given to make one output: the open slide, the target, the map, ...
output     what was written for a slide; complete, or partial after an interruption
record     the JSON file beside an output: what it was made of
outcome    what became of a job: written, complete before, or failed
========== =============================================================================================================
"""

from stainxform.pipeline.model import ModelFile
from stainxform.pipeline.process import Outcome
from stainxform.pipeline.pyramid import Pyramid
from stainxform.pipeline.recipe import Recipe
from stainxform.pipeline.run import normalize_slides, plan_slides, run
from stainxform.pipeline.tiles import TissueTiles

__all__ = ["ModelFile", "Outcome", "Pyramid", "Recipe", "TissueTiles", "normalize_slides", "plan_slides", "run"]
