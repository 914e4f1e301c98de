"""The tables of the study, of what is finished; what is not says so."""

from __future__ import annotations

import numpy as np
import torch
from calibration_nuclei_data import GROUPS, TEST_TILES, TITLES
from calibration_nuclei_nets import KIND_TITLES, KINDS
from calibration_nuclei_statistics import (
    LEVEL,
    REPEATS,
    Bootstrap,
    Draws,
    average,
    difference,
    holm,
    share,
)
from calibration_nuclei_study import Study
from calibration_nuclei_treatments import (
    ADABN,
    AUTO,
    BOTH,
    CENTER,
    FOR_PLAIN,
    HALF_WAY,
    LEARNED,
    METHODS,
    MIXED_UP,
    MIXTURES,
    NONE,
    OTHER_PATIENTS,
    OTHER_TILES,
    PRIMARY,
    SPACES,
    WEIGHTS,
    Treatment,
)
from calibration_nuclei_treatments import TEST_TILES as THE_TEST_TILES
from calibration_nuclei_treatments import TILE as THE_TILE
from nuclei_labs import MPP
from pages import cpu_name

import stainxform as sx

COLUMNS = {
    "each tile": (THE_TILE, CENTER),
    "other patients": (OTHER_PATIENTS, CENTER),
    "other tiles, center": (OTHER_TILES, CENTER),
    "other tiles, auto": (OTHER_TILES, AUTO),
    "*the test tiles, auto*": (THE_TEST_TILES, AUTO),
}
UNFINISHED = "not finished"
LENGTHS_SEEDS = (0, 1)
"""Of networks of other lengths: one of each half."""
NAMES = {
    "transport": "transport", "reinhard": "Reinhard", "macenko": "Macenko", "vahadane": "Vahadane",
    "ramakrishnan": "Ramakrishnan", "stainlut": "StainLUT", "colornormnet": "ColorNormNet",
}  # fmt: skip


