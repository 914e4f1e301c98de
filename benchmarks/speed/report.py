"""Tables and the plot of what was measured, wins and losses alike. Pure functions of the record that run.py writes.

record["time"][job][threads][size][implementation] = {"median", "iqr", "samples", "levels", "agrees"} or {"problem"};
        on several threads also "one_thread", the median of the same in turns with it
record["memory"][job][implementation] = {"bytes_per_pixel"} or {"problem"}
record["import"][what] = {"seconds"} or {"problem"}
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs import JOBS, Job, load

Record = dict[str, Any]

SIZE = "1024"
"""Side of the tile that the aims are for."""

LARGE = "2048"

MEMORY = 20
"""Bytes a pixel."""

SPEEDUP = 1.4

_POINTWISE = tuple(name for name in JOBS if name != "stainlut_lookup")


@dataclass(frozen=True)
class Aim:
    """Times as fast as the fastest of some rows; ``among`` None: of all peers. ``ours`` "": the row that the job names."""

    title: str
    job: str
    factor: float
    among: tuple[str, ...] | None = None
    text: str = ""
    ours: str = ""


AIMS = (
    Aim("Macenko", "macenko", 25),
    Aim("Vahadane", "vahadane", 30),
    Aim("Vahadane, peers with right vectors", "vahadane", 120, ("StainTools",)),
    Aim("Reinhard", "reinhard", 8),
    Aim("HED augmentation", "hed", 20),
    Aim("HSV augmentation", "hsv", 1, ("OpenCV",)),
    Aim("Map of known stains, rate of memcpy", "map_only", 1 / 6, ("memcpy",), "1/6"),
    Aim("Calibrated map of optical density, rate of memcpy", "calibrated_map", 1 / 6, ("memcpy",), "1/6"),
    Aim("Calibrated map of levels, rate of memcpy", "calibrated_map", 1 / 3, ("memcpy",), "1/3", "stainxform, levels"),
    Aim("3D LUT, 33 nodes", "lut3d", 1, ("OpenColorIO, tetrahedral", "OpenColorIO, trilinear", "Pillow")),
    Aim("StainLUT lookup, rate of memcpy", "stainlut_lookup", 1 / 6, ("memcpy",), "1/6"),
)


def times(record: Record, job: str, size: str, threads: str = "1") -> dict[str, dict[str, Any]]:
    """Rows of one job at one size."""
    return record.get("time", {}).get(job, {}).get(threads, {}).get(size, {})


def median(rows: dict[str, dict[str, Any]], name: str) -> float | None:
    """Seconds, or None if it was not measured."""
    return rows.get(name, {}).get("median")


def peers(job: Job, rows: dict[str, dict[str, Any]]) -> list[str]:
    """Names of the measured peers."""
    return [
        name for name in rows if not job.is_ours(name) and name not in job.references and median(rows, name) is not None
    ]


def fastest(rows: dict[str, dict[str, Any]], names: Iterator[str] | list[str] | tuple[str, ...]) -> str | None:
    """The fastest of these rows."""
    return min(
        (name for name in names if median(rows, name) is not None), key=lambda n: rows[n]["median"], default=None
    )


def ratio(record: Record, aim: Aim) -> tuple[float, str] | None:
    """How many times as fast as the fastest, and its name."""
    job, rows = load(aim.job), times(record, aim.job, SIZE)
    other = fastest(rows, peers(job, rows) if aim.among is None else aim.among)
    ours = median(rows, aim.ours or job.ours)
    return (rows[other]["median"] / ours, other) if other and ours else None


# ---- markdown -------------------------------------------------------------------------------------------------------


def markdown(record: Record) -> str:
    """The whole section between the marks."""
    about = record["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    kernels = "no compiled kernels (plain)" if about["native"] == "plain" else f"kernels: {about['native']}"
    lines = [
        f"{about['date']}, {about['cpu']}, {about['system']}, {kernels}. One thread for everybody unless it says "
        f"otherwise. {record['image']} Load of the machine at the start: {about['load'] or 0:.1f}.",
        "",
        f"{versions}.",
        "",
        "### Aims",
        "",
        f"One uint8 tile of {SIZE} px, one thread, estimation included. Ratios are to the fastest peer of the same run.",
        "",
        *table(["", "aim", "measured", "fastest other", "reached"], acceptance(record)),
    ]
    for name in JOBS:
        if record.get("time", {}).get(name):
            lines += ["", *job_section(record, load(name))]
    lines += ["", *threads_section(record), "", *import_section(record)]
    return "\n".join(lines).strip()


def table(head: list[str], rows: list[list[str]]) -> list[str]:
    """Markdown."""
    return ["| " + " | ".join(row) + " |" for row in (head, ["---"] * len(head), *rows)]


def acceptance(record: Record) -> list[list[str]]:
    """One row for each aim."""
    rows = []
    for aim in AIMS:
        found, wanted = ratio(record, aim), aim.text or f"{aim.factor:g}"
        if found is None:
            rows.append([aim.title, f">= {wanted}x", "not measured", "", ""])
        else:
            rows.append([aim.title, f">= {wanted}x", f"{found[0]:.3g}x", found[1], verdict(found[0] >= aim.factor)])
    return [*rows, memory_row(record), threads_row(record)]


def verdict(reached: bool) -> str:
    """Losses as plainly as wins."""
    return "yes" if reached else "**no**"


def memory_row(record: Record) -> list[str]:
    """The hungriest pointwise method."""
    found = {
        f"{load(job).title} ({name})": row["bytes_per_pixel"]
        for job in _POINTWISE
        for name, row in record.get("memory", {}).get(job, {}).items()
        if load(job).is_ours(name) and "bytes_per_pixel" in row
    }
    title, aim = "Peak extra memory of every pointwise method", f"<= {MEMORY} bytes a pixel"
    if not found:
        return [title, aim, "not measured", "", ""]
    worst = max(found, key=lambda name: found[name])
    over = sum(value > MEMORY for value in found.values())
    which = f"most: {worst}" + (f"; {over} of {len(found)} over" if over else "")
    return [title, aim, f"{found[worst]:.0f}", which, verdict(not over)]


def speedups(record: Record, threads: str = "2", size: str = LARGE) -> dict[str, tuple[float, float, float]]:
    """Job -> seconds of ours on one thread and on several, measured in turns, and their ratio."""
    found = {}
    for name in JOBS:
        row = times(record, name, size, threads).get(load(name).ours, {})
        if "one_thread" in row:
            found[name] = (row["one_thread"], row["median"], row["one_thread"] / row["median"])
    return found


def threads_row(record: Record) -> list[str]:
    """The job that gains least."""
    found, title = speedups(record), f"Two threads, {LARGE} px"
    if not found:
        return [title, f">= {SPEEDUP}x", "not measured", "", ""]
    worst = min(found, key=lambda name: found[name][2])
    short = sum(gain < SPEEDUP for *_, gain in found.values())
    which = f"least: {load(worst).title}" + (f"; {short} of {len(found)} short" if short else "")
    return [title, f">= {SPEEDUP}x one thread", f"{found[worst][2]:.2f}x", which, verdict(not short)]


def threads_section(record: Record) -> list[str]:
    """Ours on two threads."""
    rows = [
        [load(name).title, milliseconds(one), milliseconds(two), f"{gain:.2f}x"]
        for name, (one, two, gain) in speedups(record).items()
    ]
    if not rows:
        return []
    return [
        "### Two threads",
        "",
        f"Ours, {LARGE} px, in turns.",
        "",
        *table(["", "1 thread, ms", "2 threads, ms", "gain"], rows),
    ]


def import_section(record: Record) -> list[str]:
    """Import times."""
    rows = [
        [what, milliseconds(row["seconds"]) if "seconds" in row else row["problem"]]
        for what, row in record.get("import", {}).items()
    ]
    if not rows:
        return []
    how = "Time until a normalizer or an augmentation is there, in a fresh process, files cached, numpy included."
    return ["### Import", "", how, "", *table(["", "ms"], rows)]


def job_section(record: Record, job: Job) -> list[str]:
    """Rows: implementations. Columns: sizes."""
    measured = record["time"][job.name].get("1", {})
    sizes = sorted(measured, key=lambda size: (not size.isdigit(), size.zfill(9)))
    names = list(dict.fromkeys(name for size in sizes for name in measured[size]))
    head = ["", *(f"{label(size)}, ms" for size in sizes), f"{SIZE} px: times ours", "differs, levels",
            "memory, bytes a pixel", "note"]  # fmt: skip
    rows = []
    for name in names:
        cells = [cell(measured[size].get(name)) for size in sizes]
        at = times(record, job.name, SIZE)
        ours, theirs = median(at, job.ours), median(at, name)
        times_ours = f"{theirs / ours:.2f}" if ours and theirs else ""
        note = job.notes.get(name, "")
        problems = dict.fromkeys(row["problem"] for size in sizes if "problem" in (row := measured[size].get(name, {})))
        note = "; ".join(filter(None, [note, *problems]))
        memory = record.get("memory", {}).get(job.name, {}).get(name, {}).get("bytes_per_pixel")
        title = f"**{name}**" if job.is_ours(name) else name
        rows.append(
            [title, *cells, times_ours, levels(at.get(name, {})), "" if memory is None else f"{memory:.0f}", note]
        )
    return [f"### {job.title}", "", *table(head, rows)]


def label(size: str) -> str:
    """A column."""
    return f"{size} px" if size.isdigit() else f"{size.replace('x', ' x ')} px"


def cell(row: dict[str, Any] | None) -> str:
    """Median and interquartile range."""
    if row is None:
        return ""
    return "-" if "problem" in row else f"{milliseconds(row['median'])} ± {milliseconds(row['iqr'])}"


def levels(row: dict[str, Any]) -> str:
    """Mean difference from ours, with an outcry where the definitions are the same and the results are not."""
    if "levels" not in row:
        return ""
    return f"{row['levels']:.2f}" + ("" if row["agrees"] else " **should agree**")


def milliseconds(seconds: float) -> str:
    """Three digits."""
    value = seconds * 1000
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"


# ---- files ----------------------------------------------------------------------------------------------------------

BEGIN, END = "<!-- speed: begin -->", "<!-- speed: end -->"


def write_between_marks(path: Path, text: str) -> None:
    """Replace what stands between the marks; a file without them, or no file, gets them at its end."""
    before, after = path.read_text() if path.exists() else "", ""
    if BEGIN in before:
        before, _, rest = before.partition(BEGIN)
        after = rest.partition(END)[2]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{before.rstrip()}\n\n{BEGIN}\n\n{text}\n\n{END}\n{after.lstrip()}".lstrip())


def plot(record: Record, path: Path) -> None:
    """Megapixels a second at SIZE, a panel for each job."""
    from matplotlib.figure import Figure

    panels = [(load(name), rows) for name in JOBS if (rows := times(record, name, SIZE))]
    if not panels:
        return
    figure = Figure(figsize=(11, 2.3 * ((len(panels) + 1) // 2)), layout="constrained")
    axes = figure.subplots((len(panels) + 1) // 2, 2, squeeze=False).ravel()
    pixels = int(SIZE) ** 2 / 1e6
    for axis, (job, rows) in zip(axes, panels):
        names = sorted((name for name in rows if "median" in rows[name]), key=lambda name: -rows[name]["median"])
        rates = [pixels / rows[name]["median"] for name in names]
        colors = ["#7a3e9d" if job.is_ours(n) else "#c8c8c8" if n in job.references else "#8fa8bf" for n in names]
        bars = axis.barh(names, rates, color=colors)
        axis.bar_label(bars, [f"{rate:.0f}" if rate >= 100 else f"{rate:.3g}" for rate in rates], padding=3, fontsize=8)
        axis.set(title=job.title, xlim=(0, max(rates) * 1.15))
        axis.tick_params(labelsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    figure.supxlabel(f"megapixels a second, {SIZE} px, one thread", fontsize=9)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
