"""A function on many items, on threads, some of them ahead of whoever takes the results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch(
    function: Callable[[Item], Result],
    items: Iterable[Item],
    threads: int,
    ahead: int | None = None,
    name: str = "stainxform",
) -> Generator[Result, None, None]:
    """Results of a function in the order of the items; meanwhile the next ones are computed.

    Close the generator if it may be left early (``contextlib.closing``): what has not begun is then cancelled, what has
    begun is waited for, and no thread is left. An exception of the function is raised in the place of its result.

    Parameters
    ----------
    function : callable
        Called by several threads at a time.
    items : iterable
        Taken as they are needed.
    threads : int
        How many work.
    ahead : int, optional
        Results that are computed or wait at a time; default: twice the threads.
    name : str, optional
        With which the names of the threads begin.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix=name)
    try:
        rest = iter(items)
        waiting = deque(pool.submit(function, item) for item in islice(rest, ahead or 2 * threads))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(function, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
