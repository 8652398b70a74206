"""The demonstration: a VTN with certificates of its own, three simulated VENs over real mTLS, and an event."""

from __future__ import annotations

import sysconfig
from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from .model.config import Config, parse
from .model.values import Duration
from .security import certificates, fingerprint
from .security.certificates import Credential, load_certificates
from .security.tls import client_policy
from .ven.client import connect
from .ven.fleet import Fleet
from .vtn import events
from .vtn.events import EventSpec, SignalSpec
from .vtn.vtn import Vtn

log = Logger(namespace="demo")

FILE = "vtn.toml"
"""The configuration, in the state directory; ``oadrvtn`` finds it there without options."""

VENS = ("house", "office", "factory")
MARKET_CONTEXT = "http://example.com/demo"
_HINT_AFTER = 8.0  # seconds: the VENs have registered and said what they do

_CONFIGURATION = """\
# Written by the demonstration at each start; 'oadrvtn' finds it here without options.
vtn_id = "demo-vtn"
state_directory = "."

[listen]
host = "127.0.0.1"
port = {port}

[tls]
certificates = [
    {{ certificate = "certs/vtn-ec.crt", key = "certs/vtn-ec.key" }},
    {{ certificate = "certs/vtn-rsa.crt", key = "certs/vtn-rsa.key" }},
]
ca = ["certs/ca.crt"]

[registration]
poll_frequency = "5s"

[api]
port = {api_port}

[[reports]]
report_name = "TELEMETRY_USAGE"
granularity = "5s"
report_back_duration = "15s"
"""
_VEN = """
[[vens]]
ven_id = "{name}"
fingerprints = ["{fingerprint}"]
"""


def prepare(directory: Path, port: int, api_port: int) -> tuple[str, Config]:
    """The configuration, as text and read; the certificates are made, or are what an earlier start left there."""
    certs = directory / "certs"
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if not (certs / "ca.crt").exists():
        certificates.init(certs)
    text = _CONFIGURATION.format(port=port, api_port=api_port)
    for name in VENS:
        if not (certs / f"{name}.crt").exists():
            certificates.issue(certs, name)
        credential = Credential.load(certs / f"{name}.crt", certs / f"{name}.key")
        text += _VEN.format(name=name, fingerprint=fingerprint.show(credential.fingerprint))
    return text, parse(text, directory)


class Demo(MultiService):
    """Three VENs and an event that starts in half a minute, so that something happens at once."""

    def __init__(self, directory: Path, text: str, config: Config, vtn: Vtn, reactor: Any) -> None:
        super().__init__()
        self._directory, self._text, self._config, self._vtn, self._reactor = directory, text, config, vtn, reactor
        certs = directory / "certs"
        authorities = load_certificates(certs / "ca.crt")
        url = f"https://localhost:{config.listen.port}"
        clients = [
            connect(
                reactor,
                url,
                client_policy(Credential.load(certs / f"{name}.crt", certs / f"{name}.key"), authorities),
                name,
            )
            for name in VENS
        ]
        Fleet(clients).setServiceParent(self)

    def startService(self) -> None:
        """Say what happens, make the event, start the VENs; and when they are there, say what to try."""
        # Not before we listen: another demonstration, whose ports we cannot have, is found by this file.
        (self._directory / FILE).write_text(self._text)
        start = (self._vtn.now() + timedelta(seconds=30)).replace(microsecond=0)
        spec = EventSpec(
            event_id=f"demo-{start:%Y%m%d-%H%M%S}",
            market_context=f"{MARKET_CONTEXT}/{start:%Y%m%d-%H%M%S}",  # an earlier start's event may still run
            dtstart=start,
            signals=(SignalSpec(intervals=((Duration("PT5M"), 2.0),)),),
            ramp_up=Duration("PT20S"),
            vtn_comment="demonstration",
        )
        made: Deferred[Any] = self._vtn.write("create event", events.create, spec, "demo")
        made.addCallback(self._tell)
        made.addErrback(lambda failure: log.failure("the demonstration has no event", failure))
        super().startService()
        self._hint = self._reactor.callLater(_HINT_AFTER, self._tell_what_to_try, spec)

    def stopService(self) -> Deferred[Any]:
        """Stop the VENs."""
        if self._hint.active():
            self._hint.cancel()
        return super().stopService()

    def _tell(self, event: events.Event) -> None:
        log.info("VENs are served at https://localhost:{port}", port=self._config.listen.port)
        log.info("everything that this demonstration keeps is in {directory}", directory=self._directory)
        log.info("three VENs ({vens}) register, offer reports and begin to report", vens=", ".join(VENS))
        log.info(
            "they will opt in to event {event_id}, SIMPLE level 2 for 5 minutes from {start:%H:%M:%S} UTC on: "
            "watch their load drop",
            event_id=event.event_id, start=event.dtstart,
        )  # fmt: skip

    def _tell_what_to_try(self, spec: EventSpec) -> None:
        command = Path(sysconfig.get_path("scripts")) / "oadrvtn"
        api = f"http://{self._config.api.host}:{self._config.api.port}/api/v1"
        for line in (
            "all this goes on; in another terminal, try:",
            f"    {command} status",
            f"    {command} event show {spec.event_id}",
            f"    {command} event create --level 1 --duration 10m --start +1m",
            f"    {command} readings {VENS[0]} --since -5m",
            f'    curl -H "Authorization: Bearer $(cat {self._config.token_path})" {api}/status',
            "stop it with Ctrl-C, or kill it as hard as you like: started again, it goes on with all that it had",
        ):
            log.info("{line}", line=line)
