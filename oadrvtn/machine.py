"""What the operating system lets this process have."""

from __future__ import annotations

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


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_NOFILE)
