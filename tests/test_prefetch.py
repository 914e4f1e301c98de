"""Results in order, computed ahead, and no thread left whatever happens."""

import threading
import time

import pytest

from stainxform._native.prefetch import prefetch


def threads_left(name):
    return [thread for thread in threading.enumerate() if thread.name.startswith(name)]


@pytest.mark.parametrize(("threads", "ahead"), [(1, None), (3, None), (2, 7)])
def test_results_come_in_order_and_items_are_taken_as_needed(threads, ahead):
    taken = []

    def items():
        for number in range(30):
            taken.append(number)
            yield number

    def slow_at_first(number):
        time.sleep(0.02 if number == 0 else 0)
        return number**2

    results = prefetch(slow_at_first, items(), threads, ahead)
    assert taken == []
    assert next(results) == 0
    assert len(taken) == (ahead or 2 * threads) + 1
    assert list(results) == [number**2 for number in range(1, 30)]


def test_an_early_close_cancels_what_has_not_begun_and_leaves_no_thread():
    begun, go = [], threading.Event()

    def wait(number):
        begun.append(number)
        if number:
            go.wait(5)
        return number

    results = prefetch(wait, range(100), 2, 20, name="test-close")
    assert next(results) == 0
    assert threads_left("test-close")
    threading.Timer(0.05, go.set).start()
    results.close()
    assert not threads_left("test-close")
    assert len(begun) <= 4


def test_an_error_comes_in_the_place_of_its_result_and_leaves_no_thread():
    results = prefetch(lambda number: 1 / (3 - number), range(50), 2, name="test-error")
    assert [next(results) for _ in range(3)] == [1 / 3, 1 / 2, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert not threads_left("test-error")


def test_an_error_of_the_items_leaves_no_thread():
    def items():
        yield from range(5)
        raise OSError("no more items")

    with pytest.raises(OSError, match="no more items"):
        list(prefetch(str, items(), 2, 2, name="test-items"))
    assert not threads_left("test-items")


def test_no_items_no_results():
    assert list(prefetch(str, [], 2)) == []
