"""Operators over the wire: HTTPS, tokens with scopes, and an audit log that survives a kill and shows tampering."""

from __future__ import annotations

import socket
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from signal import SIGHUP, SIGTERM
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from oadrvtn.console.api import Few
from oadrvtn.console.client import ApiError
from oadrvtn.model.config import load
from oadrvtn.security import certificates
from oadrvtn.security.certificates import Authority, Credential

from .process import PATIENCE, SCRIPTS, Program, Programs, Vtn, programs_of_a_test, until


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs) -> Vtn:
    """One whose API has a certificate."""
    vtn = Vtn.make(tmp_path, programs)
    pair = 'certificate = "certs/vtn-ec.crt", key = "certs/vtn-ec.key"'
    text = vtn.config.read_text()
    vtn.config.write_text(
        text.replace(f"api = {{ port = {vtn.api_port} }}", f"api = {{ port = {vtn.api_port}, {pair} }}")
    )
    return vtn


def api(vtn: Vtn, method: str, *path: str, **body: Any) -> Deferred[Any]:
    """What the API answers, asked beside the reactor."""
    return deferToThread(vtn.api, method, *path, **body)


async def cli(vtn: Vtn, *words: str | Path, **env: str) -> Program:
    return await vtn.programs.run(SCRIPTS / "oadrvtn", *words, cwd=Path("/"), env=env)


@pytest_twisted.ensureDeferred
async def test_the_command_line_speaks_https_to_the_certificate_that_it_knows_or_whose_authority_it_knows(
    vtn: Vtn, tmp_path: Path
) -> None:
    await vtn.start()
    known = await cli(vtn, "--config", vtn.config, "token", "create", "anna", "--scope", "dispatch")
    assert "good to dispatch" in known.output
    own = tmp_path / "anna"
    own.touch(0o600)
    own.write_text(known.output.split()[-1])
    url = f"https://localhost:{vtn.api_port}"
    options = ("--url", url, "--token-file", own, "--ca", vtn.certs / "ca.crt")
    assert "VENs" in (await cli(vtn, *options, "status")).output
    remote = {"OADRVTN_URL": url, "OADRVTN_TOKEN_FILE": str(own), "OADRVTN_CA": str(vtn.certs / "ca.crt")}
    assert "VENs" in (await cli(vtn, "status", **remote)).output
    refused = await cli(vtn, "token", "list", **remote)
    assert "wants a token of the scope admin, not dispatch" in refused.output

    certificates.init(tmp_path / "other")
    stranger = await cli(vtn, "status", **{**remote, "OADRVTN_CA": str(tmp_path / "other" / "ca.crt")})
    assert "shows a certificate that is not trusted" in stranger.output
    assert "by https" in (await cli(vtn, "status", **{**remote, "OADRVTN_URL": "http://192.0.2.1:8080"})).output
    plain = await cli(vtn, "status", **{**remote, "OADRVTN_URL": f"http://localhost:{vtn.api_port}"})
    assert "is no VTN" in plain.output or "cannot be reached" in plain.output

    await cli(vtn, "--config", vtn.config, "token", "revoke", "anna")
    assert "revoked" in (await cli(vtn, "status", **remote)).output


@pytest_twisted.ensureDeferred
async def test_a_new_certificate_of_the_api_is_shown_after_a_reload(vtn: Vtn) -> None:
    await vtn.start()
    assert vtn.process
    await api(vtn, "GET", "status")
    authority = Authority(Credential.load(vtn.certs / "ca.crt", vtn.certs / "ca.key"))
    new = authority.issue_server(["localhost"])
    (vtn.certs / "vtn-ec.crt").write_bytes(new.chain_pem)
    (vtn.certs / "vtn-ec.key").write_bytes(new.key_pem)
    with pytest.raises(ApiError, match="not trusted"):
        await api(vtn, "GET", "status")
    vtn.process.send(SIGHUP)
    await vtn.process.says("were read again\n(?s:.)*offers and wanted reports were read again")
    await api(vtn, "GET", "status")


@pytest_twisted.ensureDeferred
async def test_an_api_that_others_can_reach_does_not_start_without_a_certificate(
    tmp_path: Path, programs: Programs
) -> None:
    vtn = Vtn.make(tmp_path, programs)
    vtn.config.write_text(vtn.config.read_text().replace("api = {", 'api = { host = "0.0.0.0",'))
    refused = vtn.launch()
    assert await refused.end(None) == 1
    assert "api.certificate" in refused.output and "0.0.0.0" in refused.output


@pytest_twisted.ensureDeferred
async def test_who_holds_connections_of_the_api_takes_no_more_than_those(vtn: Vtn) -> None:
    await vtn.start()

    def connect() -> socket.socket:
        return socket.create_connection(("127.0.0.1", vtn.api_port), PATIENCE)

    def stays_open() -> bool:
        with connect() as one:
            one.settimeout(0.2)
            try:
                return one.recv(1) != b""
            except TimeoutError:
                return True

    with ExitStack() as held:
        for _ in range(Few.MOST):
            held.enter_context(connect())
        await until("one more is closed", lambda: not stays_open())
    await until("there is room again", stays_open)
    assert (await api(vtn, "GET", "status"))["vtn_id"] == "vtn-1"


@pytest_twisted.ensureDeferred
async def test_the_audit_log_outlives_a_kill_and_shows_what_was_done_to_its_file(vtn: Vtn) -> None:
    await vtn.start()
    for name in ("one", "two", "three"):
        await api(vtn, "POST", "groups", name=name)
    await vtn.kill()
    await vtn.start()
    assert vtn.process
    await api(vtn, "POST", "groups", name="four")
    assert (await api(vtn, "GET", "audit", "verify"))["rows"] == 4
    await vtn.process.end(SIGTERM)
    head = vtn.process.output.rpartition("audit log: head ")[2].split()[0]
    assert head.startswith("4-")
    config = ("--config", vtn.config)
    whole = await cli(vtn, *config, "audit", "verify", "--offline", "--head", head)
    assert f"4 rows are as they were written; the head is {head}" in whole.output
    with closing(sqlite3.connect(load(vtn.config).database_path)) as file, file:
        file.execute("DROP TRIGGER audit_is_not_deleted")
        file.execute("DELETE FROM audit WHERE number = 4")
    assert "3 rows are as they" in (await cli(vtn, *config, "audit", "verify", "--offline")).output
    cut = await cli(vtn, *config, "audit", "verify", "--offline", "--head", head)
    assert "row 4 is missing" in cut.output and await cut.ended == 1
