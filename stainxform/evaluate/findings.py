"""Sentences about an evaluation: what helped, and what did not."""

from __future__ import annotations

from collections.abc import Iterator

from stainxform.evaluate.intervals import Interval
from stainxform.evaluate.result import ColorGap, MethodResult

__all__ = ["compare", "findings_of", "percent", "warnings_of"]


def percent(share: float) -> str:
    """``0.031`` -> ``3.1 %``."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def compare(after: Interval, before: Interval) -> str:
    """Lower, higher or neither, by whether the intervals overlap."""
    if None in (after.low, after.high, before.low, before.high):
        return "unknown"
    assert after.low is not None and after.high is not None and before.low is not None and before.high is not None  # noqa: PT018
    if after.high < before.low:
        return "lower"
    return "higher" if after.low > before.high else "same"


def warnings_of(method: MethodResult) -> Iterator[str]:
    """What a user should look at before switching a method on."""
    kept = method.structure
    if kept is not None and kept.share_below.value > 0:
        center, index = kept.tiles[0]
        yield (
            f"{method.name} lowered luminance SSIM to below {kept.threshold:g} on {percent(kept.share_below.value)} of "
            f"tiles; the worst is tile {index} of {center} ({kept.values[0]:.2f})"
        )


def findings_of(method: MethodResult, raw: MethodResult) -> Iterator[str]:
    """What a method did to the colors, the centers and the nuclei, compared with no normalization."""
    yield from _centers(method, raw)
    for center, gap in method.gaps.items():
        yield _gap(method.name, center, gap, raw.gaps[center])
    if method.nuclei_auc is not None and raw.nuclei_auc is not None:
        change = compare(method.nuclei_auc, raw.nuclei_auc)
        words = {
            "lower": "are harder to tell from the rest by darkness",
            "higher": "are easier to tell from the rest by darkness",
        }.get(change, "stand out by darkness as before, as far as these tiles can tell")
        yield f"{method.name}: nuclei {words} (AUC {method.nuclei_auc}, before {raw.nuclei_auc})"


def _centers(method: MethodResult, raw: MethodResult) -> Iterator[str]:
    after, before = method.identifiability, raw.identifiability
    if after is None or before is None:
        return
    verdict = {
        "lower": "hides the center better than no normalization",
        "higher": "does not help: the center is easier to guess than without it",
        "same": "does not clearly help to hide the center",
        "unknown": "has too few slides for an interval",
    }[compare(after.balanced_accuracy, before.balanced_accuracy)]
    left = after.balanced_accuracy.low is not None and after.balanced_accuracy.low > after.chance
    tail = "; the center can still be told from color" if left else ""
    yield (
        f"{method.name} {verdict}: balanced accuracy of guessing it from color {after.balanced_accuracy}, before "
        f"{before.balanced_accuracy}, chance {after.chance:.3g}{tail}"
    )


def _gap(name: str, center: str, gap: ColorGap, before: ColorGap) -> str:
    numbers = f"(sum of L, a and b distances {gap.lab_sum}, before {before.lab_sum}, change {gap.lab_change})"
    change = gap.lab_change
    if change is not None and change.high is not None and change.high < 0:
        return f"{name} brought the colors of {center} closer to the target {numbers}"
    if change is not None and change.low is not None and change.low > 0:
        return f"{name} does not help: it took the colors of {center} farther from the target {numbers}"
    return f"{name} did not clearly bring the colors of {center} closer to the target {numbers}"