class Page:
    """The lines between the marks."""

    def __init__(self, study: Study, lengths: dict[int, Study]):
        self.study, self.draws = study, Bootstrap(study)
        self.by_length = {steps: Bootstrap(each) for steps, each in lengths.items()}

    def lines(self) -> list[str]:
        parts = [
            ("Share of the gap that is closed", self.overview()),
            ("Every treatment of the plain networks", self.treatments()),
            ("Is the primary method better than the others?", self.rivals()),
            ("The primary method, direction by direction", self.directions(PRIMARY, "plain")),
            ("How much of the center, and which space", self.mixtures()),
            ("Color augmentation in training, and batch statistics", self.kinds()),
            ("Networks trained with HED, direction by direction", self.directions(PRIMARY, "hed")),
            ("Networks taught shorter and longer", self.lengths()),
            ("The map of another group", self.mixed_up()),
            ("The data, and the networks", [*self.data_sets(), "", self.run()]),
        ]
        return [line for title, lines in parts for line in (f"### {title}", "", *lines, "")][:-1]

    def overview(self) -> list[str]:
        lines = [f"| method | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
        for method in METHODS:
            cells = []
            for seen, weight in COLUMNS.values():
                treatment = Treatment(method, seen, weight)
                cells.append(percent(self.closed(treatment)) if self.draws.done(treatment) else UNFINISHED)
            lines.append(f"| {NAMES[method]} | {' | '.join(cells)} |")
        return [*self.gap(), "", *lines]

    def gap(self) -> list[str]:
        none, gap = self.draws.mean(NONE), self.draws.gap()
        wanted = Draws(none.values + gap.values)
        return [
            f"Mean PQ over the {len(self.study.directions)} directions: none {text(none)}, networks of the same data set {text(wanted)}; "
            f"the gap is {text(gap)}."
        ]

    def closed(self, treatment: Treatment, kind: str = "plain") -> Draws:
        return share(difference(self.draws.mean(treatment, kind), self.draws.mean(NONE)), self.draws.gap())

    def finished(self) -> list[Treatment]:
        """Treatments of the plain networks, the primary method first; of the mixtures the one half way."""
        named = dict.fromkeys([PRIMARY, HALF_WAY, ADABN, BOTH, *FOR_PLAIN])
        return [each for each in named if self.draws.done(each) and (each not in MIXTURES or each == HALF_WAY)]

    def rivals(self) -> list[str]:
        others = self.finished()[1:]
        gains = [difference(self.draws.mean(PRIMARY), self.draws.mean(each)) for each in others]
        lines = ["| than | PQ of the primary method minus its own | |", "|---|---|---|"]
        for other, gain, p in zip(others, gains, holm([each.p for each in gains])):
            lines.append(f"| {', '.join(filter(None, described(other)))} | {text(gain, '+')} | {verdict(gain, p)} |")
        return lines

    def treatments(self) -> list[str]:
        found = self.finished()
        gains = [difference(self.draws.mean(each), self.draws.mean(NONE)) for each in found]
        adjusted = holm([each.p for each in gains])
        counts = self.counts(found)
        lines = [
            "| method | map from | Dice | PQ | PQ minus none | share of the gap | | directions better - worse | worst |",
            "|---" * 9 + "|",
            f"| none | | {self.draws.mean(NONE, measure=0).value:.3f} | {self.draws.mean(NONE).value:.3f} | | | | | |",
        ]
        for treatment, gain, p, count in zip(found, gains, adjusted, counts):
            cells = [
                *described(treatment),
                f"{self.draws.mean(treatment, measure=0).value:.3f}",
                f"{self.draws.mean(treatment).value:.3f}",
                text(gain, "+"),
                percent(self.closed(treatment)),
                verdict(gain, p),
                *count,
            ]
            lines.append("| " + " | ".join(cells) + " |")
        return [*lines, "", *self.rotated()]

    def counts(self, treatments: list[Treatment], kind: str = "plain") -> list[list[str]]:
        """Directions better - worse, Holm over the treatments in each, and the worst change of PQ."""
        verdicts = []
        for direction in self.study.directions:
            gains = [self.draws.gain(each, direction, kind) for each in treatments]
            adjusted = holm([each.p for each in gains])
            enough = self.draws.enough(direction)
            verdicts.append([verdict(*each) if enough else "cannot say" for each in zip(gains, adjusted)])
        rows = []
        for treatment, column in zip(treatments, zip(*verdicts)):
            worst = min(self.draws.gain(treatment, each, kind).value for each in self.study.directions)
            unsaid = f", {column.count('cannot say')} cannot say" if "cannot say" in column else ""
            rows.append([f"{column.count('better')} - {column.count('worse')}{unsaid}", f"{worst:+.3f}"])
        return rows

    def rotated(self) -> list[str]:
        """Space and weight of transport chosen on directions among three data sets, reported on those of the fourth."""
        if not all(map(self.draws.done, MIXTURES)):
            return [f"Transport, space and weight chosen in rotation: {UNFINISHED}."]
        chosen = {}
        for name in self.study.data:
            apart = [each for each in self.study.directions if name not in each]
            chosen[name] = max(MIXTURES, key=lambda one: average([self.draws.direction(one, d) for d in apart]).value)
        rows = [average([self.draws.direction(chosen[one], each) for one in each]) for each in self.study.directions]
        none = self.draws.mean(NONE)
        gain = difference(average(rows), none)
        picked = "; ".join(f"{TITLES[name]} apart: {one.space}, weight {one.weight:g}" for name, one in chosen.items())
        return [
            f"**Transport, space and weight chosen in rotation** ({picked}): PQ {average(rows).value:.3f}, minus none "
            f"{text(gain, '+')}, share of the gap {percent(share(gain, self.draws.gap()))}. Each direction has the mean "
            "of the two choices that did not see it."
        ]

    def directions(self, treatment: Treatment, kind: str) -> list[str]:
        if not (self.draws.done(treatment, kind) and self.draws.done(NONE, kind)):
            return [f"{UNFINISHED}."]
        gains = [self.draws.gain(treatment, each, kind) for each in self.study.directions]
        adjusted = holm([each.p for each in gains])
        lines = ["| network of | tested on | none | calibrated | same data set | minus none | |", "|---" * 7 + "|"]
        for direction, gain, p in zip(self.study.directions, gains, adjusted):
            ours, theirs = direction
            values = [self.draws.direction(each, direction, kind).value for each in (NONE, treatment)]
            cells = [f"{value:.3f}" for value in (*values, self.draws.reference(theirs).value)]
            said = verdict(gain, p) if self.draws.enough(direction) else "cannot say"
            lines.append(f"| {TITLES[ours]} | {TITLES[theirs]} | {' | '.join(cells)} | {text(gain, '+')} | {said} |")
        return [*lines, "", "PQ; Holm over the directions."]

    def mixtures(self) -> list[str]:
        lines = ["| space | " + " | ".join(f"{weight:g}" for weight in WEIGHTS) + " |", "|---" * 6 + "|"]
        for space in SPACES:
            row = [one for one in MIXTURES if one.space == space]
            cells = [f"{self.draws.mean(one).value:.3f}" if self.draws.done(one) else UNFINISHED for one in row]
            lines.append(f"| {space} | {' | '.join(cells)} |")
        return [
            "Mean PQ of transport by the weight of the center: 0 is the group's own map, 1 the center's.",
            "",
            *lines,
        ]

    def kinds(self) -> list[str]:
        lines = [
            "| colors in training | seeds | test images | PQ | share of the gap | minus none of the same networks | | "
            "better - worse | worst |"
        ]
        lines.append("|---" * 9 + "|")
        for kind in KINDS:
            if not self.draws.done(NONE, kind):
                lines.append(f"| {KIND_TITLES[kind]} | | {UNFINISHED} | | | | | | |")
                continue
            head = f"| {KIND_TITLES[kind]} | {len(self.draws.seeds(kind))}"
            found = [each for each in (PRIMARY, HALF_WAY, ADABN, BOTH) if self.draws.done(each, kind)]
            gains = [difference(self.draws.mean(each, kind), self.draws.mean(NONE, kind)) for each in found]
            adjusted = holm([each.p for each in gains])
            closed = "" if kind == "plain" else percent(self.closed(NONE, kind))
            lines.append(f"{head} | none | {text(self.draws.mean(NONE, kind))} | {closed} | | | | |")
            for treatment, gain, p, count in zip(found, gains, adjusted, self.counts(found, kind)):
                name = ", ".join(filter(None, described(treatment)))
                pq, closed = text(self.draws.mean(treatment, kind)), percent(self.closed(treatment, kind))
                cells = [name, pq, closed, text(gain, "+"), verdict(gain, p), *count]
                lines.append(f"{head} | {' | '.join(cells)} |")
        return lines

    def lengths(self) -> list[str]:
        lines = [
            "| steps | same data set | plain: none | calibrated | share of the gap | HED: none | calibrated | minus none |"
        ]
        lines.append("|---" * 8 + "|")
        for steps, draws in self.by_length.items():
            if not draws.done(PRIMARY):
                lines.append(f"| {steps} | {UNFINISHED} | | | | | | |")
                continue
            none, calibrated = draws.mean(NONE), draws.mean(PRIMARY)
            wanted = Draws(none.values + draws.gap().values)
            cells = [
                text(wanted),
                text(none),
                text(calibrated),
                percent(share(difference(calibrated, none), draws.gap())),
            ]
            if draws.done(PRIMARY, "hed"):
                none, calibrated = draws.mean(NONE, "hed"), draws.mean(PRIMARY, "hed")
                cells += [text(none), text(calibrated), text(difference(calibrated, none), "+")]
            else:
                cells += [UNFINISHED, "", ""]
            lines.append(f"| {steps} | {' | '.join(cells)} |")
        return [f"Mean PQ over the directions; seeds {', '.join(map(str, LENGTHS_SEEDS))}.", "", *lines]

    def mixed_up(self) -> list[str]:
        shown = [NONE, PRIMARY, MIXED_UP, Treatment("transport", OTHER_TILES, CENTER)]
        if not all(map(self.draws.done, shown)):
            return [f"{UNFINISHED}."]
        lines = [
            "| tested on | none | map of the own group | of another group | of the center | another group minus none |"
        ]
        lines.append("|---" * 6 + "|")
        for name in self.study.data:
            into = [each for each in self.study.directions if each[1] == name]
            means = [average([self.draws.direction(treatment, each) for each in into]) for treatment in shown]
            cells = [f"{mean.value:.3f}" for mean in means] + [text(difference(means[2], means[0]), "+")]
            lines.append(f"| {TITLES[name]} | {' | '.join(cells)} |")
        return ["Mean PQ over the three directions into a data set.", "", *lines]

    def data_sets(self) -> list[str]:
        lines = ["| data set | tiles | groups | taught by (halves) | tested tiles | of groups |", "|---" * 6 + "|"]
        for name, data in self.study.data.items():
            halves = " / ".join(str((data.half == half).sum()) for half in (0, 1))
            groups = f"{len(set(data.groups))} {GROUPS[name]}"
            tested = f"{data.tested.sum()} | {len(set(data.test.groups))}"
            lines.append(f"| {TITLES[name]} | {len(data.tiles)} | {groups} | {halves} | {tested} |")
        return lines

    def run(self) -> str:
        paths = sorted(self.study.recipe.folder.glob(f"*-{self.study.recipe.steps}.pt"))
        seconds = [torch.load(path)["seconds"] for path in paths]
        return (
            f"{len(seconds)} networks of {self.study.recipe.steps} steps, {np.mean(seconds):.0f} CPU s each; at most "
            f"{TEST_TILES} tested tiles of a data set; {MPP} um a pixel; seeds "
            f"{', '.join(map(str, self.study.seeds))}. StainLUT {LEARNED['stainlut']['steps']} steps, ColorNormNet "
            f"{LEARNED['colornormnet']['steps']}. {LEVEL:.0%} intervals, {REPEATS} resamples of groups and seeds. "
            f"stainxform {sx.__version__}, torch {torch.__version__}, {cpu_name()}, one thread."
        )


def page(study: Study, lengths: dict[int, Study]) -> list[str]:
    return Page(study, lengths).lines()


def described(treatment: Treatment) -> tuple[str, str]:
    """Method, and what its map is from."""
    name = NAMES[treatment.method] if treatment.method else ""
    name += f" ({treatment.space})" if treatment.space else ""
    weight = {CENTER: ", center", AUTO: ", auto", 0.5: ", half way"}.get(treatment.weight, "")
    weight = "" if treatment.seen in (THE_TILE, "") else weight
    seen = "each tile" if treatment.seen == THE_TILE else treatment.seen
    if treatment.seen == THE_TEST_TILES:
        seen = f"*{seen}*"
    return " + ".join(filter(None, [name, "AdaBN" if treatment.batch_norm else ""])), seen + weight


def verdict(gain: Draws, p: float) -> str:
    """After Holm's correction."""
    if p > 1 - LEVEL:
        return "not distinguished"
    return "better" if gain.value > 0 else "worse"


def text(draws: Draws, sign: str = "") -> str:
    low, high = draws.interval
    return f"{draws.value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def percent(draws: Draws) -> str:
    low, high = draws.interval
    if np.isnan([low, high]).any():
        return "no gap"
    return f"{draws.value:.0%} [{low:.0%}, {high:.0%}]"
