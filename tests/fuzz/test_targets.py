"""What a fuzzer tries, with a small budget; ``python -m tests.fuzz`` has a longer breath."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

import tests
from tests.fuzz.targets import TARGETS, Choices, bent, decoding, verifying

FOUND: dict[str, tuple[str, ...]] = {"decode": ("0a3df66200000012000000647e00000000f9",), "verify": ()}
"""What once was a fault, as the bytes that a fuzzer printed for it (hexadecimal)."""

_budget = settings(max_examples=200, deadline=None, suppress_health_check=list(HealthCheck))


class Targets(SynchronousTestCase):
    """Nothing that is sent breaks the VTN, and nothing is read that nobody has written."""

    @_budget
    @given(st.binary(min_size=4, max_size=120))
    def test_a_bent_message_is_refused_or_read_as_what_it_says(self, data: bytes) -> None:
        decoding(data)

    @_budget
    @given(st.binary(min_size=4, max_size=120))
    def test_a_bent_signed_document_is_refused_or_what_was_signed(self, data: bytes) -> None:
        verifying(data)

    def test_what_was_found_stays_mended(self) -> None:
        for name, found in FOUND.items():
            for data in found:
                TARGETS[name](bytes.fromhex(data))

    def test_the_steps_do_bend(self) -> None:
        seed = b'<a><b c="d">e</b><f/></a>'
        bents = {bent([seed], Choices(bytes([0, 0, 0, 1, step, 1, 2, 1, 1, 0]))) for step in range(40)}
        self.assertGreater(len(bents), 8)


@pytest.mark.parametrize("name", TARGETS)
def test_some_seconds_of_fuzzing_find_nothing(name: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", name, "--seconds", "8", "--seed", "1"]
    root = Path(tests.__file__).parent.parent
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, timeout=200)
    said = re.search(r"tried ([0-9,]+), accepted ([0-9,]+), faults 0", done.stdout)
    assert done.returncode == 0 and said, done.stdout + done.stderr
    tried, accepted = (int(figure.replace(",", "")) for figure in said.groups())
    assert 50 < accepted < tried, done.stdout
