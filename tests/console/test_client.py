"""The client: which VTN it finds, what it asks, and what it says where that fails."""

from __future__ import annotations

import http.client
import json
import os
from pathlib import Path
from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.console.client import ApiError, Client, demo_directory, find_config
from oadrvtn.console.token import load_token
from oadrvtn.model.config import Api, Config
from oadrvtn.security import certificates

from .office import Office


class FindConfigTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.here = Path(self.mktemp()).absolute()
        self.state = self.here / "state"
        (self.state / "oadrvtn" / "demo").mkdir(parents=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.here)
        self.environment = {"XDG_STATE_HOME": str(self.state)}
        self.patch(os, "environ", self.environment)

    def test_the_first_of_four_is_taken(self) -> None:
        demo = self.state / "oadrvtn" / "demo" / "vtn.toml"
        demo.touch()
        self.assertEqual(demo, find_config())
        Path("vtn.toml").touch()
        self.assertEqual(Path("vtn.toml"), find_config())
        self.environment["OADRVTN_CONFIG"] = "/from/environment"
        self.assertEqual(Path("/from/environment"), find_config())
        self.assertEqual(Path("/named"), find_config("/named"))

    def test_where_there_is_none_the_error_says_what_to_do(self) -> None:
        message = str(self.assertRaises(ApiError, find_config))
        for hint in ("--config", "OADRVTN_CONFIG", "twistd -n oadrvtn --demo", str(demo_directory())):
            self.assertIn(hint, message)

    def test_the_demonstration_lives_below_the_users_state(self) -> None:
        self.assertEqual(self.state / "oadrvtn" / "demo", demo_directory())
        for ignored in ("", "relative/path"):
            self.environment["XDG_STATE_HOME"] = ignored
            self.environment["HOME"] = "/home/operator"
            self.assertEqual(Path("/home/operator/.local/state/oadrvtn/demo"), demo_directory())


