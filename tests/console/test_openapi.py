"""The description of the API: complete, and true, as far as a machine can try it."""

from __future__ import annotations

import json
import re
from collections import Counter
from typing import Any
from urllib.parse import quote, urlencode

import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.core.result import Ok
from schemathesis.core.transport import Response
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from oadrvtn.console.desk import ROUTES, app

from .case import V1, ApiTestCase
from .office import Office

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
KNOWN = {"ven_id": "ven-1", "group_id": "g", "event_id": "e"}
"""IDs that most of the cases ask for, in place of those that were made up."""


class DocumentTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.document = self.good("GET", "/openapi.json")

    def test_every_route_is_described_and_nothing_else(self) -> None:
        served = {
            (method.lower(), re.sub(r"<id:(\w+)>", r"{\1}", rule.rule))
            for rule in app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD"}
        }
        described = {(method, path) for path, methods in self.document["paths"].items() for method in methods}
        self.assertEqual(served, described)

    def test_each_operation_has_a_name_of_its_own_and_says_what_it_does(self) -> None:
        operations = [one for methods in self.document["paths"].values() for one in methods.values()]
        names = [one["operationId"] for one in operations]
        self.assertEqual(len(names), len(set(names)), names)
        for path, methods in self.document["paths"].items():
            if path.startswith(V1):
                for one in methods.values():
                    self.assertTrue(one["summary"], path)

    def test_each_operation_names_the_scope_that_it_wants_but_for_what_is_public(self) -> None:
        scopes = {
            (method, path): [each["token"] for each in one["security"]]
            for path, methods in self.document["paths"].items()
            for method, one in methods.items()
        }
        self.assertEqual([["read"]], scopes["get", f"{V1}/vens"])
        self.assertEqual([["dispatch"]], scopes["post", f"{V1}/events"])
        self.assertEqual([["admin"]], scopes["post", f"{V1}/vens"])
        self.assertEqual(len(ROUTES), sum(bool(asked) for asked in scopes.values()))
        for (method, path), asked in scopes.items():
            self.assertEqual(path.startswith(V1), bool(asked), (method, path))

    def test_what_is_described_is_what_is_read(self) -> None:
        """The names of a body are those that the answer to an unknown one allows."""
        paths = self.document["paths"]
        for route in ROUTES:
            if route.body and route.form is None:
                path = re.sub(r"<id:\w+>", "x", route.path)
                errors = self.ask(route.method, path, {"no such thing": 1}).json["errors"]
                (error,) = [error for error in errors if "no such thing" in error["detail"]]
                described = paths[V1 + re.sub(r"<id:(\w+)>", r"{\1}", route.path)][route.method.lower()]
                content = described["requestBody"]["content"]["application/json"]["schema"]
                name = content["$ref"].rpartition("/")[2]
                shape = self.document["components"]["schemas"][name]
                self.assertEqual(set(error.get("allowed", ())), set(shape["properties"]), route.path)


class SchemathesisTests(ApiTestCase):
    """Whatever a program makes of the description is answered as it says, and never by a fault of ours."""

    def setUp(self) -> None:
        super().setUp()
        self.answered = Counter[int]()

    def test_what_a_machine_makes_of_the_description_is_answered_as_it_says(self) -> None:
        schema = schemathesis.openapi.from_dict(self.good("GET", "/openapi.json"))
        for found in schema.get_all_operations():
            assert isinstance(found, Ok), found
            self.fill()
            self.tries(found.ok())
        self.assertGreater(sum(self.answered[status] for status in (200, 201, 202, 204)), len(ROUTES))

    def fill(self) -> None:
        """A VTN in which there is one of each."""
        self.office = Office(self.config)
        self.office.registered(KNOWN["ven_id"])
        self.good("POST", "/groups", {"group_id": KNOWN["group_id"], "name": "G"}, 201)
        self.event(event_id=KNOWN["event_id"])

    def tries(self, operation: Any) -> None:
        @settings(
            max_examples=6, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
        )
        @given(operation.as_strategy())
        def one(case: Any) -> None:
            case.validate_response(self.call(case), checks=CHECKS)

        one()

    def call(self, case: Any) -> Response:
        """The answer of the API in memory to a case."""
        path = case.path
        for name, value in (case.path_parameters or {}).items():
            known = KNOWN.get(name) if len(str(value)) % 3 else None
            path = path.replace("{" + name + "}", quote(known or str(value), safe=""))
        query = urlencode(dict(case.query or {}), doseq=True)
        target = f"{path}?{query}" if query else path
        headers = {name: str(value) for name, value in (case.headers or {}).items()}
        headers.pop("Authorization", None)  # one that was made up
        body = None
        if case.media_type:
            headers["Content-Type"] = case.media_type
            body = case.body.encode() if isinstance(case.body, str) else json.dumps(case.body).encode()
        answer = self.office.ask(case.method.upper(), target, raw=body, headers=headers)
        self.answered[answer.status] += 1
        sent = {name.decode(): [v.decode() for v in values] for name, values in answer.headers.getAllRawHeaders()}
        asked = requests.Request(case.method.upper(), f"http://vtn.example{target}").prepare()
        return Response(answer.status, headers=sent, content=answer.body, request=asked, elapsed=0, verify=True)
