"""Every exception and warning that stainxform raises on purpose.

Each message is one sentence that says what is wrong, which value, and what to do.
"""

__all__ = [
    "InvalidImageError",
    "KernelError",
    "MissingDependencyError",
    "MissingKeyError",
    "ModelFileError",
    "NotEnoughTissueError",
    "OutputBusyError",
    "OutputError",
    "ParameterError",
    "ResumeError",
    "SlideBusyError",
    "SlideError",
    "SlideWriteError",
    "StainXformError",
    "StainXformWarning",
    "TrainingError",
    "UnsupportedSlideError",
]


class StainXformError(Exception):
    """Base of all stainxform errors."""


class ParameterError(StainXformError, ValueError):
    """An argument has a value that makes no sense."""


class MissingKeyError(ParameterError, KeyError):
    """A sample lacks an entry that a transform was told to look at."""

    __str__ = Exception.__str__  # that of KeyError puts the sentence in quotes


class InvalidImageError(StainXformError, ValueError):
    """An image has the wrong shape, dtype or values, or a file holds no readable image."""


class NotEnoughTissueError(StainXformError, ValueError):
    """There is too little tissue to estimate stains or colors from."""


class SlideError(StainXformError, OSError):
    """A whole slide is missing, damaged or closed, or a tile of it cannot be read."""


class UnsupportedSlideError(SlideError):
    """A file is no slide that this reader can read; another reader may."""


class OutputError(StainXformError, OSError):
    """An output cannot be written: the disk is full, or the folder is missing or not ours to write to."""


class OutputBusyError(OutputError):
    """Another process is writing the same output."""


class SlideWriteError(OutputError):
    """A slide cannot be written: the disk is full, or the folder is missing or not ours to write to."""


class SlideBusyError(SlideWriteError, OutputBusyError):
    """Another process is writing the same slide."""


class ResumeError(SlideWriteError):
    """A partial file was begun from another source, map or settings, and cannot be continued."""


class ModelFileError(StainXformError, ValueError):
    """A model file is truncated, of another kind, from a newer version, or tampered with."""


class MissingDependencyError(StainXformError, ImportError):
    """An optional package is not installed; the message names the extra that brings it."""


class TrainingError(StainXformError, RuntimeError):
    """Training cannot start, resume or continue."""


class KernelError(StainXformError, RuntimeError):
    """A compiled kernel failed in a way that is not the caller's doing."""


class StainXformWarning(UserWarning):
    """Something was skipped or left unchanged, and the caller should know."""
