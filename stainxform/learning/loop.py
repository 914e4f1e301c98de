"""The training loop that all learned methods share: optimizer steps, validation, checkpoints, resume, logs, progress.

A task (:class:`Task`) says what one step and one validation are. Every step draws its randomness from (seed, step)
alone, so a run that was killed and resumed gives the same weights, bit for bit, as one that was not.
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor, nn

from stainxform._torch import learning, predicting, seeded, threads
from stainxform.errors import StainXformError, TrainingError
from stainxform.io.atomic import atomic_write
from stainxform.io.settings import for_json
from stainxform.learning.settings import TrainingSettings
from stainxform.learning.stop import Stop

__all__ = ["CHECKPOINT", "LOG", "Task", "autocast", "train"]

CHECKPOINT = "checkpoint.safetensors"
LOG = "log.csv"


class Task(Protocol):
    """What is trained.

    All networks live in one module and one Adam: adversaries whose losses do not reach each other's parameters are
    trained by the sum of their losses as by two alternating optimizers.
    """

    @property
    def net(self) -> nn.Module:
        """The network, trained in place. Its buffers, too, are stored in checkpoints."""
        ...

    def parameter_groups(self) -> list[dict[str, Any]]:
        """Groups for Adam, each with its peak ``lr`` and, where they differ from Adam's, ``betas``."""
        ...

    def step_loss(self, step: int, rng: np.random.Generator) -> tuple[Tensor, dict[str, float]]:
        """The loss of one step, with gradient, and numbers for the log (``psnr`` is shown in the progress bar)."""
        ...

    def validate(self) -> dict[str, float]:
        """Numbers of a validation; ``score`` is what the best checkpoint maximizes. Without one the last is best."""
        ...


