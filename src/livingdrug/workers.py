"""Work spread over processes that end with the one that started them, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from typing import Any

__all__ = ["in_processes"]


def in_processes(function: Callable[[Any], Any], tasks: Sequence[Any], workers: int) -> Iterator[tuple[int, Any]]:
    """Yield the number of each task and its result, in the order in which they are finished.

    Args:
        function: of a module, so that other processes find it.
        tasks: what it is called with, one after the other.
        workers: processes; with 1 all is done here, in order.

    Example:
        >>> dict(in_processes(abs, [-1, -2], workers=1))
        {0: 1, 1: 2}
    """
    if min(workers, len(tasks)) <= 1:
        for number, task in enumerate(tasks):
            yield number, function(task)
        return
    # Spawned, not forked: the engine's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    others = set(multiprocessing.active_children())
    with ProcessPoolExecutor(min(workers, len(tasks)), mp_context=context, initializer=_end_with_the_parent) as pool:
        try:
            with _interrupted_after():  # a worker that is cut off while it is begun would print a traceback
                waiting = {pool.submit(function, task): number for number, task in enumerate(tasks)}
            for future in as_completed(waiting):
                yield waiting[future], future.result()
        except BaseException:  # an interruption, too: nobody waits for what was not begun, or is not finished
            for worker in set(multiprocessing.active_children()) - others:
                worker.terminate()
            pool.shutdown(cancel_futures=True)
            raise


@contextmanager
def _interrupted_after() -> Iterator[None]:
    """Let Ctrl-C take effect when the block is done; only the main thread hears of it at all."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    asked: list[int] = []
    before = signal.signal(signal.SIGINT, lambda *_: asked.append(1))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if asked:
        signal.raise_signal(signal.SIGINT)


def _end_with_the_parent() -> None:
    """Let a worker end when the process that started it does, even if that was killed; Ctrl-C ends it at once."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_wait_for_the_parent, daemon=True).start()


def _wait_for_the_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
