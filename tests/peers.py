"""openleadr, the independent VEN and owner of the XSD: an environment of its own, made once and cached.

It cannot live beside oadrvtn: openleadr 0.5.36 wants signxml below 5.  Everything that needs it calls
``openleadr()``, under pytest as under trial; the first call on a machine downloads it.
"""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import attrs

REQUIREMENT = "openleadr==0.5.36"


class PeerUnavailable(Exception):
    """The environment could not be made; the text names the command to run where there is network."""


@attrs.frozen
class Peer:
    """``python`` can ``import openleadr``; ``xsd`` the folder of the Alliance's schema (oadr_20b.xsd)."""

    python: Path
    xsd: Path


def openleadr() -> Peer:
    """The cached environment, made if it is missing or unfinished (half a minute, with network).

    Raises PeerUnavailable, at every call after the first without trying again.
    """
    peer = _openleadr()
    if isinstance(peer, PeerUnavailable):
        raise peer
    return peer


@functools.cache
def _openleadr() -> Peer | PeerUnavailable:
    home = _cache() / f"{REQUIREMENT.replace('==', '-')}-py{sys.version_info.major}.{sys.version_info.minor}"
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    peer = Peer(python=home / "bin" / "python", xsd=packages / "openleadr" / "schema")
    complete = home / "complete"
    home.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{home}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # one run makes it, the others wait; a killed one lets go
        # The interpreter is a link to this machine's Python, which may have gone since.
        if not (complete.exists() and peer.python.exists()):
            shutil.rmtree(home, ignore_errors=True)
            if failure := _make(home, peer):
                return failure
            complete.touch()
    return peer


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "oadrvtn-tests"


def _make(home: Path, peer: Peer) -> PeerUnavailable | None:
    steps = [
        [sys.executable, "-m", "venv", "--without-pip", str(home)],
        [sys.executable, "-m", "pip", "--python", str(peer.python), "install", "--quiet", REQUIREMENT],
        [str(peer.python), "-c", "import openleadr"],
    ]
    for step in steps:
        done = subprocess.run(step, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            return PeerUnavailable(
                f"the tests need {REQUIREMENT} in an environment of its own, and making it failed at:\n"
                f"    {' '.join(step)}\n{done.stdout}\n"
                f"Where there is network, run this from the checkout, then the tests again:\n"
                f"    {sys.executable} -m tests.peers"
            )
    return None


if __name__ == "__main__":
    print(openleadr())