def autocast(device: torch.device) -> AbstractContextManager[None]:
    """bfloat16 mixed precision on CUDA devices that have it, full precision elsewhere."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return torch.autocast("cuda", torch.bfloat16)  # type: ignore[return-value]
    return nullcontext()


def train(task: Task, settings: TrainingSettings, fingerprint: dict[str, Any]) -> dict[str, float]:
    """Run the loop and leave the best weights in ``task.net``, in eval mode.

    Parameters
    ----------
    task : Task
        What is trained.
    settings : TrainingSettings
        How long and how.
    fingerprint : dict
        JSON-able settings of the method and its data; a checkpoint made with other ones is refused.

    Returns
    -------
    dict of str to float
        The numbers of the best validation, with ``step``.

    Raises
    ------
    TrainingError
        A checkpoint of another run, a damaged one, a loss that is not finite, or what torch cannot do on the device.
    KeyboardInterrupt
        Ctrl-C: after the step at hand. The message says where the checkpoint is that was written, and how to go on.
    """
    try:
        with learning(), threads(settings.threads):
            return _train(task, settings, fingerprint)
    except RuntimeError as error:
        if isinstance(error, StainXformError):
            raise
        first = str(error).strip().partition("\n")[0]
        raise TrainingError(f"torch cannot go on ({first}); another device= or smaller tiles may do") from error


def _train(task: Task, settings: TrainingSettings, fingerprint: dict[str, Any]) -> dict[str, float]:
    net = task.net
    with seeded(settings.seed) as seed, _Log(settings) as log, Stop() as stop, _progress(settings) as report:
        optimizer = torch.optim.Adam(task.parameter_groups(), fused=True)
        peaks = [group["lr"] for group in optimizer.param_groups]
        run = _Run(net, optimizer, best={k: v.detach().clone() for k, v in net.state_dict().items()})
        path = Path(settings.workdir) / CHECKPOINT if settings.workdir else None
        key = _fingerprint(fingerprint, settings)
        if path and settings.resume and path.exists():
            run.restore(path, key)
        log.keep_until(run.step)
        while run.step < settings.steps:
            for group, peak in zip(optimizer.param_groups, peaks):
                group["lr"] = peak * settings.rate(run.step)
            seed(settings.seed * 1_000_003 + run.step)
            net.train()
            optimizer.zero_grad(set_to_none=True)
            loss, numbers = task.step_loss(run.step, np.random.default_rng((settings.seed, run.step)))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            run.step += 1
            value = float(loss.detach())
            if not math.isfinite(value):
                raise TrainingError(f"the loss became {value} at step {run.step}; lower the learning rate")
            report(run.step, value, numbers)
            log.add(run.step, loss=value, **numbers)
            if run.step % settings.validate_every == 0 or run.step == settings.steps:
                net.eval()
                with predicting():
                    result = task.validate()
                run.consider(result)
                log.add(run.step, **{f"val_{name}": number for name, number in result.items()})
                if path:
                    log.flush()
                    run.store(path, key)
            if stop.asked and run.step < settings.steps:
                path = path or Path(tempfile.mkdtemp(prefix="stainxform-")) / CHECKPOINT
                run.store(path, key)
                raise KeyboardInterrupt(
                    f"stopped after step {run.step} of {settings.steps}, saved as {path}; "
                    f"to go on, fit once more with the same tiles and settings and with workdir={str(path.parent)!r}"
                )
    net.load_state_dict(run.best)
    net.eval()
    return {**run.best_numbers, "step": run.best_step}


def _fingerprint(known: dict[str, Any], settings: TrainingSettings) -> str:
    record = known | {"steps": settings.steps, "seed": settings.seed, "decay": settings.decay,
                         "warmup": settings.warmup, "validate_every": settings.validate_every}  # fmt: skip
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=for_json).encode()).hexdigest()


class _Run:
    """Where a run stands: what a checkpoint stores."""

    def __init__(self, net: nn.Module, optimizer: torch.optim.Adam, best: dict[str, Tensor]):
        self.net, self.optimizer = net, optimizer
        self.step = 0
        self.best, self.best_step, self.best_numbers = best, 0, {"score": -math.inf}

    def consider(self, numbers: dict[str, float]) -> None:
        """Keep the weights if they scored best, or if nothing is scored."""
        if "score" not in numbers or numbers["score"] > self.best_numbers["score"]:
            self.best = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
            self.best_step, self.best_numbers = self.step, numbers

    def store(self, path: Path, key: str) -> None:
        from safetensors.torch import save

        tensors = {f"net.{name}": value for name, value in self.net.state_dict().items()}
        tensors |= {f"best.{name}": value for name, value in self.best.items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        record = {"step": self.step, "best_step": self.best_step, "best_numbers": self.best_numbers, "key": key}
        # clone(): safetensors refuses tensors that share memory.
        data = save(
            {k: v.detach().cpu().clone().contiguous() for k, v in tensors.items()},
            {"run": json.dumps(record, default=for_json)},
        )
        path.parent.mkdir(parents=True, exist_ok=True)
        atomic_write(path, data)

    def restore(self, path: Path, key: str) -> None:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(path, "pt") as file:
                record = json.loads(file.metadata()["run"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
            if record["key"] != key:
                raise TrainingError(
                    f"{path} belongs to a run with other settings or tiles; pass resume=False or another workdir"
                )
            self.net.load_state_dict(_section(tensors, "net."))
            self.best = {k: v.to(self.net.state_dict()[k]) for k, v in _section(tensors, "best.").items()}
            states: dict[int, dict[str, Tensor]] = {}
            for name, value in _section(tensors, "adam.").items():
                index, _, field = name.partition(".")
                states.setdefault(int(index), {})[field] = value
            self.optimizer.load_state_dict(self.optimizer.state_dict() | {"state": states})
            self.step, self.best_step = record["step"], record["best_step"]
            self.best_numbers = record["best_numbers"]
        except (SafetensorError, OSError, KeyError, TypeError, ValueError, RuntimeError) as error:
            if isinstance(error, TrainingError):
                raise
            raise TrainingError(f"the checkpoint {path} cannot be read ({error}); delete it to start anew") from error


def _section(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


class _Log:
    """log.csv in the work folder, and TensorBoard events where TensorBoard is installed."""

    def __init__(self, settings: TrainingSettings):
        self.path = Path(settings.workdir) / LOG if settings.workdir else None
        self.rows: list[dict[str, float]] = []
        self.start = time.perf_counter()
        self.events: Any = None

    def __enter__(self) -> _Log:
        if self.path:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                from torch.utils.tensorboard import SummaryWriter

                self.events = SummaryWriter(str(self.path.parent))  # type: ignore[no-untyped-call]
            except ImportError:
                pass
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()
        if self.events:
            self.events.close()

    def keep_until(self, step: int) -> None:
        """Take over the rows of an earlier run up to the step that is resumed from."""
        if self.path and step and self.path.exists():
            with open(self.path, newline="") as file:
                rows = [{k: float(v) for k, v in row.items() if v} for row in csv.DictReader(file)]
            self.rows = [row for row in rows if row["step"] <= step]

    def add(self, step: int, **numbers: float) -> None:
        """Record numbers of a step."""
        if self.path:
            if self.rows and self.rows[-1]["step"] == step:
                self.rows[-1] |= numbers
            else:
                self.rows.append({"step": step, "seconds": round(time.perf_counter() - self.start, 3)} | numbers)
        if self.events:
            for name, number in numbers.items():
                self.events.add_scalar(name, number, step)

    def flush(self) -> None:
        """Write all rows, atomically."""
        if not self.path or not self.rows:
            return
        names = list(dict.fromkeys(name for row in self.rows for name in row))
        lines = [",".join(names)] + [",".join(f"{row[n]:g}" if n in row else "" for n in names) for row in self.rows]
        atomic_write(self.path, ("\n".join(lines) + "\n").encode())


@contextmanager
def _progress(settings: TrainingSettings) -> Iterator[Callable[[int, float, dict[str, float]], None]]:
    shown = sys.stderr.isatty() if settings.progress is None else settings.progress
    if not shown:
        yield lambda step, loss, numbers: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("training"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*columns, console=Console(stderr=True)) as bar:
        job = bar.add_task("training", total=settings.steps, numbers="")
        smooth: dict[str, float] = {}

        def report(step: int, loss: float, numbers: dict[str, float]) -> None:
            for name, number in ({"loss": loss} | numbers).items():
                smooth[name] = 0.95 * smooth.get(name, number) + 0.05 * number
            text = f"loss {smooth['loss']:.4f}" + (f"  PSNR {smooth['psnr']:.1f} dB" if "psnr" in smooth else "")
            bar.update(job, completed=step, numbers=text)

        yield report
