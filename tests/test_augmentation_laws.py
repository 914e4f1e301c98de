"""The public test class for augmentations, on every one of ours, as a plug-in would use it."""

import pytest
from augment_cases import fitted

from stainxform.augment import AUGMENTATIONS
from stainxform.samples import pair
from stainxform.testing import AugmentationTests

pytest.importorskip("monai")
OURS, THEIRS = pair(3, (72, 56), seed=1)

for _name, _kind in AUGMENTATIONS.items():
    _members = {
        "kind": _kind, "parameters": fitted(_name, OURS, THEIRS), "__doc__": f"{_name}, held to the public tests.",
    }  # fmt: skip
    globals()[f"Test_{_name}"] = type(f"Test_{_name}", (AugmentationTests,), _members)


def test_the_tests_find_an_augmentation_that_draws_unevenly():
    class Uneven(AugmentationTests):
        kind = AUGMENTATIONS["hsv"]

        def made(self):
            made = super().made()
            sample = type(made).sample

            class Odd:
                def __getattr__(self, name):
                    return getattr(made, name)

                def sample(self, rng):
                    draw = sample(made, rng)
                    return draw if draw["hue"] > 0 else sample(made, rng)

            return Odd()

    with pytest.raises(AssertionError, match="would drift apart"):
        Uneven().test_the_same_random_state_gives_the_same_draw()
