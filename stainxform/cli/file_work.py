"""One image file: read, normalized, written, with a note of what it was made of."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from stainxform._version import __version__
from stainxform.errors import InvalidImageError, NotEnoughTissueError, ResumeError
from stainxform.image.blank import OnBlank
from stainxform.io.atomic import make_folder
from stainxform.io.images import note_of, read_image_and_facts, write_image
from stainxform.io.modelfile import ModelState, pack, settings_digest
from stainxform.io.outputs import Job, reason
from stainxform.normalizers.base import Normalizer

__all__ = ["FileOutcome", "FileWork"]


@dataclass(frozen=True)
class FileOutcome:
    """What became of one job; "complete": it was done before."""

    job: Job
    status: Literal["normalized", "blank", "complete", "failed"]
    pixels: int = 0
    message: str = ""


@dataclass(frozen=True)
class FileWork:
    """What is done to each file; small and picklable, for workers.

    Parameters
    ----------
    state : ModelState
        State of the model.
    on_blank : {"keep", "warn", "raise"}, optional
        A blank tile is written unchanged, which is an outcome of its own, or fails ("raise"). A calibration, unless it is
        asked to look for blank tiles ("warn"), maps them like any other.
    resume : bool, optional
        An output that was made of the same file, model and settings is left as it is; another one is an error.
    """

    state: ModelState
    on_blank: OnBlank = "keep"
    resume: bool = False

    @cached_property
    def normalizer(self) -> Normalizer:
        """Built once in each process."""
        return Normalizer.from_state(self.state)

    def __reduce__(self) -> tuple[Any, ...]:
        """The normalizer stays where it was built."""
        return FileWork, (self.state, self.on_blank, self.resume)

    def __call__(self, job: Job, group: str | None = None) -> FileOutcome:
        """Do one file; an error is an outcome, not an exception."""
        try:
            return self._done(job, group)
        except Exception as error:  # one bad file must not end the work on thousands of others
            return FileOutcome(job, "failed", 0, reason(job, error))

    def _done(self, job: Job, group: str | None) -> FileOutcome:
        told: dict[str, Any] = {} if group is None else {"group": group}
        told["on_blank"] = "raise" if self.normalizer.keeps_blank or self.on_blank != "keep" else "keep"
        if self.resume and os.path.lexists(job.target):
            self._check_complete(job, group)
            return FileOutcome(job, "complete")
        image, facts = read_image_and_facts(job.source, hashed=True)
        pixels = image.shape[0] * image.shape[1]
        try:
            result, outcome = self.normalizer(image, **told), FileOutcome(job, "normalized", pixels)
            facts = facts.mapped()
        except NotEnoughTissueError as error:
            if self.on_blank == "raise":
                raise
            result, outcome = image, FileOutcome(job, "blank", pixels, f"{job.source}: {error}")
        make_folder(job.target.parent)
        write_image(job.target, result, facts, self._note(job, group, facts.sha256))
        return outcome

    def _check_complete(self, job: Job, group: str | None) -> None:
        """Outputs are written whole: one that is there is complete, if it was made of the same."""
        try:
            with job.source.open("rb") as file:
                source = hashlib.file_digest(file, "sha256").hexdigest()
        except OSError as error:
            raise InvalidImageError(f"{job.source} cannot be read ({error.strerror or error})") from error
        if note_of(job.target) != self._note(job, group, source):
            raise ResumeError(
                f"{job.target} was not made from this file, model and settings by this version; "
                "pass force=True to replace it"
            )

    @cached_property
    def _model(self) -> str:
        return hashlib.sha256(pack(self.state)).hexdigest()

    def _note(self, job: Job, group: str | None, source: str) -> str:
        """Names all that decides an output, in a hash; the group by its place in the calibration: names may tell who."""
        known: tuple[str, ...] = getattr(self.normalizer, "groups", ())
        fingerprint = settings_digest(
            {
                "source": source,
                "model": self._model,
                "group": known.index(group) if group in known else None,
                "on_blank": self.on_blank,
                "type": job.target.suffix.lower(),
                "version": __version__,
            }
        )
        return f"stainxform {__version__} {fingerprint}"