class _Wire:
    """A connection that fails, or answers one thing."""

    def __init__(self, answer: Exception | tuple[int, str, bytes]) -> None:
        self.answer = answer
        self.asked: list[tuple[Any, ...]] = []
        self.closed = 0

    def __call__(self, host: str, port: int, timeout: float) -> http.client.HTTPConnection:
        self.address = host, port
        return cast(http.client.HTTPConnection, self)

    def request(self, *what: Any) -> None:
        self.asked.append(what)
        if isinstance(self.answer, OSError):
            raise self.answer

    def getresponse(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        self.status, self.kind, self.content = self.answer
        return self

    def getheader(self, name: str) -> str:
        return self.kind

    def read(self) -> bytes:
        return self.content

    def close(self) -> None:
        self.closed += 1


class ClientTests(SynchronousTestCase):
    def call(self, answer: Any, *what: Any, host: str = "127.0.0.1", **more: Any) -> Any:
        self.wire = _Wire(answer)
        try:
            return Client(host, 8080, "the-token", self.wire).call(*(what or ("GET", "status")), **more)
        finally:
            self.assertEqual(1, self.wire.closed)

    def fails(self, answer: Any) -> str:
        return str(self.assertRaises(ApiError, self.call, answer))

    def test_ids_are_quoted_and_what_is_none_is_not_asked(self) -> None:
        good = (200, "application/json", b"{}")
        self.call(good, "GET", "vens", "a/b ?", "readings", query={"since": "+5m", "until": None})
        method, target, body, headers = self.wire.asked[0]
        self.assertEqual(("GET", "/api/v1/vens/a%2Fb%20%3F/readings?since=%2B5m", None), (method, target, body))
        self.assertEqual("Bearer the-token", headers["Authorization"])

    def test_json_is_read_text_is_kept_and_nothing_is_none(self) -> None:
        self.assertEqual({"a": 1}, self.call((200, "application/json", b'{"a": 1}')))
        self.assertEqual("a,b\n", self.call((200, "text/csv; charset=utf-8", b"a,b\n")))
        self.assertIsNone(self.call((204, "", b"")))

    def test_an_api_on_every_address_is_asked_on_this_machine(self) -> None:
        for host, asked in (("0.0.0.0", "127.0.0.1"), ("::", "::1"), ("192.0.2.1", "192.0.2.1")):
            self.call((204, "", b""), host=host)
            self.assertEqual((asked, 8080), self.wire.address)

    def test_a_problem_is_told_by_its_detail(self) -> None:
        self.assertEqual("no such VEN", self.fails((404, "application/problem+json", b'{"detail": "no such VEN"}')))

    def test_what_could_stand_instead_is_told_where_it_is_little_and_not_said_already(self) -> None:
        errors = [
            {"pointer": "/a", "detail": "is wrong", "allowed": ["x", "y"]},
            {"pointer": "/b", "detail": "is none of v, w", "allowed": ["v", "w"]},
            {"pointer": "/c", "detail": "is wrong", "allowed": [str(number) for number in range(100)]},
            {"pointer": "/d", "detail": "is wrong"},
        ]
        problem = json.dumps({"detail": "a is wrong", "errors": errors}).encode()
        self.assertEqual("a is wrong (possible: x, y)", self.fails((422, "application/problem+json", problem)))

    def test_each_way_to_fail_has_its_words(self) -> None:
        cases: list[tuple[Any, str]] = [
            (ConnectionRefusedError(111, "refused"), "nothing listens at http://127.0.0.1:8080: is the VTN running?"),
            (TimeoutError(), "does not answer within 30 seconds"),
            (OSError(113, "No route to host"), "cannot be reached: No route to host"),
            (http.client.RemoteDisconnected("gone"), "cannot be reached"),
            (http.client.BadStatusLine("SSH-2.0"), "is no VTN"),
            ((401, "application/problem+json", b"{}"), "does not know our token"),
            ((200, "application/json", b"<html>"), "is no VTN"),
            ((502, "text/html", b"<html>"), "HTTP status 502"),
            ((500, "application/problem+json", b"[]"), "HTTP status 500"),
            ((200, "text/html", b"\xff"), "is no VTN"),
        ]
        for answer, words in cases:
            message = self.fails(answer)
            self.assertIn(words, message)
            self.assertEqual(1, len(message.splitlines()))

    def test_an_ipv6_address_is_shown_in_brackets(self) -> None:
        self.assertEqual("http://[::1]:8080", Client("::1", 8080, "t").url)

    def test_the_client_of_a_configuration_has_its_address_and_its_token(self) -> None:
        state = Path(self.mktemp())
        config = Config(state_directory=state, api=Api(host="::1", port=9000))
        token = load_token(config.token_path)
        client = Client.of(config)
        self.assertEqual(("http://[::1]:9000", token), (client.url, client._token))
        for api, words in ((Api(enabled=False), "api.enabled"), (Api(port=0), "api.port")):
            error = self.assertRaises(ApiError, Client.of, Config(state_directory=state, api=api))
            self.assertIn(words, str(error))

    def test_a_vtn_with_a_certificate_is_asked_by_https_and_with_the_token_that_is_named(self) -> None:
        state = Path(self.mktemp())
        certificates.init(state)
        api = Api(host="0.0.0.0", certificate=state / "vtn-ec.crt", key=state / "vtn-ec.key")
        config = Config(state_directory=state, api=api)
        load_token(config.token_path)
        own = load_token(state / "own")
        client = Client.of(config, state / "own")
        self.assertEqual(("https://0.0.0.0:8080", own), (client.url, client._token))

    def test_a_url_names_the_vtn_on_any_machine(self) -> None:
        own = Path(self.mktemp())
        load_token(own)
        for url in (
            "https://vtn.example.org:8443",
            "http://localhost:8080",
            "https://[2001:db8::1]:443",
            "http://[::1]:80",
        ):
            self.assertEqual(url, Client.at(url, own).url)
        self.assertEqual("https://vtn.example.org:443", Client.at("https://vtn.example.org/", own).url)
        for url in (
            "vtn.example.org:8080",
            "ftp://localhost",
            "https://",
            "https://x/api",
            "https://x:port",
            "http://[x",
        ):
            self.assertIn("is no address of an API", str(self.assertRaises(ApiError, Client.at, url, own)))

    def test_a_token_is_never_sent_to_another_machine_in_the_clear(self) -> None:
        own = Path(self.mktemp())
        load_token(own)
        error = self.assertRaises(ApiError, Client.at, "http://vtn.example.org:8080", own)
        self.assertIn("only sent there by https", str(error))

    def test_client_and_api_understand_each_other(self) -> None:
        client = Office().client()
        client.call("POST", "vens", body={"ven_id": "ä/ö", "fingerprints": ["00" * 10]})
        self.assertEqual("ä/ö", client.call("GET", "vens", "ä/ö")["ven_id"])
        self.assertIn("start,", client.call("GET", "vens", "ä/ö", "readings", query={"format": "csv"}))
        self.assertIsNone(client.call("DELETE", "vens", "ä/ö"))
        self.assertIn("not known", str(self.assertRaises(ApiError, client.call, "GET", "vens", "ä/ö")))
