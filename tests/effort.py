"""What something costs, against a loop in the same run: the speed of the machine is in both, and cancels out."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable
from typing import Any

MOMENT = 400.0
"""An effort that is about a second on a slow machine: what is refused at once stays far below it."""


def _spent(action: Callable[..., Any], *arguments: Any) -> float:
    start = time.thread_time()
    action(*arguments)
    return time.thread_time() - start


def _loop() -> None:
    for _ in range(200_000):
        pass


def effort(action: Callable[..., Any], *arguments: Any, enough: float = MOMENT) -> float:
    """The CPU time of a call in this thread, in loops of 200,000 empty rounds (a few milliseconds each).

    The least of three tries, or the first that is below ``enough``: what a busy machine adds is not the call's.
    """
    collecting = gc.isenabled()
    gc.disable()  # what other tests left in the heap is not to be walked here
    try:
        least = float("inf")
        for _ in range(3):
            least = min(least, _spent(action, *arguments) / _spent(_loop))
            if least < enough:
                break
        return least
    finally:
        if collecting:
            gc.enable()
