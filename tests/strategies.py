"""The strategies and images of stainxform.testing, and how many examples our own tests try."""

from hypothesis import settings

from stainxform.testing import (  # noqa: F401
    DTYPES,
    LAYOUTS,
    STAINS,
    Stored,
    blank_image,
    concentrations,
    he_image,
    he_images,
    odd_images,
    sides,
    store,
    stored_images,
)

laws = settings(max_examples=30, deadline=None)
"""Few examples, no deadline: CI machines are slow and shared."""
