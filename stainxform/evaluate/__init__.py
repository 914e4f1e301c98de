"""How close one image is to another: the measures of the StainLUT paper, and the color difference that eyes see."""

from stainxform.evaluate.metrics import ciede2000, psnr, ssim

__all__ = ["ciede2000", "psnr", "ssim"]
