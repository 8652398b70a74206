"""What tests of the API share: an office, and what is expected of its answers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model.config import Config, WantedReport

from .office import Answer, Office

V1 = "/api/v1"


class ApiTestCase(SynchronousTestCase):
    """Has an office, and says what is expected of its answers."""

    config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),))

    def setUp(self) -> None:
        self.office = Office(self.config)

    def ask(self, method: str, path: str, body: Any = None, **more: Any) -> Answer:
        return self.office.ask(method, V1 + path, body, **more)

    def good(self, method: str, path: str, body: Any = None, status: int = 200, **more: Any) -> Any:
        answer = self.ask(method, path, body, **more)
        self.assertEqual(status, answer.status, answer.body)
        return answer.json if answer.body else None

    def refused(self, status: int, method: str, path: str, body: Any = None, **more: Any) -> Any:
        return self.problem(status, self.ask(method, path, body, **more))

    def problem(self, status: int, answer: Answer) -> Any:
        """The problem document of an answer, which is one by RFC 9457."""
        self.assertEqual(status, answer.status, answer.body)
        self.assertEqual("application/problem+json", answer.header("Content-Type"))
        self.assertEqual("about:blank", answer.json["type"])
        self.assertEqual(status, answer.json["status"])
        self.assertTrue(answer.json["title"])
        self.assertTrue(answer.json["detail"])
        return answer.json

    def event(self, **fields: Any) -> Any:
        """An event that was made."""
        body = {"market_context": "urn:x", "dtstart": "now", "duration": "15m", "level": 2}
        return self.good("POST", "/events", body | fields, 201)
