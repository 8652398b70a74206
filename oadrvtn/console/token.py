"""The bearer token of the operator's API: made at the first start, in a file that only its owner may read."""

from __future__ import annotations

import os
import re
import secrets
import tempfile
from pathlib import Path

from ..model.config import ConfigError

_FIT = re.compile("[\x21-\x7e]{16,}")


def load_token(path: Path) -> str:
    """The token in ``path``; where there is no such file it is made, of 32 random bytes, with mode 0600.

    Raises ConfigError, like ``read_token``.
    """
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise ConfigError([f"api.token_file: {path}: {error.strerror}"]) from error
    return read_token(path)


def read_token(path: Path) -> str:
    """The token in ``path``.

    Raises ConfigError for a file that cannot be read, that everybody may read (who can read it can do
    all that the API can), or that holds no token: at least 16 characters without white space.
    """
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise ConfigError([f"api.token_file: {path} is open to everybody on this machine: chmod 600 it"])
            token = file.read(1000).strip()
    except FileNotFoundError as error:
        raise ConfigError([f"api.token_file: there is no {path}: the VTN makes it at its first start"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"api.token_file: {path}: {getattr(error, 'strerror', None) or error}"]) from error
    if not _FIT.fullmatch(token):
        raise ConfigError([f"api.token_file: {path} holds no token: delete it, the VTN makes a new one"])
    return token


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes it with mode 0600, and nobody ever sees half of it under its name.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".token-")
    with open(handle, "w") as file:
        file.write(secrets.token_urlsafe(32) + "\n")
    os.replace(draft, path)
