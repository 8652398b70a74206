"""The configuration: what it takes, what it refuses and how it says so, and the example made from it."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import attrs
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.model import config
from oadrvtn.model.config import (
    TLS,
    Api,
    BodyLimits,
    CertificateFiles,
    Config,
    ConfigError,
    KnownVen,
    Limits,
    Listen,
    Registration,
    example,
    load,
    parse,
)
from oadrvtn.model.event import PowerAttributes, PowerReal, Temperature, Voltage

BASE = Path("/etc/oadrvtn")
TLS_FILES = """
[tls]
certificates = [{certificate = "ec.crt", key = "ec.key"}]
ca = ["ca.crt"]
"""
SHORT = "AA:BB:CC:DD:EE:FF:00:11:22:33"
WHOLE = ":".join(["5C"] * 22) + ":" + SHORT


def mistakes_of(text: str, tls: str = TLS_FILES) -> list[str]:
    try:
        parse(text + tls, BASE)
    except ConfigError as error:
        return error.mistakes
    return []


def ven(ven_id: str, *fingerprints: str) -> str:
    return f"[[vens]]\nven_id = {ven_id!r}\nfingerprints = {list(fingerprints)}\n"


class ReadingTests(SynchronousTestCase):
    def test_what_is_left_out_has_the_defaults(self) -> None:
        found = parse(TLS_FILES, BASE)
        tls = TLS(
            certificates=(CertificateFiles(certificate=BASE / "ec.crt", key=BASE / "ec.key"),),
            ca=(BASE / "ca.crt",),
        )
        self.assertEqual(found, Config(tls=tls, state_directory=BASE / "state"))

    def test_everything_that_is_written_arrives(self) -> None:
        found = parse(
            f"""
            vtn_id = "north"
            state_directory = "/var/lib/oadrvtn"
            {TLS_FILES}
            allow_aes128_sha256 = false
            [listen]
            host = "10.0.0.1"
            port = 443
            path_prefix = "/north/2"
            [registration]
            policy = "approve"
            poll_frequency = "1.5m"
            unregistered_poll = "reregister"
            leniency = "strict"
            [[vens]]
            ven_id = "ven-1"
            poll_frequency = "1h"
            leniency = "bare"
            fingerprints = ["{SHORT.replace(":", "").lower()}", "{WHOLE.replace(":AA:", ":AB:")}"]
            [[reports]]
            report_name = "TELEMETRY_USAGE"
            item_base = "powerReal"
            granularity = 0
            [handlers]
            EiEvent = "utility.dr:MyEvents"
            [limits]
            idle_timeout = 90
            [limits.body]
            EiReport = "1MB"
            unknown = 1000
            [api]
            token_file = "/run/token"
            """,
            BASE,
        )
        self.assertEqual((found.vtn_id, found.state_directory), ("north", Path("/var/lib/oadrvtn")))
        self.assertFalse(found.tls.allow_aes128_sha256)
        self.assertEqual(found.listen, Listen(host="10.0.0.1", port=443, path_prefix="/north/2"))
        self.assertEqual(
            found.registration,
            Registration(policy="approve", poll_frequency=90.0, unregistered_poll="reregister", leniency="strict"),
        )
        self.assertEqual(
            [(v.ven_id, v.name, v.fingerprints, v.poll_frequency, v.leniency) for v in found.vens],
            [("ven-1", None, (SHORT, WHOLE.replace(":AA:", ":AB:")), 3600, "bare")],
        )
        [report] = found.reports
        self.assertEqual(
            (
                report.report_name,
                report.item_base,
                report.r_id,
                report.granularity,
                report.report_back_duration,
            ),
            ("TELEMETRY_USAGE", "powerReal", None, 0.0, 300.0),
        )
        self.assertEqual(found.handlers.EiEvent, "utility.dr:MyEvents")
        self.assertIsNone(found.handlers.OadrPoll)
        self.assertEqual(found.limits, Limits(idle_timeout=90, body=BodyLimits(EiReport=1024**2, unknown=1000)))
        self.assertEqual(found.database_path, Path("/var/lib/oadrvtn/vtn.sqlite"))
        self.assertEqual(found.token_path, Path("/run/token"))

    def test_durations_are_seconds_and_sizes_bytes_in_either_spelling(self) -> None:
        for written, seconds in (
            ("10", 10),
            ("0.5", 0.5),
            ('"10s"', 10),
            ('"5m"', 300),
            ('"1h"', 3600),
            ('"1d"', 86400),
        ):
            found = parse(f"{TLS_FILES}[limits]\nrequest_timeout = {written}", BASE)
            self.assertEqual(found.limits.request_timeout, seconds)
        for written, number in (
            ("1", 1),
            ('"2B"', 2),
            ('"16kB"', 16384),
            ('"16 KB"', 16384),
            ('"8MB"', 8 * 1024**2),
        ):
            found = parse(f"{TLS_FILES}[limits.body]\nEiReport = {written}", BASE)
            self.assertEqual(found.limits.body.EiReport, number)

    def test_a_file_is_the_place_that_its_paths_start_from(self) -> None:
        file = Path(self.mktemp())
        file.write_text("\N{BOM}" + TLS_FILES, "utf-8")
        found = load(file)
        self.assertEqual(found.tls.ca, (file.absolute().parent / "ca.crt",))
        self.assertTrue(found.database_path.is_absolute())

    def test_a_file_that_cannot_be_read_is_named(self) -> None:
        self.assertEqual(
            self.assertRaises(ConfigError, load, "gone.toml").mistakes,
            ["gone.toml: No such file or directory"],
        )
        file = Path(self.mktemp())
        file.write_bytes(b'vtn_id = "\xff"')
        self.assertEqual(self.assertRaises(ConfigError, load, file).mistakes, [f"{file}: is not UTF-8 (byte 11)"])


class MistakeTests(SynchronousTestCase):
    def test_all_are_told_at_once_each_with_its_place(self) -> None:
        self.assertEqual(
            mistakes_of(
                """
                vtn_id = 5
                [listen]
                prot = 443
                port = 65536
                path_prefix = "north/"
                "a key" = 1
                [database]
                synchronous = "full"
                [registration]
                policy = "aprove"
                poll_frequency = -1
                offline_after = true
                [[vens]]
                fingerprints = ["xyz"]
                [[vens]]
                ven_id = "b"
                fingerprints = []
                [reports]
                [handlers]
                eievent = "a:B"
                EiOpt = "a.b.C"
                [limits]
                body = 5
                roster = 0
                handshake_timeout = "0s"
                idle_timeout = "5 parsecs"
                [api]
                enabled = "yes"
                host = ""
                """,
                tls='[tls]\ncertificates = [{certificate = "ec.crt"}, 5]\nca = []',
            ),
            [
                "vtn_id: 5 is not a text",
                "listen.port: 65536 is not a port (0 to 65535)",
                "listen.path_prefix: 'north/' is not a path prefix"
                ' (such as "/north": a slash before, none at the end)',
                'listen."a key": unknown key (known here: host, port, path_prefix, proxies)',
                "listen.prot: unknown key (did you mean port?)",
                "tls.certificates[0].key: is missing",
                "tls.certificates[1]: 5 is not a table",
                "database.synchronous: 'full' is none of FULL, NORMAL (did you mean FULL?)",
                "registration.policy: 'aprove' is none of closed, approve, handler, open (did you mean approve?)",
                "registration.poll_frequency: -1 is not a duration"
                ' (seconds, or a text such as "10s", "5m", "1h", "1d")',
                "registration.offline_after: True is not a whole number above zero",
                "vens[0].ven_id: is missing",
                "vens[0].fingerprints[0]: 'xyz' is not a certificate fingerprint (10 or 32 bytes in hex)",
                "vens[1].fingerprints: holds 0 entries instead of 1 to 2",
                "reports: is one table, not a list of tables: write its heading in [[double brackets]]",
                "handlers.EiOpt: 'a.b.C' does not name a class (such as \"package.module:Class\")",
                "handlers.eievent: unknown key (did you mean EiEvent?)",
                "limits.idle_timeout: '5 parsecs' is not a duration"
                ' (seconds, or a text such as "10s", "5m", "1h", "1d")',
                "limits.handshake_timeout: '0s' is not above zero",
                "limits.roster: 0 is not a whole number above zero",
                "limits.body: 5 is not a table",
                "api.enabled: 'yes' is neither true nor false",
                "api.host: is empty",
                "tls.ca: is missing: the files of the authorities of the VENs",
            ],
        )

    def test_a_trusted_proxy_is_on_this_machine(self) -> None:
        for written, found in (
            ("unix:/run/vtn.sock", Path("/run/vtn.sock")),
            ("127.0.0.1:8081", ("127.0.0.1", 8081)),
            ("[::1]:0", ("::1", 0)),
        ):
            config = parse(f'{TLS_FILES}[trusted_proxy]\naddress = "{written}"', BASE)
            self.assertEqual(found, config.trusted_proxy.address)
        for written in (
            "0.0.0.0:8081",
            "192.0.2.7:8081",
            ":8081",
            "localhost:8081",
            "127.0.0.1",
            "127.0.0.1:65536",
            "unix:",
        ):
            [mistake] = mistakes_of(f'[trusted_proxy]\naddress = "{written}"')
            self.assertTrue(mistake.startswith(f"trusted_proxy.address: {written!r} is not a place of this machine"))
        [mistake] = mistakes_of('[trusted_proxy]\nheader = "X Y"')
        self.assertEqual("trusted_proxy.header: 'X Y' is not the name of a header", mistake)

    def test_proxies_are_addresses_and_networks(self) -> None:
        config = parse(f'{TLS_FILES}[listen]\nproxies = ["192.0.2.7", "2001:db8::/32"]', BASE)
        self.assertEqual(["192.0.2.7/32", "2001:db8::/32"], list(map(str, config.listen.proxies)))
        self.assertEqual(config.listen, attrs.evolve(config.listen))
        for written in ("10.0.0.1/8", "proxy.example.org", ""):
            [mistake] = mistakes_of(f'[listen]\nproxies = ["{written}"]')
            self.assertTrue(mistake.startswith(f"listen.proxies[0]: {written!r} is not an address or a network"))

    def test_the_error_shows_a_line_for_each(self) -> None:
        error = self.assertRaises(ConfigError, parse, "vtn_id = ''", BASE)
        self.assertEqual(
            str(error),
            "vtn_id: is empty\n"
            "tls.certificates: is missing: the files of this server's certificates\n"
            "tls.ca: is missing: the files of the authorities of the VENs",
        )

    def test_a_number_of_thousands_of_digits_is_told_too(self) -> None:
        error = self.assertRaises(ConfigError, parse, f"vtn_id = {'9' * 5000}", Path("/"))
        self.assertIn("5000 digits", error.mistakes[0])

    def test_toml_that_cannot_be_parsed_is_told_with_line_and_column(self) -> None:
        for text, place in (
            ("a = 1\nb = = 2", "line 2, column 5: "),
            ('\nvtn_id = """north\n', "line 3, column 1: "),
        ):
            [mistake] = mistakes_of(text, tls="")
            self.assertTrue(mistake.startswith(place) and len(mistake) > len(place), mistake)

    def test_what_vens_are_told_is_in_whole_seconds(self) -> None:
        self.assertEqual(
            mistakes_of(
                """
                [registration]
                poll_frequency = "1.5s"
                [[vens]]
                ven_id = "ven-1"
                fingerprints = ["01010101010101010101"]
                poll_frequency = 0
                leniency = "barre"
                signatures = "on"
                signing_fingerprint = "01010101010101010101"
                [[reports]]
                report_name = "TELEMETRY_USAGE"
                granularity = 0.1
                report_back_duration = "1.5m"
                """
            ),
            [
                "registration.poll_frequency: '1.5s' is not a whole number of seconds",
                "vens[0].poll_frequency: 0 is not above zero",
                "vens[0].leniency: 'barre' is none of strict, standard, bare, enveloped, neighbours, lenient"
                " (did you mean bare?)",
                "vens[0].signatures: 'on' is none of off, accept, require",
                "vens[0].signing_fingerprint: '01010101010101010101' is not a whole fingerprint"
                " (32 bytes in hex, as `oadrvtn certs fingerprint --full`)",
                "reports[0].granularity: 0.1 is not a whole number of seconds",
            ],
        )

    def test_a_duration_that_no_clock_counts_is_refused(self) -> None:
        for duration in ("1e300", "inf", "nan", "1" + "0" * 400, '"1000000d"'):
            [mistake] = mistakes_of(f"[limits]\nidle_timeout = {duration}")
            self.assertTrue(mistake.startswith("limits.idle_timeout: "), mistake)

    def test_two_vens_are_never_the_same(self) -> None:
        self.assertEqual(
            mistakes_of(ven("a", SHORT) + ven("b", "x") + ven("b", "y") + ven("c", WHOLE.lower())),
            [
                "vens[1].fingerprints[0]: 'x' is not a certificate fingerprint (10 or 32 bytes in hex)",
                "vens[2].fingerprints[0]: 'y' is not a certificate fingerprint (10 or 32 bytes in hex)",
                "vens[2].ven_id: the same as vens[1].ven_id",
                "vens[3].fingerprints[0]: the same as vens[0].fingerprints[0]",
            ],
        )

    def test_ven_ids_that_differ_in_case_are_two(self) -> None:
        self.assertEqual(mistakes_of(ven("a", SHORT) + ven("A", "00" * 10)), [])

    def test_a_ven_has_at_most_two_fingerprints(self) -> None:
        self.assertEqual(
            mistakes_of(ven("a", "01" * 10, "02" * 10, "03" * 10)),
            ["vens[0].fingerprints: holds 3 entries instead of 1 to 2"],
        )

    def test_a_report_is_named_in_the_words_of_the_schema(self) -> None:
        self.assertEqual(
            [
                mistake.partition(" is ")[0]
                for mistake in mistakes_of(
                    """
                    [[reports]]
                    report_name = "METADATA_TELEMETRY_USAGE"
                    reading_type = "DirectRead"
                    report_type = "consumption"
                    item_base = "kW"
                    """
                )
            ],
            [
                "reports[0].report_name: 'METADATA_TELEMETRY_USAGE'",
                "reports[0].reading_type: 'DirectRead'",
                "reports[0].report_type: 'consumption'",
                "reports[0].item_base: 'kW'",
            ],
        )

    def test_reports_do_not_come_more_often_than_readings(self) -> None:
        often = 'report_name = "TELEMETRY_USAGE"\ngranularity = "10m"\nreport_back_duration = '
        self.assertEqual(
            mistakes_of(f'[[reports]]\n{often}"5m"'),
            ["reports[0]: report_back_duration: 300 s is less than the granularity of 600 s"],
        )
        for fitting in ("10m", "0s"):
            self.assertEqual(mistakes_of(f'[[reports]]\n{often}"{fitting}"'), [])

    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.datetimes(),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
            max_leaves=5,
        ),
        st.sampled_from([(), *((f.name,) for f in attrs.fields(Config)), ("vens", 0), ("vens", 0, "fingerprints")]),
    )
    def test_whatever_stands_somewhere_is_taken_or_refused_with_a_place(
        self, value: Any, place: tuple[Any, ...]
    ) -> None:
        document: Any = value
        for step in reversed(place):
            document = [document] if step == 0 else {step: document}
        document = document if isinstance(document, dict) else {"vtn_id": document}
        # TOML has no null, and the document is what tomllib would have made of a text.
        self.patch(config.tomllib, "loads", lambda text: document)
        for mistake in mistakes_of("", tls=""):
            self.assertRegex(mistake, r"(?s)\A\S.*: .")


