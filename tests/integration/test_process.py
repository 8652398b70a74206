"""``twistd oadrvtn`` as a user runs it: a process with real sockets, signals, exit codes and a log."""

from __future__ import annotations

import json
import os
import shutil
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPSConnection
from pathlib import Path
from signal import SIGHUP, SIGKILL, SIGTERM
from typing import Any

import pytest
import pytest_twisted

from oadrvtn.model.party import OadrQueryRegistration
from oadrvtn.security.certificates import Authority, Credential
from oadrvtn.wire import decode, encode

from .process import SCRIPTS, TWISTD, Program, Programs, Vtn, free_ports, programs_of_a_test, rows, until
from .test_packaging import RUN


@pytest.fixture
def programs() -> Iterator[Programs]:
    yield from programs_of_a_test()


@pytest.fixture
def vtn(tmp_path: Path, programs: Programs) -> Vtn:
    return Vtn.make(tmp_path, programs)


class Connection:
    """A connection that a VEN keeps open."""

    def __init__(self, vtn: Vtn, name: str) -> None:
        context = ssl.create_default_context(cafile=str(vtn.certs / "ca.crt"))
        context.load_cert_chain(vtn.certs / f"{name}.crt", vtn.certs / f"{name}.key")
        self._connection = HTTPSConnection("localhost", vtn.port, context=context, timeout=30)

    def query(self) -> str:
        """The response code of oadrQueryRegistration."""
        body = encode(OadrQueryRegistration(request_id="r"))
        self._connection.request("POST", "/OpenADR2/Simple/2.0b/EiRegisterParty", body)
        message: Any = decode(self._connection.getresponse().read()).message
        return message.response.response_code

    @property
    def certificate(self) -> bytes:
        """What the VTN showed, as DER."""
        assert isinstance(self._connection.sock, ssl.SSLSocket)
        return self._connection.sock.getpeercert(binary_form=True) or b""

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def asks(vtn: Vtn, name: str) -> tuple[str, bytes]:
    """What a VEN gets on a new connection: response code, and the VTN's certificate."""
    with Connection(vtn, name) as connection:
        return connection.query(), connection.certificate


def shown_certificate(vtn: Vtn) -> bytes:
    """The DER of the certificate that VENs with elliptic curves are shown, as it is on disk."""
    return ssl.PEM_cert_to_DER_cert((vtn.certs / "vtn-ec.crt").read_text())


def replace_certificate(vtn: Vtn) -> None:
    authority = Authority(Credential.load(vtn.certs / "ca.crt", vtn.certs / "ca.key"))
    new = authority.issue_server(["localhost"])
    (vtn.certs / "vtn-ec.crt").write_bytes(new.chain_pem)
    (vtn.certs / "vtn-ec.key").write_bytes(new.key_pem)


# --- the demonstration ----------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_the_readmes_command_shows_vens_being_served_and_all_survives_a_kill(
    tmp_path: Path, programs: Programs
) -> None:
    (tmp_path / ".venv").symlink_to(SCRIPTS.parent)  # what the first two thirds of the command line make
    port, api_port = free_ports(2)
    command = f"exec {RUN.split(' && ')[-1]} --port {port} --api-port {api_port}"
    state = {"XDG_STATE_HOME": str(tmp_path / "state")}
    database = tmp_path / "state" / "oadrvtn" / "demo" / "vtn.sqlite"
    readings = "SELECT ven_id, report_request_id, r_id, start, value, received_at FROM readings"

    def start() -> Program:
        return programs.start("/bin/sh", "-c", command, cwd=tmp_path, env=state)

    async def status() -> dict[str, Any]:
        asked = await programs.run(SCRIPTS / "oadrvtn", "status", "--json", cwd=Path("/"), env=state)
        return json.loads(asked.output)

    demo = start()
    event_id = (await demo.says(r"they will opt in to event (\S+),"))[1]
    await demo.says("in another terminal, try:")
    await demo.says("hard as you like")
    assert not (tmp_path / "twistd.pid").exists(), "which a kill would leave in the way of the next start"
    counts = await status()
    assert (counts["vens_registered"], counts["vens_online"], counts["events"]) == (3, 3, 1)
    await until("three VENs have reported", lambda: len({row[0] for row in rows(database, readings)}) == 3, 60)
    opted = "SELECT ven_id, opt_type FROM ledger WHERE event_id = ? ORDER BY 1"
    everybody = [("factory", "optIn"), ("house", "optIn"), ("office", "optIn")]
    assert rows(database, opted, event_id) == everybody

    # What it says can be tried.
    hints = [line.partition("]     ")[2] for line in demo.output.splitlines() if "[demo#info]     " in line]
    assert len(hints) == 5
    for hint in hints:
        if shutil.which(hint.split()[0]):
            tried = await programs.run("/bin/sh", "-c", hint, cwd=Path("/"), env=state)
            assert await tried.ended == 0, f"{hint}\n{tried.output}"
            assert tried.output.strip()
    assert (await status())["events"] == 2
    assert "Traceback" not in demo.output and "#critical]" not in demo.output

    before = {*rows(database, readings)}
    assert await demo.end(SIGKILL) == -SIGKILL
    demo = start()
    await demo.says("the last stop was not a clean one; .* is sound")
    await demo.says(f"VENs are served at https://localhost:{port}")
    assert before <= {*rows(database, readings)}
    assert rows(database, opted, event_id) == everybody
    assert (await status())["vens_registered"] == 3

    assert await demo.end(SIGTERM) == -SIGTERM  # twistd ends itself by it, once everything is put away
    assert "Server Shut Down." in demo.output
    demo = start()
    await demo.says(f"VENs are served at https://localhost:{port}")
    assert "not a clean one" not in demo.output


