"""IDs that a shell completes: those that the VTN knows, asked of it while somebody presses a key."""

from __future__ import annotations

from typing import Any

import click
from click.shell_completion import CompletionItem

from ..security.certificates import printable
from .screen import ask

PATIENCE = 1.0
"""Seconds that the VTN has for it."""
_MOST = 200
"""So many are looked through, of those that have what was typed in them where the list can be searched."""


class Id(click.ParamType):
    """An ID of a list of the API, which a shell completes; whatever goes wrong then, nothing is completed.

    A segment of its path may be the name of an argument: ``requests`` are those of the ``ven_id`` before it.
    """

    def __init__(self, name: str, *path: str, of: str, told: str | None = None, searched: bool = True) -> None:
        self.name = name
        self._path = path
        self._of = of
        self._told = told
        self._searched = searched

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Those that begin with what was typed."""
        path = [str(ctx.params.get(segment) or segment) for segment in self._path]
        query: dict[str, Any] = {"limit": _MOST} | ({"q": incomplete or None} if self._searched else {})
        try:
            with ctx.scope(cleanup=False):  # by which it is found which VTN is meant
                rows = ask("GET", *path, query=query, timeout=PATIENCE)[self._of]
            found = [(row[self.name], row.get(self._told)) for row in rows]
        except Exception:
            return []
        return [
            CompletionItem(name, help=told and printable(str(told)))
            for name, told in found
            if name.startswith(incomplete) and printable(name) == name
        ]


VEN = Id("ven_id", "vens", of="vens", told="name")
GROUP = Id("group_id", "groups", of="groups", told="name")
MARKET_CONTEXT = Id("market_context", "market-contexts", of="market_contexts")
EVENT = Id("event_id", "events", of="events", told="status", searched=False)
REQUEST = Id(
    "report_request_id", "vens", "ven_id", "requests", of="report_requests", told="report_name", searched=False
)
WISH = Id("wish_id", "wishes", of="wishes", told="report_name", searched=False)
CANDIDATE = Id("fingerprint", "candidates", of="candidates", told="subject", searched=False)
TOKEN = Id("name", "tokens", of="tokens", told="scope", searched=False)
