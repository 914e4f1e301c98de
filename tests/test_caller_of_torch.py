"""Whatever a program has set in torch: fits and results are the same. Ctrl-C, forks and threads of torch."""

from __future__ import annotations

import pickle
import signal
import subprocess
import sys
import tempfile
from contextlib import ExitStack, contextmanager

import numpy as np
import pytest
import torch
from conftest import TINY
from training import same_weights
from typer.testing import CliRunner

import stainxform as sx
from stainxform._torch import threads
from stainxform.cli.app import app
from stainxform.errors import TrainingError
from stainxform.learning import loop
from stainxform.nn import Normalize
from stainxform.onnx import export

each_method = pytest.mark.parametrize("method", TINY)


@contextmanager
def default_dtype(dtype):
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


@contextmanager
def products_in(precision):
    torch.set_float32_matmul_precision(precision)
    try:
        yield
        assert torch.get_float32_matmul_precision() == precision
    finally:
        torch.set_float32_matmul_precision("highest")


CALLERS = {
    "an evaluation in bfloat16": lambda: [
        torch.autocast("cpu", torch.bfloat16), torch.no_grad(), default_dtype(torch.bfloat16), torch.device("meta"),
    ],
    "a fast one": lambda: [products_in("medium")],
    "an inference server": lambda: [torch.autocast("cpu", torch.float16), torch.inference_mode()],
    "a careful one": lambda: [
        default_dtype(torch.float64), deterministic(), torch.autograd.set_detect_anomaly(True, check_nan=False)
    ],
}  # fmt: skip


def as_tensor(tiles):
    return torch.from_numpy(np.moveaxis(tiles, -1, 1).copy())


def everything(method, tiles, folder):
    """A fit, and all that is computed and built from it: arrays by name, and modules that are used later."""
    ours, theirs = tiles
    fitted = sx.fit_center(ours, method, qc="off", **TINY[method])
    fitted.save(folder / "model.safetensors")
    loaded, images = sx.load(folder / "model.safetensors"), as_tensor(theirs)
    color_map = loaded.fixed_map or loaded.map_for_tiles(list(theirs))
    modules = {"module": Normalize(loaded), "map module": Normalize(color_map)}
    found = {f"weight {name}": array for name, array in fitted.arrays().items()}
    found |= {name: module(images).numpy() for name, module in modules.items()}
    found |= {
        "image": loaded(theirs),
        "float image": loaded((theirs / 255).astype(np.float32)),
        "tensor": loaded(images).numpy(),
        "map": color_map(theirs[0]),
        "pickled": pickle.loads(pickle.dumps(loaded))(theirs[0]),
        "pickled module": pickle.loads(pickle.dumps(modules["module"]))(images).numpy(),
    }
    return found, modules


@each_method
def test_what_the_caller_has_set_in_torch_changes_nothing(method, tiles, tmp_path):
    wanted, _ = everything(method, tiles, tmp_path)
    for name, contexts in CALLERS.items():
        state = torch.get_rng_state()
        with ExitStack() as stack:
            for context in contexts():
                stack.enter_context(context)
            found, modules = everything(method, tiles, tmp_path)
        assert found.keys() == wanted.keys()
        for key in wanted:
            np.testing.assert_array_equal(found[key], wanted[key], err_msg=f"{key} in {name}")
        assert torch.equal(torch.get_rng_state(), state), name
        for module in modules.values():  # what was built there has gradients here
            image = (as_tensor(tiles[1]).float() / 255).requires_grad_()
            module(image).sum().backward()
            assert image.grad is not None


def test_an_export_in_a_strange_program(normalizers, tiles, tmp_path):
    pytest.importorskip("onnx")
    color_map = normalizers["macenko"].map_for(tiles[1][0])
    export(color_map, tmp_path / "plain.onnx")
    with (
        torch.autocast("cpu", torch.bfloat16),
        torch.inference_mode(),
        default_dtype(torch.float64),
        torch.device("meta"),
    ):
        export(color_map, tmp_path / "strange.onnx")
    assert (tmp_path / "plain.onnx").read_bytes() == (tmp_path / "strange.onnx").read_bytes()


def test_what_torch_cannot_do_is_one_sentence(monkeypatch, tiles):
    def step_loss(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 2 GiB")

    monkeypatch.setattr("stainxform.normalizers.stainlut.training.StainLUTTask.step_loss", step_loss)
    with pytest.raises(TrainingError, match=r"torch cannot go on \(CUDA out of memory\.\)"):
        sx.fit_center(tiles[0], "stainlut", **TINY["stainlut"])


# ---------------------------------------------------------------- Ctrl-C


@contextmanager
def ctrl_c_after(step, times=1):
    """Ctrl-C while a step of a training is reported."""

    @contextmanager
    def progress(settings):
        def report(number, loss, numbers):
            for _ in range(times if number == step else 0):
                signal.raise_signal(signal.SIGINT)

        yield report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "_progress", progress)
        yield
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


