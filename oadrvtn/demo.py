"""The demonstration: a VTN with certificates of its own, three simulated VENs over real mTLS, and an event."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

from twisted.application.service import MultiService
from twisted.logger import Logger

from .model.config import Config, load
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

VENS = ("house", "office", "factory")
MARKET_CONTEXT = "http://example.com/demo"

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


def prepare(directory: Path, port: int, api_port: int) -> Config:
    """Make what the demonstration needs in its state directory, or use what an earlier one left there."""
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
    file = directory / "vtn.toml"
    file.write_text(text)
    return load(file)


class Demo(MultiService):
    """Three VENs and an event that starts in half a minute, so that something happens at once."""

    def __init__(self, directory: Path, config: Config, vtn: Vtn, reactor: Any) -> None:
        super().__init__()
        self._directory, self._config, self._vtn = directory, config, vtn
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
        """Say what happens and what to try, make the event, start the VENs."""
        start = self._vtn.now() + timedelta(seconds=30)
        spec = EventSpec(
            market_context=MARKET_CONTEXT,
            dtstart=start.replace(microsecond=0),
            signals=(SignalSpec(intervals=((Duration("PT5M"), 2.0),)),),
            ramp_up=Duration("PT20S"),
            vtn_comment="demonstration",
        )
        made = self._vtn.write("create event", events.create, spec, "demo")
        made.addCallbacks(self._tell, lambda failure: log.failure("the demonstration has no event", failure))
        super().startService()

    def _tell(self, event: events.Event) -> None:
        command = Path(__file__).parent.parent / ".venv" / "bin" / "oadrvtn"
        name = str(command) if command.exists() else "oadrvtn"
        api = f"http://{self._config.api.host}:{self._config.api.port}/api/v1"
        for line in (
            f"VENs are served at https://localhost:{self._config.listen.port}, the state is in {self._directory}",
            f"three VENs ({', '.join(VENS)}) register, offer reports, and will opt in to event {event.event_id}",
            "which asks for SIMPLE level 2 from 30 seconds on, for 5 minutes: watch their load drop",
            "in another terminal, try:",
            f"    {name} status",
            f"    {name} event create --level 1 --duration 10m --start +1m",
            f"    {name} event show {event.event_id}",
            f"    {name} readings {VENS[0]} --since -5m",
            f'    curl -H "Authorization: Bearer $(cat {self._config.token_path})" {api}/status',
        ):
            log.info("{line}", line=line)
