"""What the operating system lets this process have, and how it goes about its memory."""

from __future__ import annotations

import gc
import resource

SPARE = 200
"""Files that a process may have open beside its connections."""


def allow_files(wanted: int) -> int:
    """Let this process have so many files open, or as many as it may; how many that are."""
    soft, hard = (wanted if limit == resource.RLIM_INFINITY else limit for limit in _limits())
    if soft >= wanted:
        return soft
    allowed = min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, _limits()[1]))
    return allowed


def collect_garbage_seldom() -> None:
    """Have what is here by now stay, and no new 700 objects looked through that may soon be gone by themselves."""
    gc.freeze()
    gc.set_threshold(2_000, 20, 20)


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
