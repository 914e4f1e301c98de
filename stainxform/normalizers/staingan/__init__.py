"""StainGAN: a CycleGAN between two centers."""

__all__: list[str] = []
