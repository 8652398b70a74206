"""Bearer tokens of the operator's API: how one is made and read, and the one in a file that only its owner may read."""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import tempfile
from pathlib import Path

from ..model.config import ConfigError

LOCAL = "local"
"""Who shows the token in the file; it is good for everything."""

_FIT = re.compile("[\x21-\x7e]{16,}")
_MADE = re.compile("oadrvtn_([0-9a-f]{12})_[A-Za-z0-9_-]{43}")


def make_token() -> str:
    """A new token: an ID that is no secret, then 32 random bytes."""
    return f"oadrvtn_{secrets.token_hex(6)}_{secrets.token_urlsafe(32)}"


def id_of(token: str) -> str:
    """The ID in a token; empty for what ``make_token`` did not make."""
    found = _MADE.fullmatch(token)
    return found[1] if found else ""


def digest(token: str) -> bytes:
    """What is kept of a token: its SHA-256, which is enough for what is as random as a key."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


def load_token(path: Path) -> str:
    """The token in ``path``; where there is no such file it is made, with mode 0600.

    Raises ConfigError, like ``read_token``.
    """
    if not path.exists():
        try:
            _make(path)
        except OSError as error:
            raise ConfigError([f"api.token_file: {path}: {error.strerror}"]) from error
    return read_token(path)


def read_token(path: Path, place: str = "api.token_file") -> str:
    """The token in ``path``.

    Raises ConfigError for a file that cannot be read, that everybody may read (who can read it can do
    all that the token is good for), or that holds no token: at least 16 characters without white space.
    """
    try:
        with path.open() as file:
            if os.fstat(file.fileno()).st_mode & 0o007:
                raise ConfigError([f"{place}: {path} is open to everybody on this machine: chmod 600 it"])
            token = file.read(1000).strip()
    except FileNotFoundError as error:
        raise ConfigError([f"{place}: there is no {path}: the VTN makes it at its first start"]) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{place}: {path}: {getattr(error, 'strerror', None) or error}"]) from error
    if not _FIT.fullmatch(token):
        raise ConfigError([f"{place}: {path} holds no token: delete it, the VTN makes a new one"])
    return token


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    # mkstemp makes it with mode 0600, and nobody ever sees half of it under its name.
    handle, draft = tempfile.mkstemp(dir=path.parent, prefix=".token-")
    with open(handle, "w") as file:
        file.write(make_token() + "\n")
    os.replace(draft, path)
