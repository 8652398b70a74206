"""The operator's end of the API: finds out which VTN is meant, asks it, and tells in one line why it cannot."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from ssl import SSLCertVerificationError
from typing import Any, Self
from urllib.parse import quote, urlencode, urlsplit

import attrs

from ..model.config import Config, is_loopback
from ..security.tls import operator_context
from .token import read_token

TIMEOUT = 30.0
"""Seconds that an answer may take."""

_ANY_ADDRESS = {"0.0.0.0": "127.0.0.1", "::": "::1"}


class ApiError(Exception):
    """The API could not be asked, or said no; the text is one line for the person who asked.

    ``mistakes`` are the ``errors`` of the problem document, each with its place.
    """

    def __init__(self, text: str, mistakes: Sequence[Mapping[str, Any]] = ()) -> None:
        super().__init__(text)
        self.mistakes = mistakes


def demo_directory() -> Path:
    """Where the demonstration keeps its state: ``${XDG_STATE_HOME:-~/.local/state}/oadrvtn/demo``."""
    state = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not state.is_absolute():  # to be ignored then, says the XDG specification
        state = Path.home() / ".local" / "state"
    return state / "oadrvtn" / "demo"


def find_config(named: str | None = None) -> Path:
    """The configuration file of the VTN that is meant.

    It is the one that was named, else that of the environment variable OADRVTN_CONFIG, else ``vtn.toml``
    here, else the demonstration's.  Raises ApiError where there is none.
    """
    if found := named or os.environ.get("OADRVTN_CONFIG"):
        return Path(found)
    usual = (Path("vtn.toml"), demo_directory() / "vtn.toml")
    for path in usual:
        if path.exists():
            return path
    raise ApiError(
        f"which VTN? There is neither {' nor '.join(map(str, usual))}: "
        "name its configuration by --config or OADRVTN_CONFIG, or start the demonstration (twistd -n oadrvtn --demo)"
    )


@attrs.frozen
class File:
    """A file to send; ``sent`` is told how many of its bytes are on their way, piece by piece."""

    kind: str
    content: bytes
    sent: Callable[[int], object] = lambda number: None

    def __iter__(self) -> Iterator[bytes]:
        for start in range(0, len(self.content), _PIECE):
            piece = self.content[start : start + _PIECE]
            yield piece
            self.sent(len(piece))


_PIECE = 0x10000


def _tls(ca: Path | None, certificate: Path | None = None) -> tuple[Callable[..., HTTPConnection], str]:
    return partial(HTTPSConnection, context=operator_context(ca, certificate)), "https"


class Client:
    """Asks one VTN.  ``connect(host, port, timeout=seconds)`` makes the connection of each request."""

    def __init__(
        self,
        host: str,
        port: int,
        token: str,
        connect: Callable[..., HTTPConnection] = HTTPConnection,
        scheme: str = "http",
    ) -> None:
        self._address = _ANY_ADDRESS.get(host, host), port
        self._token = token
        self._connect = connect
        self.url = f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @classmethod
    def of(cls, config: Config, token_file: Path | None = None, ca: Path | None = None) -> Self:
        """The client for the VTN of a configuration, whose certificate it trusts if not the CAs of ``ca``.

        Raises ApiError, ConfigError or CertificateFileError where that offers no API that can be asked.
        """
        api = config.api
        if not api.enabled:
            raise ApiError("this VTN is configured without an API (api.enabled)")
        if not api.port:
            raise ApiError("the API's port is left to chance (api.port = 0): configure one")
        token = read_token(token_file, "--token-file") if token_file else read_token(config.token_path)
        return cls(api.host, api.port, token, *(_tls(ca, api.certificate) if api.certificate else ()))

    @classmethod
    def at(cls, url: str, token_file: Path, ca: Path | None = None) -> Self:
        """The client for the VTN at a URL, on this machine or another.  Raises like ``of``."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            parts, host, port = urlsplit(""), None, None
        if parts.scheme not in ("http", "https") or not host or parts.path.strip("/") or parts.query:
            raise ApiError(f'{url!r} is no address of an API, such as "https://vtn.example.org:8080"')
        token = read_token(token_file, "--token-file")
        if parts.scheme == "https":
            return cls(host, port or 443, token, *_tls(ca))
        if not is_loopback(host):
            raise ApiError(f"{url} is on another machine: a token is only sent there by https")
        return cls(host, port or 80, token)

    def call(
        self,
        method: str,
        *path: str,
        query: Mapping[str, object] | None = None,
        body: Mapping[str, Any] | None = None,
        file: File | None = None,
        timeout: float = TIMEOUT,
    ) -> Any:
        """The answer to a request: what its JSON says, else its text; None where it is empty.

        ``path`` are the segments below /api/v1, in plain text; what is None in ``query`` is left out; a ``file``
        is sent in place of a body; an answer may take ``timeout`` seconds.  Raises ApiError.
        """
        asked = {name: value for name, value in (query or {}).items() if value is not None}
        target = "/api/v1/" + "/".join(quote(segment, safe="") for segment in path)
        if asked:
            target += "?" + urlencode(asked)
        headers = {"Authorization": f"Bearer {self._token}", "Accept": "application/json, */*;q=0.5"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        sent: bytes | File | None = file if body is None else json.dumps(body).encode()
        if file:
            headers |= {"Content-Type": file.kind, "Content-Length": str(len(file.content))}
        status, kind, content = self._exchange(method, target, headers, sent, timeout)
        try:
            text = content.decode()
            said = json.loads(text) if kind.endswith("json") and text else text or None
        except ValueError as error:
            raise ApiError(f"what answers at {self.url} is no VTN ({error})") from error
        if status == 401:
            why = _told(said) or "is this the configuration it runs with?"
            raise ApiError(f"the VTN at {self.url} does not know our token: {why}")
        if status >= 400:
            mistakes = said.get("errors", ()) if isinstance(said, dict) else ()
            raise ApiError(_told(said) or f"{self.url} answers with HTTP status {status}", mistakes)
        return said

    def _exchange(
        self, method: str, target: str, headers: dict[str, str], body: bytes | File | None, timeout: float
    ) -> tuple[int, str, bytes]:
        """Status, content type and content."""
        connection = self._connect(*self._address, timeout=timeout)
        try:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            kind = (response.getheader("Content-Type") or "").partition(";")[0]
            return response.status, kind, response.read()
        except ConnectionRefusedError as error:
            raise ApiError(f"nothing listens at {self.url}: is the VTN running?") from error
        except TimeoutError as error:
            raise ApiError(f"the VTN at {self.url} does not answer within {timeout:g} seconds") from error
        except SSLCertVerificationError as error:
            raise ApiError(
                f"{self.url} shows a certificate that is not trusted: {error.verify_message} "
                "(--ca names the file of its authority)"
            ) from error
        except OSError as error:
            raise ApiError(f"{self.url} cannot be reached: {error.strerror or error}") from error
        except HTTPException as error:
            raise ApiError(f"what answers at {self.url} is no VTN ({type(error).__name__})") from error
        finally:
            connection.close()


_FEW = 12


def _told(problem: Any) -> str:
    """What a problem document says, with what could stand instead, where that is little and not said already."""
    if not isinstance(problem, dict) or not problem.get("detail"):
        return ""
    hints = [
        ", ".join(allowed)
        for error in problem.get("errors", ())
        if (allowed := error.get("allowed")) and len(allowed) <= _FEW and allowed[0] not in error["detail"]
    ]
    return problem["detail"] + (f" (possible: {'; '.join(hints)})" if hints else "")
