"""Whatever the API can do, a command does; every command speaks JSON; shells complete the IDs that commands want."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
from click.shell_completion import ShellComplete

from oadrvtn.cli import main
from oadrvtn.cli.ids import Id
from oadrvtn.console.client import ApiError, Client
from oadrvtn.console.desk import ROUTES, V1

from ..console.office import certificate, colons
from .case import CliTestCase

STRANGER = colons(certificate("new"))
COMMANDS = f"""
status
openapi
ven list
ven add ven-2 --fingerprint {"22" * 32}
ven import vens.csv
ven show ven-2
ven change ven-2 --name Two
ven traits ven-2 party_ids=p
ven opts ven-1
ven trace ven-1
ven trace --fingerprint {STRANGER}
ven waiting
ven waiting {STRANGER}
ven approve {STRANGER}
ven reregister ven-1
group create G --group-id g
group list
group show g
group rename g H
group add g ven-1
group delete g --yes
market-context list
market-context add urn:m ven-1
market-context show urn:m
event create --level 1 --event-id e --market-context urn:m
event list
event show e
event modify e --level 2
event cancel e
event delete e
availability
report want TELEMETRY_USAGE --r-id x
report wishes
report wishes WISH
report unwant WISH
report list ven-1
report request ven-1 load
report cancel ven-1 REQUEST
report provided ven-1
report gaps ven-1
report states ven-1
report states ven-1 --since -1d
readings ven-1
ven suspend ven-1
ven resume ven-1
certs revoke --ven ven-2
certs revoked
certs revoke --ven ven-2 --undo
certs expiring
token create anna --scope read
token list
token list anna
token revoke anna
audit list
audit verify
ven cancel-registration ven-1
ven remove ven-1 --yes
"""
WITHOUT_JSON = {("completion",), ("openapi",)}
"""Commands that print what is for programs anyway."""
NEW = {
    ("ven", "add", "ven_id"), ("ven", "add", "known"), ("ven", "approve", "ven_id"), ("ven", "fingerprints", "known"),
    ("group", "create", "group_id"), ("certs", "revoke", "known"), ("event", "create", "event_id"),
}  # fmt: skip
"""What names something that is not there yet."""


def leaves(command: click.Command, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, *path, name)
    else:
        yield path, command


class ReachTests(CliTestCase):
    def test_each_operation_of_the_api_is_reached_by_a_command(self) -> None:
        office = self.office
        office.registered("ven-1")
        (asked,) = office.offers("ven-1", "power").report_requests
        office.waits("new")
        Path("vens.csv").write_text(f"ven_id,fingerprints\nven-3,{'33' * 10}\n")
        reached: set[str] = set()
        send = office.ask

        def heard(method: str, path: str, *arguments: Any, **more: Any) -> Any:
            there = urlsplit(path).path.removeprefix(V1)
            for route in ROUTES:
                looks = "/".join("[^/]+" if part[:1] == "<" else part for part in route.path.split("/"))
                if route.method == method and re.fullmatch(looks, there):
                    reached.add(f"{method} {route.path}")
                    break
            return send(method, path, *arguments, **more)

        self.patch(office, "ask", heard)
        wish_id = ""
        for line in COMMANDS.strip().splitlines():
            words = line.replace("WISH", wish_id) if " WISH" in line else line
            said = self.good(*words.replace("REQUEST", asked.report_request_id).split())
            wish_id = next(iter(re.findall("wish-[0-9a-f]+", said)), "") if "want " in line else wish_id
        self.assertEqual(set(), {f"{route.method} {route.path}" for route in ROUTES} - reached)

    def test_each_command_speaks_json(self) -> None:
        without = {path for path, command in leaves(main) if all(p.name != "as_json" for p in command.params)}
        self.assertEqual(WITHOUT_JSON, without)


class CompletionTests(CliTestCase):
    def completed(self, *words: str, obj: Any = None) -> list[str]:
        client = self.office.client() if obj is None else obj
        shell = ShellComplete(main, {"obj": client}, "oadrvtn", "_OADRVTN_COMPLETE")
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    def test_ids_are_those_of_the_vtn(self) -> None:
        for ven_id in ("ven-1", "ven-2", "other"):
            self.office.registered(ven_id)
        self.office.offers("ven-1", "power")
        self.office.waits("new")
        self.good("group", "create", "North", "--group-id", "north")
        self.good("event", "create", "--level", "1", "--event-id", "mine", "--market-context", "urn:m")
        self.good("report", "want", "TELEMETRY_USAGE", "--r-id", "x")
        self.good("token", "create", "anna", "--scope", "read")
        self.assertEqual(["ven-1", "ven-2"], self.completed("ven", "show", "ve"))
        self.assertEqual(["other"], self.completed("group", "add", "north", "ven-1", "o"))
        self.assertEqual(["north"], self.completed("group", "show", ""))
        self.assertEqual(["ven-1", "ven-2"], self.completed("event", "create", "--ven", "ven"))
        self.assertEqual(["mine"], self.completed("event", "cancel", "m"))
        self.assertEqual(["urn:m"], self.completed("market-context", "show", "urn"))
        (request,) = self.completed("report", "cancel", "ven-1", "")
        listed = self.shown("report", "list", "ven-1")["report_requests"]
        self.assertEqual([request], [row["report_request_id"] for row in listed])
        self.assertEqual(len(self.config.reports) + 1, len(self.completed("report", "unwant", "wish-")))
        self.assertEqual([STRANGER[-29:]], self.completed("ven", "approve", ""))
        self.assertEqual(["anna"], self.completed("token", "revoke", ""))

    def test_where_the_vtn_does_not_answer_nothing_is_completed_and_nothing_is_said(self) -> None:
        waited: list[float] = []

        def connect(host: str, port: int, timeout: float) -> Any:
            waited.append(timeout)
            raise ApiError("no")

        self.assertEqual([], self.completed("ven", "show", "v", obj=Client("h", 1, "t", connect)))
        self.assertEqual([1.0], waited)
        self.assertEqual([], self.completed("--config", "nowhere.toml", "ven", "show", "v", obj=False))

    def test_what_names_something_that_is_there_is_completed(self) -> None:
        names = re.compile("(ven|event|group|report_request|wish)_ids?|market_context|known")
        without = {
            (*path, str(parameter.name))
            for path, command in leaves(main)
            for parameter in command.params
            if names.fullmatch(str(parameter.name)) and not isinstance(parameter.type, Id)
        }
        self.assertEqual(NEW, without)
