"""Fuzz the decoder or the verifier for a time: by atheris, which follows what code is reached, else at random."""

from __future__ import annotations

import argparse
import importlib.util
import os
import random
import sys
import time
from collections.abc import Callable
from tempfile import gettempdir

NAMES = ("decode", "verify")


class Count:
    """A target that counts; what raises is printed first, for the test that is to come of it."""

    def __init__(self, target: Callable[[bytes], bool]) -> None:
        self._target = target
        self.tried = self.accepted = 0

    def __call__(self, data: bytes) -> None:
        """Try one."""
        self.tried += 1
        try:
            self.accepted += self._target(data)
        except BaseException:
            print(f"a fault: {data.hex()}", flush=True)
            raise

    def told(self) -> str:
        """The figures."""
        return f"tried {self.tried:,}, accepted {self.accepted:,}, faults 0"


def _by_atheris(name: str, seconds: int, seed: int) -> None:
    import atheris

    with atheris.instrument_imports(include=["oadrvtn.wire", "oadrvtn.security.signature", "oadrvtn.model"]):
        from tests.fuzz.targets import TARGETS
    count = Count(TARGETS[name])
    until = time.monotonic() + seconds

    def one(data: bytes) -> None:
        count(data)
        if time.monotonic() > until:
            print(f"{name}, by atheris: {count.told()}", flush=True)
            os._exit(0)  # libFuzzer does not return, and its own end takes the process along

    atheris.Setup(
        [
            sys.argv[0],
            f"-seed={seed}",
            "-max_len=400",
            "-len_control=0",
            "-verbosity=0",
            f"-artifact_prefix={gettempdir()}/",
        ],
        one,
    )
    atheris.Fuzz()


def _at_random(name: str, seconds: int, seed: int) -> None:
    from tests.fuzz.targets import TARGETS

    count, numbers = Count(TARGETS[name]), random.Random(seed)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        count(numbers.randbytes(numbers.randrange(4, 120)))
    print(f"{name}, at random: {count.told()}")


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="for how long (default: 60)")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins; 0: anywhere (default: 1)")
    options = parser.parse_args()
    drive = _by_atheris if importlib.util.find_spec("atheris") else _at_random
    drive(options.target, options.seconds, options.seed or random.randrange(1, 2**31))


if __name__ == "__main__":
    main()
