"""The floors of the house hold: who may import whom, and which room may touch which library."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import oadrvtn

HOUSE = Path(oadrvtn.__file__).parent

# A file imports from its own room and from the rooms of lower floors.
FLOORS = (
    {"model", "machine"},
    {"wire", "security"},
    {"storage", "ven"},
    {"vtn"},
    {"handlers"},
    {"transport", "console"},
    {"compose", "demo"},
    {"plugin", "server", "cli", "testing"},
    {"__init__"},  # the public names: may import anything, and nobody imports from it
)
FLOOR = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# A library, and the only places that may import it: rooms, or single files.
FENCES = {
    "lxml": ("wire/", "security/"),
    "signxml": ("security/signature.py",),
    "sqlalchemy": ("storage/",),
    "alembic": ("storage/",),
    "sqlite3": ("storage/",),
    "OpenSSL": ("security/",),
    "treq": ("transport/", "ven/", "console/client.py"),
    "klein": ("console/",),
}


def violations(path: str, source: str) -> list[str]:
    """What the file at ``path`` (below oadrvtn/, such as "wire/codec.py") imports and must not.

    Every import counts: inside a function, under TYPE_CHECKING, relative or absolute.
    """
    room = path.split("/")[0].removesuffix(".py")
    if room not in FLOOR:
        return [f"{path}: {room} stands on no floor"]
    found = []
    for line, module in _imports(path, source):
        library, _, inside = module.partition(".")
        if library == "oadrvtn":
            target = inside.split(".")[0] or "__init__"
            if target not in FLOOR:
                # "from oadrvtn import name": a public name, unless a room is called so
                target = "__init__"
            if target != room and FLOOR[target] >= FLOOR[room]:
                found.append(f"{path}:{line}: {room} (floor {FLOOR[room]}) imports {target} (floor {FLOOR[target]})")
        elif library in FENCES and not path.startswith(FENCES[library]):
            found.append(f"{path}:{line}: {library} belongs into {', '.join(FENCES[library])}")
    return found


def _imports(path: str, source: str) -> Iterator[tuple[int, str]]:
    """Each imported module by its absolute name, with the line; "from a import b" counts as a.b."""
    package = ["oadrvtn", *path.split("/")[:-1]]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            parts = [*base, *(node.module or "").split(".")] if node.module else base
            yield from ((node.lineno, ".".join([*parts, alias.name])) for alias in node.names)


class FloorsTests(SynchronousTestCase):
    def test_every_file_keeps_to_its_floor_and_behind_the_fences(self) -> None:
        files = sorted(HOUSE.rglob("*.py"))
        self.assertGreater(len(files), len(FLOORS))
        found = [
            violation
            for file in files
            for violation in violations(file.relative_to(HOUSE).as_posix(), file.read_text("utf-8"))
        ]
        self.assertEqual([], found)


class CheckerTests(SynchronousTestCase):
    """The checker above sees what it is for."""

    REFUSED = (
        # upward
        ("model/values.py", "import oadrvtn.wire.codec"),
        ("wire/codec.py", "from oadrvtn.storage import database"),
        ("transport/http.py", "from oadrvtn import compose"),
        ("vtn/vtn.py", "from ..handlers.chain import Chain"),
        ("vtn/vtn.py", "from .. import handlers"),
        ("compose.py", "from .plugin import Options"),
        # the package itself is on top of all
        ("vtn/vtn.py", "import oadrvtn"),
        ("cli/__init__.py", "from oadrvtn import OpenADRServer"),
        # the room next door
        ("wire/codec.py", "from oadrvtn.security.fingerprint import fingerprint"),
        ("storage/vens.py", "import oadrvtn.ven.client"),
        ("console/api.py", "from oadrvtn import transport"),
        # one door onto another
        ("server.py", "from oadrvtn.plugin import Options"),
        ("cli/vens.py", "from ..testing import FakeVEN"),
        # wherever the import stands
        ("wire/codec.py", "def f():\n    from oadrvtn.vtn import outbox"),
        ("wire/codec.py", "if TYPE_CHECKING:\n    from oadrvtn.vtn import outbox"),
        ("storage/migrations/versions/one.py", "from oadrvtn.vtn import outbox"),
        # fences
        ("model/event.py", "from lxml import etree"),
        ("security/tls.py", "import signxml"),
        ("vtn/events.py", "from sqlalchemy.sql import select"),
        ("cli/vens.py", "import alembic.command"),
        ("vtn/vtn.py", "import sqlite3"),
        ("transport/http.py", "from OpenSSL import SSL"),
        ("console/api.py", "import treq"),
        ("transport/http.py", "from klein import Klein"),
        # a file without a floor
        ("utils.py", ""),
    )
    ALLOWED = (
        ("model/event.py", "from oadrvtn.model import values\nfrom .errors import VtnError"),
        ("wire/codec.py", "import oadrvtn.model.event\nfrom lxml import etree"),
        ("handlers/chain.py", "from oadrvtn.security import signature\nfrom ..vtn import roster"),
        ("storage/migrations/env.py", "import alembic\nfrom ..tables import metadata"),
        ("console/client.py", "import treq"),
        ("compose.py", "from oadrvtn import transport, console, model"),
        ("plugin.py", "from oadrvtn.compose import build"),
        ("__init__.py", "from oadrvtn.server import OpenADRServer"),
        ("model/values.py", "import lxmlish, kleinish\nfrom oadrvtnish import vtn"),
    )

    def test_each_kind_of_violation_is_found_once(self) -> None:
        for path, source in self.REFUSED:
            self.assertEqual(1, len(violations(path, source)), (path, source))

    def test_what_is_allowed_is_not_reported(self) -> None:
        for path, source in self.ALLOWED:
            self.assertEqual([], violations(path, source), (path, source))

    def test_a_violation_names_file_line_and_both_floors(self) -> None:
        self.assertEqual(
            ["wire/codec.py:2: wire (floor 1) imports vtn (floor 3)"],
            violations("wire/codec.py", "\nfrom oadrvtn.vtn import roster"),
        )
