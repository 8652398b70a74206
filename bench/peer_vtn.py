"""openleadr's VTN as its documents show it, in its own environment: a program that imports nothing of oadrvtn.

Its argument is JSON: port, certificate, key, ca, signs, vens (venID -> fingerprint).  A line on stdin makes its event
news for every VEN; it answers with a line.
"""

from __future__ import annotations

import asyncio
import json
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from openleadr import OpenADRServer  # type: ignore[import-not-found]

OPTIONS: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
PAIR = {"cert": OPTIONS["certificate"], "key": OPTIONS["key"]} if OPTIONS["signs"] else {}


def ven_lookup(ven_id: str) -> Any:
    """A registered VEN, or None."""
    if fingerprint := OPTIONS["vens"].get(ven_id):
        return {"ven_id": ven_id, "ven_name": ven_id, "fingerprint": fingerprint, "registration_id": ven_id}
    return None


async def on_register_report(
    ven_id: str,
    resource_id: str,
    measurement: str,
    unit: str,
    scale: str,
    min_sampling_interval: timedelta,
    max_sampling_interval: timedelta,
) -> Any:
    """Every reading, each minute; it is thrown away."""
    return (lambda readings: None), timedelta(minutes=1)


async def on_event_response(ven_id: str, event_id: str, opt_type: str) -> None:
    """Nobody answers."""


def tell(server: OpenADRServer) -> None:
    """Have one event for each VEN, modified once more."""
    for ven_id in OPTIONS["vens"]:
        if held := server.events.get(ven_id):
            held[0].event_descriptor.modification_number += 1
            server.events_updated[ven_id] = True
            continue
        start = datetime.now(UTC) + timedelta(hours=1)
        server.add_event(
            ven_id=ven_id,
            signal_name="SIMPLE",
            signal_type="level",
            intervals=[{"dtstart": start, "duration": timedelta(hours=1), "signal_payload": 1.0}],
            market_context="http://example.com/bench",
            callback=on_event_response,
        )


async def main() -> None:
    """Serve until stdin is closed."""
    server = OpenADRServer(
        vtn_id="vtn",
        http_port=OPTIONS["port"],
        http_cert=OPTIONS["certificate"],
        http_key=OPTIONS["key"],
        http_ca_file=OPTIONS["ca"],
        ven_lookup=ven_lookup,
        verify_message_signatures=OPTIONS["signs"],
        show_fingerprint=False,
        **PAIR,
    )
    server.add_handler("on_register_report", on_register_report)
    await server.run()
    loop = asyncio.get_running_loop()
    print("serves", flush=True)
    while await loop.run_in_executor(None, sys.stdin.readline):
        tell(server)
        print("told", flush=True)


if __name__ == "__main__":
    asyncio.run(main())
