"""The environment of the independent VEN, where it cannot be made."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]


def test_without_network_the_failure_names_the_command_to_run(tmp_path: Path) -> None:
    offline = {"XDG_CACHE_HOME": str(tmp_path), "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    offline["PIP_FIND_LINKS"] = ""
    for _ in range(2):  # an unfinished environment is no environment
        done = subprocess.run(
            [sys.executable, "-m", "tests.peers"],
            cwd=CHECKOUT,
            env=os.environ | offline,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode != 0
        assert f"{sys.executable} -m tests.peers" in done.stderr