class ApiTests(SynchronousTestCase):
    """The API is plain HTTP on loopback alone."""

    PAIR = 'certificate = "api.crt"\nkey = "api.key"'

    def api(self, lines: str) -> list[str]:
        return mistakes_of(f"[api]\n{lines}\n")

    def test_it_listens_elsewhere_only_with_a_certificate_and_the_mistake_names_the_settings(self) -> None:
        for host in ("0.0.0.0", "::", "192.0.2.1", "2001:db8::1", "vtn.example.org", "127.0.0.1.example.org"):
            (mistake,) = self.api(f'host = "{host}"')
            for part in ("api: host:", host, "api.certificate", "api.key"):
                self.assertIn(part, mistake)
            self.assertEqual([], self.api(f'host = "{host}"\n{self.PAIR}'))
            self.assertEqual([], self.api(f'host = "{host}"\nenabled = false'))

    def test_loopback_wants_none(self) -> None:
        for host in ("127.0.0.1", "127.8.9.10", "::1", "localhost"):
            self.assertEqual([], self.api(f'host = "{host}"'))

    def test_a_certificate_without_its_key_is_a_mistake_and_so_is_the_other_way_round(self) -> None:
        self.assertEqual(["api: key is missing: they go together"], self.api('certificate = "api.crt"'))
        self.assertEqual(["api: certificate is missing: they go together"], self.api('key = "api.key"'))

    def test_its_files_are_relative_to_the_configuration(self) -> None:
        api = parse(f"[api]\n{self.PAIR}\n{TLS_FILES}", BASE).api
        self.assertEqual((BASE / "api.crt", BASE / "api.key"), (api.certificate, api.key))


