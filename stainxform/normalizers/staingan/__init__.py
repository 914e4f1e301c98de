"""StainGAN: a CycleGAN between two centers."""
