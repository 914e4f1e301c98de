"""One program at a time on an output, and the lock of a killed one blocks nobody."""

import errno
import os
import signal
import subprocess
import sys
import threading

import pytest

from stainxform.errors import OutputBusyError, OutputError, StainXformError, StainXformWarning
from stainxform.io import lock as module
from stainxform.io.lock import is_locked, lock_output, lock_path

HOLD = """
import sys, time
from stainxform.io.lock import lock_output
with lock_output(sys.argv[1]):
    print("locked", flush=True)
    time.sleep(60)
"""


def holder(output):
    """A process that holds the lock of an output."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(output)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "locked\n"
    return process


@pytest.mark.parametrize("made", [False, True], ids=["new", "there"])
@pytest.mark.parametrize("name", ["model.safetensors", "tiles/slide"])
def test_the_second_fails_at_once_and_a_killed_one_blocks_nobody(name, made, tmp_path):
    output = tmp_path / name
    if made:
        output.mkdir(parents=True)
        (output / "mine.txt").write_text("mine")
    with holder(output) as process:
        assert is_locked(output)
        with (
            pytest.raises(OutputBusyError, match=f"another process is writing {output}; wait for it"),
            lock_output(output),
        ):
            pass
        assert not made or (output / "mine.txt").read_text() == "mine"
        process.send_signal(signal.SIGKILL)
    assert not is_locked(output)
    with lock_output(output):
        assert is_locked(output)
    assert not is_locked(output)
    assert not lock_path(output).exists(), "a lock that is not held leaves no file"


def test_two_threads_of_one_process_are_two(tmp_path):
    refused = []

    def second():
        try:
            with lock_output(tmp_path / "out"):
                pass
        except OutputBusyError as error:
            refused.append(error)

    with lock_output(tmp_path / "out"):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert len(refused) == 1


def test_an_error_in_the_block_lets_go(tmp_path):
    with pytest.raises(ZeroDivisionError), lock_output(tmp_path / "out"):
        raise ZeroDivisionError
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_does_not_hold_the_lock(tmp_path):
    """Workers of a DataLoader may outlive a process that was killed."""
    code = HOLD.replace(
        "    print",
        "    import os\n    if not os.fork():\n        print(0, flush=True)\n        time.sleep(60)\n    print",
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "out")], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    try:
        for _ in range(2):  # the child's line and the parent's
            process.stdout.readline()
        assert is_locked(tmp_path / "out")
        process.kill()
        process.wait()
        with lock_output(tmp_path / "out"):
            pass
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.stdout.close()


def test_many_processes_one_winner_at_a_time(tmp_path):
    """Each appends a line when it begins and when it ends; nobody is between two lines of another."""
    code = """
import sys, time
from stainxform.io.lock import lock_output
from stainxform.errors import OutputBusyError
for _ in range(60):
    try:
        with lock_output(sys.argv[1]), open(sys.argv[2], "a") as log:
            print("in", file=log, flush=True)
            print("out", file=log, flush=True)
    except OutputBusyError:
        pass
"""
    log = tmp_path / "log"
    processes = [subprocess.Popen([sys.executable, "-c", code, tmp_path / "out", log]) for _ in range(3)]
    assert [process.wait() for process in processes] == [0, 0, 0]
    lines = log.read_text().split()
    assert lines == ["in", "out"] * (len(lines) // 2)


def test_where_there_are_no_locks_you_are_told(tmp_path, monkeypatch):
    def unknown(descriptor):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(module, "_lock", unknown)
    with pytest.warns(StainXformWarning, match="knows no locks"), lock_output(tmp_path / "out"):
        pass


def test_a_disk_that_numbers_files_anew_at_each_look(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_is", lambda *_: False)
    with lock_output(tmp_path / "out"):
        pass


def test_folders_that_cannot_be_written_to(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be made"), lock_output(tmp_path / "file" / "deeper" / "out"):
        pass

    def read_only(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(module.os, "open", read_only)
    with (
        pytest.raises(StainXformError, match=r"out cannot be written \(Permission denied\)"),
        lock_output(tmp_path / "out"),
    ):
        pass