class RevocationTests(SynchronousTestCase):
    def test_crl_files_are_relative_to_the_file(self) -> None:
        found = parse(TLS_FILES + "\n[revocation]\ncrl = ['ca.crl', '/etc/other.crl']\n", BASE).revocation
        self.assertEqual((BASE / "ca.crl", Path("/etc/other.crl")), found.crl)

    def test_who_is_to_be_asked_has_to_be_said(self) -> None:
        for level in ("soft", "hard"):
            (mistake,) = mistakes_of(f"revocation.ocsp = '{level}'")
            self.assertEqual("revocation: whom is ocsp to ask?  Set ocsp_responder or ocsp_from_certificate", mistake)
            for key in ("ocsp_responder = 'http://ocsp.example/'", "ocsp_from_certificate = true"):
                parse(f"{TLS_FILES}\n[revocation]\nocsp = '{level}'\n{key}\n", BASE)

    def test_responders_are_asked_over_http(self) -> None:
        for url in ("https://ocsp.example/", "ocsp.example", "file:///x", "http://", "http://u:p@x/", "http://x/ y"):
            (mistake,) = mistakes_of(f"revocation.ocsp_responder = '{url}'")
            self.assertIn("is no URL", mistake)
        for url in ("http://ocsp.example/", "http://10.0.0.1:8080", "http://[::1]:80/ocsp?x=1"):
            parse(f"{TLS_FILES}\n[revocation]\nocsp_responder = '{url}'\n", BASE)


