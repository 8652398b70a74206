"""Many VENs at once: as JSON and CSV, all or none."""

from __future__ import annotations

import csv
import io
from typing import Any

from oadrvtn.console.files import read_csv, write_csv
from tests.effort import MOMENT, effort

from .case import ApiTestCase
from .office import Answer, certificate, colons


def lines(number: int, **changes: str) -> list[str]:
    """A CSV file of so many VENs, whose cells are those of a pattern."""
    row = {"ven_id": "ven-{n}", "name": "House {n}", "fingerprints": "{f}", "group_ids": "g"} | changes
    made = [",".join(row)]
    for n in range(number):
        f = colons(certificate(str(n)))
        made.append(",".join(cell.format(n=n, f=f) for cell in row.values()))
    return made


class ImportTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.good("POST", "/groups", {"group_id": "g", "name": "G"}, 201)

    def send(self, text: str | list[str], query: str = "", kind: str = "text/csv") -> Answer:
        raw = (text if isinstance(text, str) else "\n".join(text)).encode()
        return self.ask("POST", f"/vens/import{query}", raw=raw, headers={"Content-Type": kind})

    def ids(self) -> list[str]:
        return [row["ven_id"] for row in self.good("GET", "/vens?limit=1000")["vens"]]

    def test_vens_come_in_with_all_that_the_file_says(self) -> None:
        body = [
            {
                "ven_id": "a", "name": "Shop", "fingerprints": [colons(certificate("a")), "00" * 10],
                "poll_frequency": "1m", "leniency": "bare", "signatures": "require",
                "signing_fingerprint": colons(certificate("s")), "group_ids": ["g"], "market_contexts": ["urn:x"],
            },
            {"ven_id": "b", "fingerprints": ["11" * 10]},
        ]  # fmt: skip
        self.assertEqual({"imported": 2}, self.good("POST", "/vens/import", body))
        a, b = self.good("GET", "/vens")["vens"]
        self.assertEqual(("Shop", 60.0, "bare", "require", ["g"], ["urn:x"]), tuple(
            a[k] for k in ("name", "wanted_poll_frequency", "leniency", "signatures", "group_ids", "market_contexts")
        ))  # fmt: skip
        self.assertEqual(colons(certificate("s")), a["signing_fingerprint"])
        self.assertEqual(("b", None, "operator", False), tuple(
            b[k] for k in ("name", "wanted_poll_frequency", "source", "registered")
        ))  # fmt: skip
        entry = self.successResultOf(self.office.vtn.identify(certificate("a")))
        assert entry is not None
        self.assertEqual("a", entry.ven.ven_id)

    def test_csv_and_json_say_the_same(self) -> None:
        text = (
            "\ufeffven_id,fingerprints,poll_frequency,name,market_contexts\r\n"
            f'a,"{"00" * 10}; {"11" * 10}",30,"Shop, ""east""\nwing",urn:a;urn:b\r\n'
            f"\r\nb,{'22' * 10},1m,,\r\n"
        )
        self.assertEqual(200, self.send(text, kind="text/csv; charset=utf-8").status)
        a, b = self.good("GET", "/vens")["vens"]
        self.assertEqual(('Shop, "east"\nwing', 30.0, ["urn:a", "urn:b"], 2), (
            a["name"], a["wanted_poll_frequency"], a["market_contexts"], len(a["fingerprints"])
        ))  # fmt: skip
        self.assertEqual(("b", 60.0), (b["name"], b["wanted_poll_frequency"]))

    def test_three_bad_lines_of_five_thousand_change_nothing_and_are_told(self) -> None:
        file = lines(5000)
        file[100] = f"ven-7,x,{'00' * 10},g"
        file[2000] = "ven-new,x,no hex,g"
        file[4999] = f"ven-last,x,{colons(certificate('3'))},nowhere"
        before = self.ids()
        problem = self.problem(422, self.send(file))
        told = [(error["line"], error["pointer"]) for error in problem["errors"]]
        self.assertEqual(
            [(101, "/ven_id"), (2001, "/fingerprints/0"), (5000, "/fingerprints/0"), (5000, "/group_ids/0")], told
        )
        self.assertIn("line 101, ven_id: 'ven-7' exists, or is there twice", problem["detail"])
        self.assertEqual(before, self.ids())

    def test_rows_are_not_read_on_the_thread_that_serves_vens(self) -> None:
        names = []
        read = self.office.database.read

        def noted(name: str, *arguments: Any) -> Any:
            names.append(name)
            return read(name, *arguments)

        self.patch(self.office.database, "read", noted)
        self.good("POST", "/vens/import", [{"ven_id": "v", "fingerprints": ["00" * 10]}])
        self.assertEqual(1, names.count("rows"))

    def test_five_thousand_vens_come_in_at_once(self) -> None:
        file = lines(5000)

        def imported() -> None:
            self.assertEqual({"imported": 5000}, self.send(file).json)

        self.assertLess(effort(imported), MOMENT)
        self.assertEqual(5000, self.good("GET", "/status")["vens"])
        self.assertEqual(5000, self.good("GET", "/groups")["groups"][0]["vens"])

    def test_a_rehearsal_tells_the_same_and_changes_nothing(self) -> None:
        self.assertEqual({"imported": 3}, self.send(lines(3), "?dry_run=1").json)
        self.assertEqual([], self.ids())
        file = [*lines(3), "x"]
        self.assertEqual(self.send(file).body, self.send(file, "?dry_run=1").body)

    def test_who_comes_into_a_group_hears_of_its_events(self) -> None:
        self.event(event_id="e", target={"group_ids": ["g"]})
        self.send(lines(2))
        self.assertEqual({"queued": 2}, self.good("GET", "/events/e")["answers"])

    def test_each_mistake_is_told_at_its_place(self) -> None:
        self.office.registered("ven-1")
        known = [colons(certificate("ven-1"))]
        cases: list[tuple[dict[str, Any], str]] = [
            ({"ven_id": "ven-1"}, "/0/ven_id"),
            ({"ven_id": " "}, "/0/ven_id"),
            ({"ven_id": 3}, "/0/ven_id"),
            ({"fingerprints": known}, "/0/fingerprints/0"),
            ({"fingerprints": []}, "/0/fingerprints"),
            ({"fingerprints": ["00" * 10, "00" * 10]}, "/0/fingerprints"),
            ({"fingerprints": ["00"]}, "/0/fingerprints/0"),
            ({"poll_frequency": 2.5}, "/0/poll_frequency"),
            ({"poll_frequency": -1}, "/0/poll_frequency"),
            ({"leniency": "kind"}, "/0/leniency"),
            ({"signatures": "some"}, "/0/signatures"),
            ({"signing_fingerprint": "00" * 10}, "/0/signing_fingerprint"),
            ({"group_ids": ["g", "h"]}, "/0/group_ids/1"),
            ({"market_contexts": ["urn:x", " "]}, "/0/market_contexts/1"),
            ({"market_context": "urn:x"}, "/0/market_context"),
        ]
        for change, pointer in cases:
            body = [{"ven_id": "new", "fingerprints": ["00" * 10]} | change]
            (error,) = self.refused(422, "POST", "/vens/import", body)["errors"]
            self.assertEqual(pointer, error["pointer"], change)
        self.assertEqual(["ven-1"], self.ids())

    def test_a_file_that_is_none_is_refused(self) -> None:
        cases = {
            "ven_id,finger\na,b": "unknown column 'finger'",
            "ven_id\na": "column fingerprints is missing",
            "ven_id,ven_id,fingerprints\n": "column ven_id is there twice",
            "": "column ven_id is missing",
            "ven_id,fingerprints\na,b,c": "'a cell without a column'",
        }
        for text, reason in cases.items():
            self.assertIn(reason, self.problem(422, self.send(text))["detail"])
        for line in ('"a,b', '"a"b,c', "x" * 200_000):
            self.assertIn("line 2", self.problem(400, self.send(["ven_id,fingerprints", line]))["detail"])
        answer = self.ask("POST", "/vens/import", raw=b"ven_id\xff", headers={"Content-Type": "text/csv"})
        self.assertIn("byte 6", self.problem(400, answer)["detail"])
        bodies: list[Any] = [{}, "x", [1], [[]]]
        for body in bodies:
            self.refused(422, "POST", "/vens/import", body)
        self.assertEqual({"imported": 0}, self.good("POST", "/vens/import", []))

    def test_a_file_may_be_larger_than_other_bodies_but_not_endless(self) -> None:
        rows = [{"ven_id": f"v{n}", "name": "x" * 1000, "fingerprints": [f"{n:020x}"]} for n in range(1500)]
        self.assertEqual({"imported": 1500}, self.good("POST", "/vens/import", rows))
        self.problem(413, self.ask("POST", "/vens/import", raw=b" " * (8 * 1024 * 1024 + 1)))


class CsvTests(ApiTestCase):
    def test_cells_are_written_so_that_spreadsheets_read_them(self) -> None:
        rows = [{"a": 'x, "y"\n', "b": ["1", "2"], "c": None}]
        text = write_csv(("a", "b", "c"), rows)
        self.assertEqual([['x, "y"\n', "1;2", ""]], list(csv.reader(io.StringIO(text)))[1:])
        self.assertEqual([{"a": 'x, "y"', "b": ["1", "2"]}], read_csv(text, "abc", "b", "a").rows)
