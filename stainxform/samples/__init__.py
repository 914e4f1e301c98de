"""Procedural H&E tissue, rendered as several centers would have stained and scanned it.

Ground truth for tests, demos and tutorials: ``tissue`` draws how much hematoxylin and eosin lies
where, ``render`` shows it the way one ``Center`` (a staining laboratory and its scanner) would, and
``pair`` gives the same tissue seen by two or more centers.  Nothing here is real patient data.

The scale is that of a 40x scan, 0.25 um per pixel; lengths below are in those pixels.
Optical density is the natural logarithm of background over intensity.
"""

from stainxform.samples.centers import CENTERS, Center
from stainxform.samples.drawing import Tissue, tissue
from stainxform.samples.files import write_center
from stainxform.samples.rendering import pair, render

__all__ = ["CENTERS", "Center", "Tissue", "pair", "render", "tissue", "write_center"]