class OfferTests(SynchronousTestCase):
    """The reports that a VTN offers, and their units."""

    def offer(self, point: str, offer: str = "", more: str = "") -> str:
        return f"[[offers]]\nreport_specifier_id = 'a'\n{offer}\n[[offers.data_points]]\nr_id = 'x'\n{point}\n{more}"

    def unit(self, written: str) -> Any:
        return (
            parse(TLS_FILES + self.offer(f"value = 1\nitem_base = {written}"), BASE).offers[0].data_points[0].item_base
        )

    def test_everything_arrives(self) -> None:
        [offer] = parse(
            TLS_FILES + self.offer("min_period = '1m'\nmax_period = 120\non_change = true\nvalue = 2",
                                   "report_name = 'HISTORY_USAGE'\nduration = '2h'\nsource = 'utility.dr:readings'"),
            BASE,
        ).offers  # fmt: skip
        self.assertEqual(("a", "HISTORY_USAGE", 7200.0, "utility.dr:readings"), (
            offer.report_specifier_id, offer.report_name, offer.duration, offer.source))  # fmt: skip
        [point] = offer.data_points
        self.assertEqual(("x", "reading", "Direct Read", None, 60.0, 120.0, True, 2.0), (
            point.r_id, point.report_type, point.reading_type, point.item_base, point.min_period, point.max_period,
            point.on_change, point.value))  # fmt: skip

    def test_a_unit_is_a_name_or_a_table_with_what_belongs_to_it(self) -> None:
        self.assertEqual(self.unit("'voltage'"), Voltage(si_scale_code="none"))
        self.assertEqual(
            self.unit("{ name = 'temperature', item_units = 'celsius' }"),
            Temperature(item_units="celsius", si_scale_code="none"),
        )
        grid = PowerAttributes(hertz=Decimal("50"), voltage=Decimal("230.5"), ac=True)
        found = self.unit(
            "{ name = 'powerReal', si_scale_code = 'k', power_attributes = { hertz = 50, voltage = 230.5, ac = true } }"
        )
        self.assertEqual(found, PowerReal(item_units="W", si_scale_code="k", power_attributes=grid))

    def test_mistakes_have_their_place(self) -> None:
        point = "offers[0].data_points[0]"
        for text, place, words in (
            (self.offer("item_base = 'PowerReall'\nvalue = 1"), f"{point}.item_base", "did you mean"),
            (self.offer("item_base = 7\nvalue = 1"), f"{point}.item_base", "is none of"),
            (self.offer("item_base = 'powerReal'\nvalue = 1"), f"{point}.item_base", "power_attributes is missing"),
            (self.offer("item_base = { name = 'voltage', unit = 'V' }\nvalue = 1"), f"{point}.item_base", "unknown"),
            (self.offer("item_base = { name = 'voltage', si_scale_code = 'x' }\nvalue = 1"),
             f"{point}.item_base", "si_scale_code: 'x' is not one of"),
            (self.offer("item_base = { name = 'powerReal', power_attributes = { hertz = true } }\nvalue = 1"),
             f"{point}.item_base", "power_attributes: hertz: True is not a number"),
            (self.offer("value = nan"), f"{point}.value", "is not a number"),
            (self.offer("value = true"), f"{point}.value", "is not a number"),
            (self.offer("value = 1\nmin_period = '2d'"), point, "max_period is shorter"),
            (self.offer("value = 1\nmin_period = 0.5"), f"{point}.min_period", "whole number of seconds"),
            (self.offer(""), "offers[0]", "where is the value of 'x' to come from?"),
            (self.offer("value = 1", "source = 'utility'"), "offers[0].source", "does not name a function"),
            (self.offer("value = 1", "report_name = 'METADATA_HISTORY_USAGE'"), "offers[0].report_name", "offer of a"),
            (self.offer("value = 1", "", "[[offers.data_points]]\nr_id = 'x'\nvalue = 2"), "offers[0]", "same r_id"),
            (self.offer("value = 1") + self.offer("value = 1"), "offers[1].report_specifier_id", "the same as"),
            ("[[offers]]\nreport_specifier_id = 'METADATA'", "offers[0].report_specifier_id", "asked for by"),
            ("[[offers]]\nreport_specifier_id = 'a'", "offers[0]", "offers nothing"),
        ):  # fmt: skip
            [mistake] = mistakes_of(text + "\n")
            self.assertTrue(mistake.startswith(f"{place}: "), mistake)
            self.assertIn(words, mistake)


