"""How a calibration is made and kept."""

from __future__ import annotations

from dataclasses import dataclass

from stainxform.errors import ParameterError
from stainxform.io.settings import Settings

__all__ = ["CalibrationSettings"]


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings(Settings):
    """How a calibration is made and kept.

    Parameters
    ----------
    center_weight : str or float, optional
        How much of the whole center, and how much of its own group, an image's map is made for: 0 the group's own map,
        1 the center's, "auto" what the data say (:mod:`.weight`).
    strength : float, optional
        Part of the way from an image to its normalized form: 0 leaves it, 1 goes all of it.
    keep_groups : bool, optional
        Whether a file holds the names and the maps of the groups; without them it holds the center's map alone.
    keep_colors : bool, optional
        Whether the file of a method that counts colors holds them, so that the calibration can grow after loading.

    Raises
    ------
    ParameterError
        Values that make no sense.
    """

    center_weight: str | float = "auto"
    strength: float = 1.0
    keep_groups: bool = False
    keep_colors: bool = False

    def check(self) -> None:
        """See :class:`Settings`."""
        if self.center_weight != "auto" and not _is_part(self.center_weight):
            raise ParameterError(f'center_weight is "auto" or from 0 to 1, got {self.center_weight!r}')
        if not _is_part(self.strength):
            raise ParameterError(f"strength is from 0 to 1, got {self.strength!r}")
        for name in ("keep_groups", "keep_colors"):
            if type(getattr(self, name)) is not bool:
                raise ParameterError(f"{name} must be True or False, got {getattr(self, name)!r}")


def _is_part(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
