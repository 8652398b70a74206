"""The documents against the code: each command, option, key, path, metric and example in them is real."""

from __future__ import annotations

import asyncio
import re
import shlex
import subprocess
import sys
import unittest
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from textwrap import dedent
from typing import Any

import attrs
import click
from twisted.scripts.twistd import ServerOptions
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.cli import main
from oadrvtn.console.api import Api
from oadrvtn.console.metrics import Metrics
from oadrvtn.handlers.exchange import Exchange
from oadrvtn.model import errors
from oadrvtn.model.config import (
    TLS,
    BodyLimits,
    Config,
    DatabaseFile,
    Events,
    HandlerClasses,
    KnownVen,
    Limits,
    Listen,
    Offer,
    OfferedPoint,
    Registration,
    Retention,
    Revocation,
    Security,
    TraceLimits,
    TrustedProxy,
    WantedReport,
    example,
    parse,
)
from oadrvtn.model.config import (
    Api as ApiSection,
)
from oadrvtn.model.event import (
    EiTarget,
    EventResponse,
    Interval,
    OadrReportPayload,
    PayloadFloat,
    Properties,
    QualifiedEventID,
)
from oadrvtn.model.party import EiResponse
from oadrvtn.model.report import (
    OadrCreateReport,
    OadrRegisterReport,
    OadrReport,
    OadrReportDescription,
    OadrReportRequest,
    OadrUpdatedReport,
    OadrUpdateReport,
    ReportSpecifier,
    SpecifierPayload,
)
from oadrvtn.model.values import Duration
from oadrvtn.plugin import Options
from oadrvtn.server import OpenADRServer
from oadrvtn.storage import events as stored
from oadrvtn.storage import vens
from oadrvtn.storage.times import Times
from oadrvtn.vtn import events
from oadrvtn.vtn.events import EventSpec, SignalSpec
from oadrvtn.vtn.hooks import NAMES
from oadrvtn.wire import bends
from tests.console.office import Office
from tests.handlers.house import RESOURCES, START, House, Logged, certificate, code, create, made, poll
from tests.vtn.house import House as VtnHouse

CHECKOUT = Path(__file__).parents[1]
DOCS = CHECKOUT / "docs"
PAGES = {
    str(path.relative_to(CHECKOUT)): path.read_text("utf-8")
    for path in (CHECKOUT / "README.rst", CHECKOUT / "certs" / "README.rst", *sorted(DOCS.glob("*.rst")))
}


def page(name: str) -> str:
    return PAGES[f"docs/{name}.rst"]


def blocks(text: str, language: str | None = None) -> Iterator[str]:
    """The literal blocks of a page, or those in a language."""
    opening = rf"\.\. code-block:: {language}" if language else r"(?!\.\.).*::"
    for found in re.finditer(rf"^{opening}\n\n((?: +.*\n|\n)+)", text + "\n", re.MULTILINE):
        yield dedent(found[1])


def lines(text: str) -> Iterator[list[str]]:
    """The command lines of our programs, and of curl, in the literal blocks of a page, as words."""
    for block in blocks(text):
        whole = re.sub(r"('[^']*)\n +", r"\1", block)  # a quoted text may go on in the next line
        for line in whole.splitlines():
            for command in line.removeprefix("ExecStart=").split(" && "):
                if re.match(r"[\w./]*\b(oadrvtn|twistd|curl) ", command):
                    yield shlex.split(command)


def literals(text: str) -> list[str]:
    """What stands between double backquotes, on one line."""
    return [" ".join(found.split()) for found in re.findall(r"``([^`]+)``", text)]


def column(text: str, pattern: str) -> list[Any]:
    """What a pattern finds at the beginnings of lines."""
    return re.findall(f"^{pattern}", text, re.MULTILINE)


# --- commands -------------------------------------------------------------------------------------------