@each_method
def test_a_fit_that_was_interrupted_goes_on(method, tiles, tmp_path, capsys, monkeypatch):
    settings = TINY[method] | {"steps": 5, "validate_every": 2}
    wanted = sx.fit_center(tiles[0], method, **settings)
    with ctrl_c_after(3), pytest.raises(KeyboardInterrupt, match=r"stopped after step 3 of 5") as stopped:
        sx.fit_center(tiles[0], method, workdir=tmp_path, **settings)
    assert f"workdir={str(tmp_path)!r}" in str(stopped.value)
    assert "Ctrl-C again stops at once" in capsys.readouterr().err
    assert same_weights(sx.fit_center(tiles[0], method, workdir=tmp_path, **settings), wanted)


def test_without_a_folder_the_checkpoint_is_a_temporary_one(tiles, tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    settings = TINY["stainlut"] | {"steps": 4}
    with ctrl_c_after(2), pytest.raises(KeyboardInterrupt, match="saved as"):
        sx.fit_center(tiles[0], "stainlut", **settings)
    (folder,) = tmp_path.iterdir()
    assert folder.stat().st_mode & 0o077 == 0
    resumed = sx.fit_center(tiles[0], "stainlut", workdir=folder, **settings)
    assert same_weights(resumed, sx.fit_center(tiles[0], "stainlut", **settings))


def test_a_second_ctrl_c_stops_at_once(tiles, tmp_path):
    with ctrl_c_after(1, times=2), pytest.raises(KeyboardInterrupt) as stopped:
        sx.fit_center(tiles[0], "stainlut", workdir=tmp_path, **TINY["stainlut"])
    assert str(stopped.value) == ""


def test_ctrl_c_on_the_command_line(tiles, tmp_path):
    np.save(tmp_path / "tile.npy", tiles[0][0])
    from PIL import Image

    (tmp_path / "tiles").mkdir()
    Image.fromarray(tiles[0][0]).save(tmp_path / "tiles" / "a.png")
    command = [
        "fit",
        str(tmp_path / "tiles"),
        "-o",
        str(tmp_path / "m.safetensors"),
        "--method",
        "stainlut",
        "--steps",
        "4",
    ]
    command += ["--set", "bases=2", "--set", "size=5", "--set", "crop=32", "--workdir", str(tmp_path / "work dir")]
    with ctrl_c_after(2):
        result = CliRunner().invoke(app, command)
    assert result.exit_code == 130
    said = result.output.replace("\n", "")
    assert f"--workdir '{tmp_path / 'work dir'}'" in said
    assert (tmp_path / "work dir" / loop.CHECKPOINT).exists()
    assert CliRunner().invoke(app, command).exit_code == 0


# ---------------------------------------------------------------- forks and threads

FORK = """
import multiprocessing, sys, torch
import numpy as np, stainxform as sx
torch.set_num_threads(2)
normalizers = [sx.load(path) for path in sys.argv[2:]]
image = np.random.default_rng(0).integers(30, 220, (300, 300, 3), dtype=np.uint8)
tensor = torch.from_numpy(np.moveaxis(image / 255, -1, 0).copy()).float()
if sys.argv[1] == "used":
    wanted = [normalizer(image) for normalizer in normalizers]
else:  # by the user alone, not through us
    torch.nn.Conv2d(3, 64, 3)(tensor[None]), torch.rand(2000, 2000).sum()

def child(queue):
    threads = torch.get_num_threads()
    queue.put((threads, [normalizer(image) for normalizer in normalizers], sx.Macenko()(tensor).shape))

context = multiprocessing.get_context("fork")
queue = context.Queue()
process = context.Process(target=child, args=(queue,))
process.start()
threads, found, _ = queue.get(timeout=60)
process.join(10)
assert process.exitcode == 0
assert torch.get_num_threads() == 2
if sys.argv[1] == "used":
    assert threads == 1
    for one, other in zip(found, wanted, strict=True):
        assert np.array_equal(one, other)
"""


@pytest.mark.skipif(not hasattr(sx._optional.os, "fork"), reason="no fork here")
@pytest.mark.parametrize("parent", ["used", "by the user alone"])
def test_a_forked_child_comes_back(parent, normalizers, tmp_path):
    names = ("colornormnet", "staingan", "stainlut")
    for name in names:
        normalizers[name].save(tmp_path / name)
    files = [str(tmp_path / name) for name in names]
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORK, parent, *files],
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert run.returncode == 0, run.stderr


def test_a_forked_child_of_a_program_without_us_keeps_its_threads():
    code = (
        "import os, stainxform, torch; torch.set_num_threads(2); pid = os.fork();"
        "os._exit(torch.get_num_threads()) if pid == 0 else print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "2"


def test_threads_of_torch_are_back_after_fits_side_by_side():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        first, second = threads(1), threads(2)
        first.__enter__()
        second.__enter__()
        first.__exit__(None, None, None)
        second.__exit__(None, None, None)
        assert torch.get_num_threads() == 3
        with threads(None):
            assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
