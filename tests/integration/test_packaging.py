"""The package as others get it: the wheel, the editable install, the two command lines.  Needs no network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
RUN = "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/twistd -n oadrvtn --demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/python -m pytest"


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A fresh copy of what builds the package, so that building leaves nothing in the real checkout."""
    copy = tmp_path / "checkout"
    litter = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for folder in ("oadrvtn", "twisted", "tests"):
        shutil.copytree(CHECKOUT / folder, copy / folder, ignore=litter)
    for file in ("setup.py", "pyproject.toml", "README.rst", "LICENSE"):
        shutil.copy(CHECKOUT / file, copy)
    return copy


def output(*command: str | Path, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=cwd,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_wheel_holds_the_whole_package_and_the_plugin_and_nothing_else(checkout: Path) -> None:
    package = {str(path.relative_to(checkout)) for path in checkout.glob("oadrvtn/**/*") if path.is_file()}
    pip = (sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation")
    output(*pip, "--wheel-dir", "wheels", ".", cwd=checkout)
    (wheel,) = (checkout / "wheels").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert packed == package | {"twisted/plugins/oadrvtn_plugin.py"}


def test_twistd_finds_an_editable_install_from_anywhere(checkout: Path, tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "venv", tmp_path / "elsewhere"
    elsewhere.mkdir()
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    # The new environment sees the libraries of this one, but not what this one has installed editable.
    packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(home)}))
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip = (python, "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--ignore-installed")
    output(*pip, "--editable", checkout, cwd=elsewhere)
    twistd = Path(sysconfig.get_path("scripts")) / "twistd"
    assert "OpenADR 2.0b VTN: serves VENs" in output(python, twistd, "--help", cwd=elsewhere)
    where = "import twisted.plugins.oadrvtn_plugin as plugin; print(plugin.__file__)"
    assert Path(output(python, "-c", where, cwd=elsewhere).strip()).is_relative_to(checkout)


def test_the_readme_holds_both_command_lines_word_for_word() -> None:
    lines = [line.strip() for line in (CHECKOUT / "README.rst").read_text("utf-8").splitlines()]
    assert lines.count(RUN) == lines.count(TEST) == 1


def test_ci_runs_the_readmes_test_command_then_trial_and_the_guard(tmp_path: Path) -> None:
    (tmp_path / ".ci").mkdir()
    shutil.copy(CHECKOUT / ".ci" / "run", tmp_path / ".ci")
    (tmp_path / "README.rst").write_text(f"Run::\n\n    {RUN}\n\nTest::\n\n    {TEST} --word-for-word\n")
    # Programs that only note how they were called; "python3 -m venv" makes the next two of them.
    note = '#!/bin/sh\necho "${0##*/} $*" >> calls\n'
    bin = tmp_path / "bin"
    bin.mkdir()
    for program in ("pip", "python"):
        (bin / program).write_text(note)
    (bin / "python3").write_text(f"{note}[ $2 != venv ] || {{ mkdir -p .venv/bin && cp bin/* .venv/bin; }}\n")
    for file in bin.iterdir():
        file.chmod(0o755)
    output(tmp_path / ".ci" / "run", cwd=tmp_path, PATH=f"{bin}:{os.environ['PATH']}")
    calls = (tmp_path / "calls").read_text().splitlines()
    assert [call for call in calls if not call.startswith("python3 -c ")] == [
        "python3 -m venv .venv",
        "pip install -e .[test]",
        "python -m pytest --word-for-word",
        "python -m twisted.trial tests",
        "python -m bench --quiet guard",
    ]