def resolve(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that words name, and what is left for it.  Raises click's errors."""
    command: click.Command = main
    while isinstance(command, click.Group):
        _, words, _ = command.make_parser(click.Context(command)).parse_args(list(words))
        if not words:
            break
        found = command.get_command(click.Context(command), words[0])
        assert found, f"{command.name} has no command {words[0]}"
        command, words = found, words[1:]
    return command, words


def leaves(command: click.Command, *path: str) -> Iterator[tuple[str, ...]]:
    if isinstance(command, click.Group):
        for name, below in command.commands.items():
            yield from leaves(below, *path, name)
    else:
        yield path


def options(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from options(below)


class CommandTests(SynchronousTestCase):
    def test_each_command_line_can_be_given_like_that(self) -> None:
        tried = 0
        for text in PAGES.values():
            for words in lines(text):
                if Path(words[0]).name == "oadrvtn":
                    command, rest = resolve(words[1:])
                    command.make_context("it", rest[: rest.index(">")] if ">" in rest else rest)
                    tried += 1
        self.assertGreater(tried, 15)

    def test_each_command_that_is_only_named_is_there(self) -> None:
        for text in PAGES.values():
            for literal in literals(text):
                if literal.startswith(("oadrvtn ", ".venv/bin/oadrvtn ")):
                    command, rest = resolve(shlex.split(literal)[1:])
                    if not isinstance(command, click.Group):
                        command.make_parser(click.Context(command)).parse_args(rest)

    def test_each_twistd_command_line_can_be_given_like_that(self) -> None:
        tried = 0
        for text in PAGES.values():
            for words in lines(text):
                if Path(words[0]).name == "twistd":
                    twistd = ServerOptions()
                    twistd.parseOptions(words[1:])
                    self.assertEqual(twistd.subCommand, "oadrvtn")
                    tried += 1
        self.assertGreater(tried, 3)

    def test_each_option_that_is_only_named_is_there(self) -> None:
        known = {*options(main), *(f"--{name}" for name in Options().longOpt), "--help"}
        known |= {f"--{name}" for name in ServerOptions().longOpt}
        known = {name.removesuffix("=") for name in known}
        for text in PAGES.values():
            for literal in literals(text):
                for option in re.findall("(?:^| )(--[a-z-]+)", literal):
                    self.assertIn(option, known)

    def test_the_readme_lists_every_command(self) -> None:
        listed = set()
        for row in re.findall(r"^``oadrvtn .*?``(?=  )", PAGES["README.rst"], re.MULTILINE):
            first, *more = literals(row)
            words = tuple(first.split()[1:])
            listed |= {words, *((*words[:-1], name) for name in more)}
        self.assertEqual(listed, {*leaves(main)})


# --- configuration --------------------------------------------------------------------------------------

_SECTIONS: dict[str, type] = {
    "At the top": Config,
    "[listen]": Listen,
    "[trusted_proxy]": TrustedProxy,
    "[tls]": TLS,
    "[database]": DatabaseFile,
    "[retention]": Retention,
    "[registration]": Registration,
    "[security]": Security,
    "[revocation]": Revocation,
    "[[vens]]": KnownVen,
    "[[reports]]": WantedReport,
    "[[offers]]": Offer,
    "[[offers.data_points]]": OfferedPoint,
    "[events]": Events,
    "[handlers]": HandlerClasses,
    "[limits]": Limits,
    "[limits.body]": BodyLimits,
    "[limits.trace]": TraceLimits,
    "[api]": ApiSection,
}
_LEAST = '\n[tls]\ncertificates = [{ certificate = "vtn.crt", key = "vtn.key" }]\nca = ["ca.crt"]\n'


class ConfigurationTests(SynchronousTestCase):
    def test_each_section_tells_of_its_keys_of_all_and_of_no_others(self) -> None:
        parts = re.split(r"^(.+)\n-+\n", page("configuration"), flags=re.MULTILINE)
        told = dict(zip(parts[1::2], parts[2::2], strict=True))
        self.assertEqual([name for name in told if name != "Leniency"], list(_SECTIONS))
        for name, cls in _SECTIONS.items():
            terms = [literal for line in column(told[name], "(``.*``)$") for literal in literals(line)]
            keys = [field.name for field in attrs.fields(cls) if "table" not in field.metadata]
            self.assertEqual([term.partition(" = ")[0] for term in terms], keys, name)

    def test_each_default_is_that_of_the_commented_example(self) -> None:
        known = {line.lstrip("#") for line in example().splitlines()}
        for line in column(page("configuration"), "(``.*``)$"):
            for literal in literals(line):
                if " = " in literal:
                    self.assertIn(literal, known)

    def test_each_file_is_a_configuration(self) -> None:
        for name in ("configuration", "extending"):
            for block in blocks(page(name), "toml"):
                parse(block if "[tls]" in block else block + _LEAST, Path("/etc"))

    def test_each_key_that_is_only_named_is_there(self) -> None:
        places = {"reports": WantedReport, "vens": KnownVen} | {
            field.name: field.metadata["table"] for field in attrs.fields(Config) if "table" in field.metadata
        }
        for text in PAGES.values():
            for literal in literals(text):
                section, _, key = literal.partition(".")
                if section in places and re.fullmatch("[a-z_]+", key) and not key.endswith("py"):
                    self.assertIn(key, attrs.fields_dict(places[section]))

    def test_each_bend_is_told(self) -> None:
        self.assertEqual(column(page("configuration"), r"``(\w+)`` +(?=\w)"), list(bends.NAMES))

    def test_each_leniency_profile_is_told(self) -> None:
        profiles = re.split(r"^Leniency\n-+\n", page("configuration"), flags=re.MULTILINE)[1]
        self.assertEqual(column(profiles, r"``(\w+)``$"), list(bends.PROFILES))


# --- API, metrics, protocol -----------------------------------------------------------------------------


class ReferenceTests(SynchronousTestCase):
    def test_the_api_has_these_paths_and_no_others(self) -> None:
        told = column(page("operating"), r"(GET|POST|PATCH|DELETE) +(/\S+)")
        served = {
            (method, re.sub("<id:(\\w+)>", lambda found: found[1].upper(), str(rule)).replace("MARKET_CONTEXT", "URI"))
            for rule in Api.app.url_map.iter_rules()
            for method in (rule.methods or set()) - {"HEAD"}
        }
        self.assertEqual({*told}, served)

    def test_each_call_of_the_api_works(self) -> None:
        office = Office()
        office.registered("ven-1")
        asked = [words for words in lines(page("operating")) if words[0] == "curl"]
        self.assertGreater(len(asked), 3)
        for words in asked:
            method, body, url = "GET", None, ""
            headers: dict[str, str] = {}
            rest = iter(words[1:])
            for word in rest:
                if word == "-H":
                    name, _, value = next(rest).partition(": ")
                    headers |= {name: value} if name != "$TOKEN" else {}
                elif word == "-X":
                    method = next(rest)
                elif word == "-d":
                    method, body = "POST" if method == "GET" else method, next(rest).encode()
                else:
                    url = word
            path = url.replace("$API", "/api/v1")
            answer = office.ask(method, path, headers=headers, raw=body)
            self.assertLess(answer.status, 300, (words, answer.body))

    def test_each_metric_is_told(self) -> None:
        counters: Any = {"messages": {}, "tls_refused": {}, "bends": {}, "readings_dropped": {}, "limited": {}}
        counters |= {"certificates_expiring": {}, "crls": {}, "ocsp_answers": {}, "api_refused": {}}
        metrics = Metrics(version="0").text(defaultdict(float), defaultdict(int), defaultdict(Times), **counters)
        exposed = metrics.decode()
        names = re.findall(r"^# HELP (oadrvtn\w*)", exposed, re.MULTILINE)
        self.assertEqual(column(page("operating"), r"``(oadrvtn_\w+)`` "), names)

    def test_the_messages_that_are_served_are_told_with_their_service(self) -> None:
        told = dict(column(page("protocol"), r"(oadr\w+) +(Ei\w+|OadrPoll|any of the five) "))
        served = {message.name(): cls.service for cls in RESOURCES.values() for message in cls.methods}
        self.assertEqual(told, served | {"oadrResponse": "any of the five"})
        self.assertTrue(all("on_response" in cls.methods.values() for cls in RESOURCES.values()))

    def test_each_response_code_has_an_error(self) -> None:
        known = {error.response_code for error in vars(errors).values() if hasattr(error, "response_code")}
        told = set(column(page("protocol"), r"(\d{3})  "))
        self.assertTrue(told)
        self.assertEqual(told - known, set())

    def test_the_states_of_the_ledger_are_those_of_the_code(self) -> None:
        table = page("operating").partition("State            Meaning")[2].partition("*withdrawn*")[0]
        code = "".join(path.read_text("utf-8") for path in (CHECKOUT / "oadrvtn").glob("[sv]t*/*.py"))
        for state in (told := column(table, r"``(\w+)`` +")):
            self.assertIn(f'"{state}"', code)
        self.assertEqual(len(told), 8)

    def test_each_file_and_folder_that_is_named_is_there(self) -> None:
        for text in PAGES.values():
            for literal in literals(text):
                if re.fullmatch(r"[\w/]+(\.(py|rst)|/)", literal) and literal != "utility/dr.py":
                    places = (CHECKOUT / "oadrvtn" / literal, CHECKOUT / literal, DOCS / literal)
                    self.assertTrue(any(place.exists() for place in places), literal)


# --- the examples of extending --------------------------------------------------------------------------


def examples() -> dict[str, Any]:
    """The names in the Python file that the page shows."""
    names: dict[str, Any] = {"__name__": "utility.dr"}
    for block in blocks(page("extending"), "python"):
        exec(compile(block, "docs/extending.rst", "exec"), names)
    return names


class ExampleTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.names = examples()

    def house(self, name: str, policy: str = "closed") -> House:
        """A VTN with one of the classes, and ven-1 registered."""
        config = Config(reports=(WantedReport(report_name="TELEMETRY_USAGE"),))
        house = House(self, self.names[name], policy=policy, config=config)
        house.register()
        return house

    def event(self, house: House, market_context: str = "http://program") -> Any:
        """A new event for everybody."""
        hour = SignalSpec(intervals=((Duration("PT1H"), 1.0),))
        spec = EventSpec(market_context=market_context, dtstart=START, signals=(hour,))
        return house.write(events.create, spec, "operator")

    def reports(self, house: House, *values: float) -> Iterator[Any]:
        """ven-1 offers to report its power, and does it with one value after the other: the answers."""
        point = OadrReportDescription(r_id="power", report_type="usage", reading_type="Direct Read")
        offer = OadrReport(
            descriptions=(point,), report_request_id="0", report_specifier_id="usage",
            report_name="METADATA_TELEMETRY_USAGE", created_date_time=START,
        )  # fmt: skip
        answer = house.answer("EiReport", OadrRegisterReport(request_id="r", reports=(offer,)))
        (request,) = answer.report_requests
        for value in values:
            reading = OadrReportPayload(r_id="power", payload=PayloadFloat(value=value))
            report = offer.evolve(
                descriptions=(), intervals=(Interval(dtstart=START, payloads=(reading,)),),
                report_name="TELEMETRY_USAGE", report_request_id=request.report_request_id,
            )  # fmt: skip
            yield house.answer("EiReport", OadrUpdateReport(request_id="r", reports=(report,)))

    def test_each_class_is_tried_below(self) -> None:
        made_here = {name for name, value in self.names.items() if getattr(value, "__module__", "") == "utility.dr"}
        classes = {name for name in made_here if isinstance(self.names[name], type)}
        tried = set(re.findall(r'"(\w+)"', Path(__file__).read_text("utf-8")))
        self.assertEqual(classes - tried, set())

    def test_each_class_that_the_configuration_names_is_one_of_its_service(self) -> None:
        for block in blocks(page("extending"), "toml"):
            named = re.findall(r'^(\w+) = "utility.dr:(\w+)"', block, re.MULTILINE)
            self.assertTrue(named)
            for key, name in named:
                found = self.names[name]
                self.assertTrue(callable(found) if key == "source" else issubclass(found, RESOURCES[key]), name)

    def test_a_plain_function_refuses_an_opt_with_its_code_and_leaves_others_to_the_default(self) -> None:
        house = self.house("MyOpts")
        answer = house.answer("EiOpt", made("oadrCreateOpt", opt_type="optOut", opt_reason="economic"))
        self.assertEqual((answer.name(), code(answer)), ("oadrCreatedOpt", "451"))
        self.assertIn("economic", answer.response.response_description)
        period = Properties(dtstart=START, duration=Duration("PT1H"))
        schedule = {"qualified_event_id": None, "available": (period,), "target": EiTarget()}
        emergency = made("oadrCreateOpt", opt_type="optOut", opt_reason="emergency", **schedule)
        self.assertEqual(code(house.answer("EiOpt", emergency)), "200")

    def test_a_deferred_is_continued_with_what_a_ven_opted(self) -> None:
        house = self.house("MyEvents")
        event_id = self.event(house).event_id
        opt = EventResponse(
            response_code="200", request_id="r", opt_type="optIn",
            qualified_event_id=QualifiedEventID(event_id=event_id, modification_number=0),
        )  # fmt: skip
        with Logged() as log:
            answer = house.answer("EiEvent", made("oadrCreatedEvent", event_responses=(opt,)))
        self.assertEqual(code(answer), "200")
        self.assertEqual(log.lines("to event"), [f"ven-1: optIn to {event_id}"])

    def test_a_coroutine_makes_an_event_of_a_report_once_in_an_hour(self) -> None:
        house = self.house("MyReports")
        answers = self.reports(house, 99_000.0, 101_000.0, 102_000.0)
        for events_then in (0, 1, 1):
            self.assertEqual(code(next(answers)), "200")
            self.assertEqual(house.read(stored.counts, house.vtn.now())["events"], events_then)
        self.assertEqual(house.answer("OadrPoll", poll()).name(), "oadrRegisterReport")
        self.assertEqual(len(house.answer("OadrPoll", poll()).events), 1)

    def test_a_registration_is_decided_by_the_fingerprint(self) -> None:
        house = self.house("MyRegistration", policy="handler")
        self.assertEqual(code(house.answer("EiRegisterParty", create(), "stranger")), "463")
        shown = certificate("site")[-10:].hex(":").upper()
        self.names["SITES"][shown] = "cold-store-7"
        answer = house.answer("EiRegisterParty", create(), "site")
        self.assertEqual((code(answer), answer.ven_id, answer.registration_id[:4]), ("200", "cold-store-7", "reg-"))
        again = house.answer("EiRegisterParty", create(registration_id=answer.registration_id), "site")
        self.assertEqual((code(again), again.registration_id), ("200", answer.registration_id))
        self.assertTrue(house.read(vens.get, "cold-store-7").registered)

    def test_a_payload_reads_both_ways_and_a_changed_copy_goes_to_the_default(self) -> None:
        house = self.house("AllEvents")
        self.event(house)
        self.event(house, "http://another")
        self.assertEqual(len(house.answer("EiEvent", made("oadrRequestEvent", reply_limit=1)).events), 2)

    def test_an_awaitable_of_asyncio_can_be_waited_for(self) -> None:
        house = self.house("PatientPolls")

        async def polled() -> Any:
            return await house.begin("OadrPoll", poll()).asFuture(asyncio.get_running_loop())

        exchange = asyncio.run(polled())
        self.assertEqual(exchange.reply.name(), "oadrRegisterReport")

    def test_a_source_knows_the_prices_of_a_day_and_of_now(self) -> None:
        config, wanted = self.offers(), (SpecifierPayload(r_id="price", reading_type="x-notApplicable"),)
        house = VtnHouse(config)
        house.sources["utility.dr:prices"] = self.names["prices"]
        ven = house.ven()
        day = Properties(dtstart=house.vtn.now() - timedelta(hours=20), duration=Duration("PT20H"))
        for interval, prices in ((None, [0.31]), (day, [0.31] * 4 + [0.22] * 12 + [0.31] * 4)):
            specifier = ReportSpecifier(
                report_specifier_id="tariff", granularity=Duration("PT1H"), report_back_duration=Duration("PT0S"),
                report_interval=interval, specifier_payloads=wanted,
            )  # fmt: skip
            request = OadrReportRequest(report_request_id="r", report_specifier=specifier)
            ven.send(OadrCreateReport(request_id="r", report_requests=(request,)))
            house.live(10)
            update = ven.poll()
            self.assertEqual(prices, [one.payloads[0].payload.value for one in update.reports[0].intervals])
            ven.send(OadrUpdatedReport(response=EiResponse.ok(update.request_id)))

    def offers(self) -> Config:
        """The configuration that the page shows."""
        [block] = [block for block in blocks(page("extending"), "toml") if "offers" in block]
        return parse(block + _LEAST, Path("/etc"))

    def test_a_limit_is_told_once_to_the_ven_that_has_one(self) -> None:
        house = self.house("MyPolls")
        self.names["LIMITS"]["ven-1"] = 5.0
        self.assertEqual(house.answer("OadrPoll", poll()).name(), "oadrRegisterReport")
        [report] = house.answer("OadrPoll", poll()).reports
        self.assertEqual(5.0, report.intervals[0].payloads[0].payload.value)
        house.clock.advance(5)
        self.assertEqual(house.answer("OadrPoll", poll()).name(), "oadrResponse")

    def test_the_methods_that_are_named_are_those_of_the_services(self) -> None:
        there = {name for cls in RESOURCES.values() for name in cls.methods.values()} | {"on_request_report"}
        listed = page("extending").partition("\nSubclasses\n")[2]
        self.assertEqual(set(re.findall(r"``(on_\w+)``", listed)), there)

    def test_the_functions_that_are_named_are_those_that_can_be_added(self) -> None:
        table = page("extending").partition("list-table::")[2].partition("A ``payload`` is")[0]
        self.assertEqual(set(re.findall(r"``(on_\w+)", table)), {*NAMES})

    def test_a_program_has_the_methods_that_are_told(self) -> None:
        table = page("extending").partition("Method                     Does")[2].partition("Subclasses")[0]
        told = {name for name in literals(table) if name.isidentifier()}
        public = {name for name in vars(OpenADRServer) if not name.startswith("_")}
        self.assertEqual(told, public)

    def test_a_program_is_made_as_shown_and_waits_to_be_started(self) -> None:
        server = self.names["server"]
        self.assertEqual(server.config.registration.poll_frequency, 30)
        self.assertIsNone(server.service)

    def test_the_tests_that_are_shown_pass(self) -> None:
        shown = unittest.defaultTestLoader.loadTestsFromTestCase(self.names["SheddingTests"])
        outcome = unittest.TestResult()
        shown.run(outcome)
        self.assertEqual((outcome.testsRun, outcome.errors, outcome.failures), (2, [], []))

    def test_what_is_told_of_the_exchange_is_there(self) -> None:
        table = page("extending").partition("Of the exchange")[2].partition("``self.vtn``")[0]
        told = column(table, r"``(\w+)``  ")
        self.assertGreater(len(told), 5)
        self.assertEqual([name for name in told if not hasattr(Exchange, name)], [])


# --- the pages themselves -------------------------------------------------------------------------------


class PageTests(SynchronousTestCase):
    def complaints(self, *command: str | Path) -> str:
        """What a module that is run as a program has to complain about."""
        done = subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, check=False)
        return done.stdout + done.stderr if done.returncode else ""

    def test_sphinx_has_no_complaints(self) -> None:
        out = Path(self.mktemp())
        options = ("-q", "-W", "--keep-going", "-d", out / "trees", "-b", "html")
        self.assertEqual(self.complaints("sphinx", *options, DOCS, out / "html"), "")

    def test_docutils_has_no_complaints_about_what_sphinx_does_not_see(self) -> None:
        for path in ("README.rst", "certs/README.rst", "newsfragments/README.rst"):
            self.assertEqual(self.complaints("docutils", "--halt=2", CHECKOUT / path, "/dev/null"), "")
