"""Slides on a Dask cluster: the same files as here, whatever happens to its workers."""

import os
import pickle
import signal
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

import stainxform as sx
from stainxform.cli.app import app
from stainxform.errors import MissingDependencyError, StainXformError, StainXformWarning
from stainxform.samples import pair

distributed = pytest.importorskip("distributed")
pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

from slide_files import tissue, write  # noqa: E402

from stainxform.pipeline import ModelFile, Pyramid, Recipe, plan_slides, run  # noqa: E402
from stainxform.pipeline import cluster as module  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::Warning:distributed.*", "ignore::Warning:tornado.*")


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "a.safetensors"
    sx.fit_center(pair(3, 64, ("a",), 1)[0], "macenko").save(path)
    return path


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "in").mkdir()
    for name, size in {"one": (333, 421), "two": (200, 300), "three": (150, 180)}.items():
        write(tmp_path / "in" / f"{name}.tif", tissue(*size))
    return tmp_path / "in"


@pytest.fixture(scope="module")
def threads_cluster():
    """A scheduler and a worker in this process: what is tested here needs no other."""
    with distributed.LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, resources={"GPU": 1}
    ) as cluster:
        yield cluster


def files(folder):
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_calibration_on_a_cluster_maps_each_slide_as_its_group(bridge, folder, tmp_path, threads_cluster):
    path = tmp_path / "b_to_a.safetensors"
    bridge.save(path)
    (folder / "one.tif").rename(folder / "a.tif")
    for out, scheduler in (("here", ""), ("there", threads_cluster.scheduler_address)):
        outcomes = sx.normalize_slides(folder, tmp_path / out, path, scheduler=scheduler)
        assert {outcome.status for outcome in outcomes} == {"written"}
    assert files(tmp_path / "here") == files(tmp_path / "there")
    with pytest.warns(StainXformWarning, match="no map of the group 'z'"):
        sx.normalize_slides(folder, tmp_path / "z", path, group="z", scheduler=threads_cluster.scheduler_address)
    assert files(tmp_path / "z")["a.ome.tif"] != files(tmp_path / "here")["a.ome.tif"]


def test_a_cluster_writes_the_same_files(model, folder, tmp_path, threads_cluster):
    sx.normalize_slides(folder, tmp_path / "here", model)
    outcomes = sx.normalize_slides(
        folder, tmp_path / "there", model, scheduler=threads_cluster.scheduler_address, resources={"GPU": 1}
    )
    assert {outcome.status for outcome in outcomes} == {"written"}
    assert files(tmp_path / "here") == files(tmp_path / "there")


def test_a_bad_slide_is_an_outcome_and_complete_ones_are_kept(model, folder, tmp_path, threads_cluster):
    (folder / "bad.tif").write_bytes((folder / "one.tif").read_bytes()[:3000])
    command = ["slide", folder, "-m", model, "-o", tmp_path / "out", "--scheduler", threads_cluster.scheduler_address]
    for options, summary in {(): "3 written, 0 complete", ("--resume",): "0 written, 3 complete"}.items():
        result = CliRunner(env={"COLUMNS": "200"}).invoke(app, [str(a) for a in (*command, *options)])
        assert result.exit_code == 1
        assert f"{summary} before, 1 failed" in result.stdout
        assert "bad.tif" in result.stderr


def test_a_task_holds_the_models_path_and_hash_and_not_the_model(model, folder, tmp_path):
    recipe = Recipe(Pyramid(), ModelFile.at(model))
    (job, *_) = plan_slides([folder], tmp_path / "out", recipe.output)
    assert len(pickle.dumps((module.process, job, recipe))) < 2000
    assert pickle.loads(pickle.dumps(recipe)) == recipe


def test_a_worker_refuses_another_model_than_was_sent(model, folder, tmp_path, threads_cluster):
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(model.read_bytes())
    recipe = Recipe(Pyramid(), ModelFile.at(copy))
    copy.write_bytes(model.read_bytes() + b" ")
    jobs = plan_slides([folder / "one.tif"], tmp_path / "out", recipe.output)
    (outcome,) = run(jobs, recipe, scheduler=threads_cluster.scheduler_address)
    assert "is not the one that the work was begun with" in outcome.message


def test_names_of_slides_are_no_keys_of_tasks(model, folder, tmp_path, threads_cluster):
    keys = []
    original = distributed.Client.submit

    def submit(self, *args, key=None, **options):
        keys.append(key)
        return original(self, *args, key=key, **options)

    distributed.Client.submit = submit
    try:
        sx.normalize_slides(folder, tmp_path / "out", model, scheduler=threads_cluster.scheduler_address)
    finally:
        distributed.Client.submit = original
    assert len(keys) == 3
    assert not any(name in key for key in keys for name in ("one", "two", "three"))


def test_a_scheduler_that_is_not_there(model, folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.5)
    with pytest.raises(StainXformError, match=r"no Dask scheduler can be reached at tcp://127\.0\.0\.1:9"):
        sx.normalize_slides(folder, tmp_path / "out", model, scheduler="tcp://127.0.0.1:9")


def test_without_distributed_the_error_names_the_extra(model, folder, tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"stainxform\[dask\]"):
        sx.normalize_slides(folder, tmp_path / "out", model, scheduler="local")


@pytest.mark.slow
def test_processes_of_this_machine(model, folder, tmp_path):
    sx.normalize_slides(folder, tmp_path / "here", model)
    outcomes = sx.normalize_slides(folder, tmp_path / "there", model, scheduler="local", threads=1)
    assert {outcome.status for outcome in outcomes} == {"written"}
    assert files(tmp_path / "here") == files(tmp_path / "there")


def note_always():
    import stainxform.slides.writer.write

    stainxform.slides.writer.write.NOTE_SECONDS = 0


@pytest.mark.slow
def test_a_killed_worker_loses_nothing(model, tmp_path):
    source = write(tmp_path / "big.tif", np.tile(tissue(512, 512), (5, 5, 1)), levels=1, tile=(256, 256))
    sx.normalize_slides(source, tmp_path / "here", model)
    out, killed = tmp_path / "there", []
    part = out / "big.ome.tif.part"
    with (
        distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(note_always)

        def kill():
            (pid,) = client.run(os.getpid).values()
            end = time.monotonic() + 60
            while time.monotonic() < end and not (part.exists() and part.stat().st_size > 200_000):
                time.sleep(0.002)
            os.kill(pid, signal.SIGKILL)
            killed.append((pid, part.exists() and not (out / "big.ome.tif").exists()))

        killer = threading.Thread(target=kill)
        killer.start()
        (outcome,) = sx.normalize_slides(source, out, model, threads=1, scheduler=cluster.scheduler_address)
        killer.join()
        (pid,) = client.run(os.getpid).values()
    assert outcome.status == "written"
    assert killed[0][1], "the worker was not in the middle of the slide"
    assert pid != killed[0][0]
    assert files(tmp_path / "here") == files(out)
