"""oadrvtn: an OpenADR 2.0b VTN on Twisted.  The names that programs build on; each is loaded when it is first used."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_HOMES = {
    "EiEvent": "oadrvtn.handlers.event",
    "EiOpt": "oadrvtn.handlers.opt",
    "EiRegisterParty": "oadrvtn.handlers.register_party",
    "EiReport": "oadrvtn.handlers.report",
    "OadrPoll": "oadrvtn.handlers.poll",
    "Exchange": "oadrvtn.handlers.exchange",
    "OpenADRServer": "oadrvtn.server",
    "VtnError": "oadrvtn.model.errors",
    "decode": "oadrvtn.wire",
    "encode": "oadrvtn.wire",
    "generate_id": "oadrvtn.vtn.changes",
}

__all__ = list(_HOMES)


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'oadrvtn' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES])