class ProgramTests(SynchronousTestCase):
    def test_a_program_needs_to_say_nothing(self) -> None:
        self.assertEqual(Config().tls.certificates, ())
        self.assertEqual(Config().database_path, Path("state/vtn.sqlite"))

    def test_what_a_program_gives_goes_through_the_same_readers(self) -> None:
        known = KnownVen(ven_id="a", fingerprints=(SHORT.replace(":", "").lower(),))
        self.assertEqual(Config(vens=(known,)).vens[0].fingerprints, (SHORT,))
        self.assertRaises(ValueError, Listen, port=65536)

    def test_it_cannot_be_changed_but_evolved(self) -> None:
        start = Config()
        self.assertRaises(attrs.exceptions.FrozenInstanceError, setattr, start, "vtn_id", "x")
        changed = attrs.evolve(start, api=Api(enabled=False))
        self.assertEqual((start.api.enabled, changed.api.enabled), (True, False))
        self.assertEqual(attrs.evolve(changed, api=Api()), start)


class ExampleTests(SynchronousTestCase):
    """What ``oadrvtn init`` writes."""

    def test_it_reads_as_the_defaults(self) -> None:
        found = parse(example(), BASE)
        self.assertEqual(attrs.evolve(found, tls=TLS()), Config(state_directory=BASE / "state"))
        self.assertEqual(
            found.tls,
            TLS(
                certificates=tuple(
                    CertificateFiles(certificate=BASE / f"certs/vtn-{k}.crt", key=BASE / f"certs/vtn-{k}.key")
                    for k in ("ec", "rsa")
                ),
                ca=(BASE / "certs/ca.crt",),
            ),
        )

    def test_what_it_leaves_unset_is_valid_too(self) -> None:
        found = parse(uncommented(), BASE)
        self.assertEqual(found.registration.policy, "closed")
        self.assertEqual([v.ven_id for v in found.vens], ["ven-1"])
        self.assertEqual([r.report_name for r in found.reports], ["TELEMETRY_USAGE"])
        self.assertNotIn(None, attrs.astuple(found.handlers))

    def test_it_names_every_key_of_the_schema_and_no_other(self) -> None:
        self.assertEqual(sorted(keys_of_document(tomllib.loads(uncommented()))), sorted(set(keys_of_schema(Config))))

    def test_it_explains_every_key_and_fits_a_terminal(self) -> None:
        lines = example().splitlines()
        for before, line in pairwise(lines):
            self.assertLessEqual(len(line), 100)
            if re.match(r"#?(\w+ = |\[)", line):
                self.assertRegex(before, r"^# .+\.$")


def uncommented() -> str:
    return re.sub("(?m)^#(?! )", "", example())


def keys_of_schema(cls: type, place: str = "") -> Iterator[str]:
    for field in attrs.fields(cls):
        yield place + field.name
        named = re.search(r"[A-Z]\w+", str(field.type))
        if named and attrs.has(inner := getattr(config, named[0], str)):
            yield from keys_of_schema(inner, f"{place}{field.name}.")


def keys_of_document(document: Any, place: str = "") -> set[str]:
    if isinstance(document, list):
        return set().union(*(keys_of_document(item, place) for item in document))
    if not isinstance(document, dict):
        return set()
    return {place + name for name in document}.union(
        *(keys_of_document(inner, f"{place}{name}.") for name, inner in document.items())
    )