# --- what keeps it from starting ------------------------------------------------------------------------


@pytest.mark.parametrize(("taken", "name"), [("port", "listen"), ("api_port", "api")])
@pytest_twisted.ensureDeferred
async def test_a_port_in_use_ends_it_with_one_line_that_names_the_port(vtn: Vtn, taken: str, name: str) -> None:
    with socket.create_server(("127.0.0.1", getattr(vtn, taken))):
        process = vtn.launch()
        assert await process.end(None) == 1
    (line,) = (line for line in process.output.splitlines() if "cannot" in line)
    assert f"{name}: cannot listen on 127.0.0.1:{getattr(vtn, taken)}: Address already in use" in line
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_mistakes_in_the_configuration_are_told_all_at_once(vtn: Vtn) -> None:
    vtn.config.write_text('vtn_id = ""\nlisten = { port = 99999 }\n[tls]\ncas = []\ncertificates = []\n')
    process = vtn.launch()
    assert await process.end(None) == 1
    first, *mistakes = process.output.splitlines()
    assert first == "oadrvtn: cannot start:"
    assert [mistake.split()[0] for mistake in mistakes] == [
        "vtn_id:", "listen.port:", "tls.cas:", "tls.certificates:", "tls.ca:",
    ]  # fmt: skip


@pytest_twisted.ensureDeferred
async def test_files_and_handlers_that_cannot_be_used_are_told_all_at_once(vtn: Vtn) -> None:
    (vtn.certs / "vtn-ec.key").write_text("broken")
    (vtn.certs / "ca.crt").unlink()
    with vtn.config.open("a") as file:
        file.write('[handlers]\nEiEvent = "nowhere:Mine"\nEiOpt = "oadrvtn.handlers.event:EiEvent"\n')
    process = vtn.launch()
    assert await process.end(None) == 1
    first, *mistakes = process.output.splitlines()
    assert first == "oadrvtn: cannot start:"
    assert [mistake.split()[0] for mistake in mistakes] == [
        "handlers.EiEvent:", "handlers.EiOpt:", "tls.certificates[0]:", "tls.ca[0]:",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("broken", "complaint"),
    [
        ("certs/vtn-ec.key", r"cannot start: .*/certs/vtn-ec.key: "),
        ("certs/ca.crt", r"cannot start: .*/certs/ca.crt: "),
        ("state/vtn.sqlite", r"cannot start: .*/state/vtn.sqlite: .*not a database"),
        ("state/api-token", r"cannot start: api.token_file: .*/state/api-token "),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_file_that_cannot_be_used_ends_it_with_one_line_that_names_it(
    vtn: Vtn, broken: str, complaint: str
) -> None:
    file = vtn.directory / broken
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"garbage\n" * 1000)
    process = vtn.launch()
    await process.says(complaint)
    assert await process.end(None) == 1
    assert "Traceback" not in process.output


@pytest_twisted.ensureDeferred
async def test_a_listed_certificate_that_belongs_to_another_ven_ends_it(vtn: Vtn) -> None:
    credential = vtn.issue("ven-1", listed=False)
    await vtn.start()
    vtn.api("POST", "vens", ven_id="other", fingerprints=[credential.fingerprint.hex(":")])
    assert vtn.process and await vtn.process.end() == -SIGTERM
    with vtn.config.open("a") as file:
        file.write(f'[[vens]]\nven_id = "ven-1"\nfingerprints = ["{credential.fingerprint.hex(":")}"]\n')
    process = vtn.launch()
    await process.says("cannot start: .* belongs to VEN 'other'")
    assert await process.end(None) == 1
    assert "Traceback" not in process.output


@pytest.mark.parametrize("options", [(), ("--demo", "--config", "vtn.toml"), ("--demo", "--port", "99999")])
@pytest_twisted.ensureDeferred
async def test_options_that_make_no_sense_are_answered_by_the_usage(
    tmp_path: Path, programs: Programs, options: tuple[str, ...]
) -> None:
    process = await programs.run(TWISTD, "-n", "oadrvtn", *options, cwd=tmp_path, env={"XDG_STATE_HOME": str(tmp_path)})
    assert await process.ended == 1
    assert "Usage:" in process.output and "Traceback" not in process.output
    assert os.listdir(tmp_path) == []


# --- SIGHUP -------------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_sighup_brings_a_new_certificate_to_new_connections_and_leaves_the_open_ones(vtn: Vtn) -> None:
    vtn.issue("ven-1")
    await vtn.start()
    assert vtn.process
    old = shown_certificate(vtn)
    with Connection(vtn, "ven-1") as connection:
        assert (connection.query(), connection.certificate) == ("200", old)
        replace_certificate(vtn)
        vtn.process.send(SIGHUP)
        await vtn.process.says("wanted reports were read again")
        assert (connection.query(), connection.certificate) == ("200", old)
    new = shown_certificate(vtn)
    assert new != old
    assert asks(vtn, "ven-1") == ("200", new)

    (vtn.certs / "vtn-ec.crt").write_text("broken")
    vtn.process.send(SIGHUP)
    await vtn.process.says("nothing was reloaded: .*/vtn-ec.crt: ")
    assert asks(vtn, "ven-1") == ("200", new)


@pytest_twisted.ensureDeferred
async def test_sighup_lets_in_who_was_added_to_the_configuration_and_keeps_out_who_was_removed(vtn: Vtn) -> None:
    nobody = vtn.config.read_text()
    vtn.issue("ven-1")
    await vtn.start()
    assert vtn.process
    assert asks(vtn, "ven-1")[0] == "200"

    vtn.config.write_text(nobody)
    vtn.issue("ven-2")
    assert asks(vtn, "ven-2")[0] == "463"
    vtn.process.send(SIGHUP)
    await vtn.process.says("VEN 'ven-1' is no longer in the configuration")
    await vtn.process.says("wanted reports were read again")
    assert asks(vtn, "ven-1")[0] == "463"
    assert asks(vtn, "ven-2")[0] == "200"

    vtn.config.write_text("vtn_id = 1\n")
    vtn.process.send(SIGHUP)
    await vtn.process.says(r"nothing was reloaded:\n\s+vtn_id: 1 is not a text\n\s+tls.certificates: ")
    assert asks(vtn, "ven-2")[0] == "200"


@pytest_twisted.ensureDeferred
async def test_sighup_takes_over_the_policy_and_says_what_needs_a_restart(vtn: Vtn) -> None:
    vtn.issue("stranger", listed=False)
    await vtn.start()
    assert vtn.process
    assert asks(vtn, "stranger")[0] == "463"
    changed = vtn.config.read_text().replace("registration = {", 'registration = { policy = "open",')
    vtn.config.write_text("limits = { roster = 50 }\n" + changed)
    vtn.process.send(SIGHUP)
    await vtn.process.says("the configuration of limits has changed, which needs a restart")
    await vtn.process.says("wanted reports were read again")
    assert asks(vtn, "stranger")[0] == "200"


# --- as a daemon ----------------------------------------------------------------------------------------


@pytest_twisted.ensureDeferred
async def test_a_daemon_serves_and_stops(vtn: Vtn, tmp_path: Path) -> None:
    vtn.issue("ven-1")
    files = ("--pidfile", tmp_path / "vtn.pid", "--logfile", tmp_path / "vtn.log")
    starting = await vtn.programs.run(TWISTD, *files, "oadrvtn", "--config", "vtn.toml", cwd=tmp_path)
    assert await starting.ended == 0, starting.output
    pid = int((tmp_path / "vtn.pid").read_text())
    try:
        # The API asks the database, whose threads have to live in the daemon.
        assert vtn.api("GET", "status")["vtn_id"] == "vtn-1"
        assert asks(vtn, "ven-1")[0] == "200"
        os.kill(pid, SIGTERM)
        await until("the daemon has stopped", lambda: not (tmp_path / "vtn.pid").exists())
    finally:
        if (tmp_path / "vtn.pid").exists():
            os.kill(pid, SIGKILL)
    assert "Server Shut Down." in (tmp_path / "vtn.log").read_text()
