"""The table of what OpenADR 2.0b asks of a VTN, the decorator that ties tests to its rows, and the page of both.

A rule that binds the VEN is tested by what the VTN does towards a VEN that breaks it.  Rule numbers are those
of the profile specification; ``6.2`` and its like are numbers of this table, by subject.
"""

from __future__ import annotations

import importlib
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs

F = TypeVar("F", bound=Callable[..., Any])

PAGE = Path(__file__).parents[2] / "docs" / "conformance.rst"
TESTS = ("test_codes", "test_rules", "test_events", "test_reports", "test_parties", "test_signatures", "test_scenarios")
"""The modules of this folder that hold the tests of rows."""


@attrs.frozen
class Row:
    """One rule; ``state`` is "tested", "later" or "untestable", and ``why`` says why where it is not tested."""

    id: str
    meaning: str
    binds: str = "VTN"
    state: str = "tested"
    why: str = ""


def _later(id: str, meaning: str, why: str, binds: str = "VTN") -> Row:
    return Row(id, meaning, binds, "later", why)


def _untestable(id: str, meaning: str, why: str, binds: str = "VEN") -> Row:
    return Row(id, meaning, binds, "untestable", why)


_INSIDE = "what a VEN does inside is not seen by a VTN"

MATRIX: dict[str, tuple[Row, ...]] = {
    "Response codes": (
        Row("code-200", "all went well", "both"),
        Row("code-450", "out of sequence: an answer to another modificationNumber than the present one", "both"),
        Row("code-451", "valid, but not allowed to this party or at this time", "both"),
        Row("code-452", "an ID that was never issued, or is another VEN's", "both"),
        Row("code-453", "well-formed XML that is no message of the schema", "both"),
        Row("code-454", "a message of the schema with a value that is not valid", "both"),
        Row("code-459", "a broken rule without a closer code, such as a message on the wrong service", "both"),
        Row("code-460", "a VEN does not support the signal: kept with its answer", "VEN"),
        Row("code-461", "a report that is known and cannot be given", "both"),
        Row("code-462", "a target that is not the sender's", "both"),
        Row("code-463", "not registered, or not this certificate's", "both"),
        Row("code-469", "something that is not offered here, such as a profile or a transport", "both"),
        Row("code-500", "a fault of the responder", "both"),
        Row("code-http", "an application error comes with HTTP 200"),
        Row("code-carrier", "a code stands in the message that normally answers the request"),
        Row("code-kept", "the codes that VENs send are kept, not dropped"),
    ),
    "Rules of EiEvent": (
        Row("rule-1", "all times are in UTC", "both"),
        Row("rule-2", "the intervals of every signal have a uid that counts from 0"),
        Row("rule-4", "a new event is at modificationNumber 0"),
        Row("rule-5", "each change but of status, currentValue and createdDateTime adds one; so does a cancellation"),
        Row("rule-6", "testEvent with another text than false is a test event"),
        _later("rule-7", "towards 2.0a VENs an event has exactly one signal, called simple", "2.0a is not served"),
        Row("rule-8", "the intervals of each signal add up to the active period"),
        Row("rule-9", "SIMPLE is 0, 1, 2 or 3"),
        Row("rule-12", "to an event with response always an oadrCreatedEvent is due", "VEN"),
        Row("rule-13", "eventStatus is right for the moment at which the event is sent"),
        Row("rule-14", "currentValue is 0 while a SIMPLE event is not active"),
        Row("rule-15", "the order of events in oadrDistributeEvent"),
        Row("rule-16", "optIn and optOut are both taken"),
        Row("rule-17", "an optOut is taken that comes later, of itself"),
        Row("rule-19", "good and bad events are answered each for itself", "VEN"),
        Row("rule-21", "received venIDs, vtnIDs and eventIDs are checked", "both"),
        Row("rule-22", "a VEN acts on what is targeted at it: it is sent nothing else", "VEN"),
        Row("rule-25", "eventResponses may only be missing where eiResponse refuses the whole", "VEN"),
        Row("rule-30", "startafter moves start and end: the event is not over before the last VEN ends", "VEN"),
        Row("rule-35", "an oadrCreatedEvent without eventResponses and without a refusal answers nothing", "VEN"),
        Row("rule-36", "a cancellation is acknowledged; whatever the opt says, it is taken", "VEN"),
        Row("rule-37", "pull is served: whatever the VTN wants to say comes by oadrPoll", "both"),
        Row("rule-41", "a requestID need not be unique", "both"),
        Row("rule-42", "an eventResponse carries the oadrDistributeEvent's requestID; others are taken as well", "VEN"),
        Row("rule-47", "a duration of 0 is open-ended: active until it is cancelled", "both"),
        Row("rule-48", "what does not validate is logged and answered with an application error", "both"),
        Row("rule-53", "Host, Content-Length and Content-Type are the headers that an exchange needs", "both"),
        Row("rule-58", "a VEN answers an older modificationNumber by 450: kept, and not taken as an opt", "VEN"),
        Row("rule-59", "an event is cancelled explicitly"),
        Row("rule-61", "an event that is missing is cancelled implicitly, so all that apply are always sent"),
        Row("rule-62", "to an event with response never nothing is answered: it is done when it was delivered", "VEN"),
        Row("rule-65", "the end of a cancelled event is random too: it keeps its startafter", "VEN"),
        Row("rule-105", "x-eiNotification is in each active period"),
        Row("rule-116", "SIMPLE is a level"),
        Row("rule-all-events", "a distribute has all events that apply to the VEN, asked for or not"),
    ),
    "Rules of EiOpt, EiReport, EiRegisterParty and of all": (
        Row("rule-206", "an opt by oadrCreateOpt outranks later oadrCreatedEvents for that event"),
        Row("rule-301", "each side offers its reports after the registration", "both"),
        Row("rule-304", "an update for a report that was not requested is refused (452)", "both"),
        Row("rule-305", "units of TELEMETRY_USAGE: each unit of the schema is taken and kept", "VEN"),
        Row("rule-306", "METADATA is requested by the reportSpecifierID METADATA", "both"),
        Row("rule-311", "METADATA carries the reportRequestID 0 or that of its request; others are taken", "both"),
        Row("rule-314", "an interval without dtstart begins with its report or after the one before", "both"),
        Row("rule-324", "a reportBackDuration of 0 asks for one report", "both"),
        Row("rule-327", "a METADATA request is answered by another oadrRegisterReport", "both"),
        Row("rule-329", "oadrPendingReports lists all that is still to be delivered", "both"),
        Row("rule-331", "an interval of TELEMETRY_STATUS carries the status, which is kept as such", "VEN"),
        Row("rule-342", "point and interval data may be mixed within one report", "both"),
        Row("rule-metadata-duration", "METADATA tells the depth of history; who leaves it out is served", "both"),
        Row("rule-404", "a first registration has no registrationID; one that a VEN makes up does no harm", "VEN"),
        Row("rule-510", "a VEN offers METADATA, status and usage, and opts on events: all are served", "VEN"),
        Row("rule-511", "services are found at .../OpenADR2/Simple/2.0b/SERVICE", "both"),
        Row("rule-514", "the composition of an XML signature", "both"),
    ),
    "Events": (
        Row("6.1", "the order of the elements of an event, as the schema has it"),
        Row("6.2-near", "far, near within the ramp-up, active, completed"),
        Row("6.2-no-near", "without a ramp-up there is no near"),
        Row("6.2-sign", "a ramp-up counts before the start with or without a sign"),
        Row("6.3", "a status that the clock changes adds nothing to modificationNumber, and is dated anew"),
        Row("6.4", "a change by the clock is not told unasked; the next distribute has it right"),
        Row("6.5", "startafter is sent with the nominal start"),
        Row("6.6", "a notification is sent with each event, if need be of no length"),
        Row("6.7", "priority 1 is the highest, 0 the lowest"),
        Row("6.8", "active first by priority and start, then the others by start, the completed last"),
        Row("6.9", "replyLimit takes from the front of the order"),
        Row("6.9-kept", "what a replyLimit cut off comes by the next poll all the same"),
        Row("6.10", "a cancelled event is sent until it is acknowledged"),
        Row("6.10-overlap", "two events of one market context do not overlap for one VEN"),
        Row("6.10-contexts", "events of two market contexts may overlap"),
        Row("6.11-always", "an unanswered event is sent again"),
        Row("6.11-never", "an event with response never is sent, and is done without an answer"),
        Row("6.12", "a wrong eventID is 452, a wrong modificationNumber 450, and the good ones count"),
        Row("6.12-refused", "a responseCode other than 200 is no participation"),
        Row("6.13", "the opt of a resource never becomes the VEN's"),
        Row("6.14", "an event may be targeted by each of the kinds, any of which will do"),
        Row("6.14-privacy", "a VEN sees only the targets that concern it"),
        Row("6.14-device-class", "a signal is targeted by device classes only"),
        Row("6.14-everybody", "an empty target is everybody"),
        Row("6.15", "several signals in one event, each of the same length"),
        Row("6.15-convention", "signal, type and unit that do not belong together are refused, unless they are forced"),
        Row("6.15-enumeration", "signal names and types are those of the schema, names also x-..."),
        Row("6.16", "currentValue is that of the interval that runs, and changes without a new modificationNumber"),
        Row("6.17", "a baseline"),
        Row("6.18", "an open-ended event does not end by the clock"),
        Row("6.19", "testEvent, vtnComment, and a marketContext that is a URI"),
        Row("6.20", "the units of the schema"),
    ),
    "Reports": (
        Row("7.1", "the first poll after a registration brings the VTN's oadrRegisterReport"),
        Row("7.1-embedded", "oadrRegisteredReport may carry requests, which oadrCreatedReport acknowledges", "both"),
        Row("7.2", "a new oadrRegisterReport takes the place of what was offered before", "both"),
        Row("7.3-several", "one oadrCreateReport carries several requests", "both"),
        Row("7.3-periodic", "a periodic request: start, length, granularity, reportBackDuration", "both"),
        Row("7.3-endless", "a periodic request of duration 0 has no end", "both"),
        Row("7.3-history", "history of a window, or all of it", "both"),
        Row("7.3-change", "granularity 0 of TELEMETRY_STATUS is on change", "both"),
        Row("7.3-metadata", "METADATA may be asked for periodically", "both"),
        Row("7.3-past", "a request whose window is past is not served", "producer"),
        Row("7.4", "a refused request keeps the code", "requester"),
        Row("7.4-reconciled", "a request that a VEN no longer lists as pending is over", "requester"),
        Row("7.5", "an update names its request; a foreign one is 452"),
        Row("7.5-twice", "a reading that comes again takes the place of the one before"),
        Row("7.5-early", "an update may come before oadrCreatedReport"),
        Row("7.6", "a report is cancelled, and what the VEN lists no more is over", "both"),
        Row("7.6-follow", "reportToFollow asks for a last report", "both"),
        Row("7.6-embedded", "a cancel may stand in oadrUpdatedReport, and oadrCanceledReport answers it", "both"),
        Row("7.7", "data quality: the schema's words, or x-..."),
        Row("7.8", "report and reading types: the schema's words, or x-..."),
        Row("7.9", "a granularity is asked for within the sampling rate", "requester"),
        Row("7.10", "Green Button feeds are taken"),
        Row("7.11", "the VTN's own reports: what is unknown is 452", "producer"),
    ),
    "Opts": (
        Row("8.1-schedule", "a schedule of periods, for one market context or for all"),
        Row("8.1-event", "an opt on one event"),
        Row("8.1-one-of", "an opt has exactly one of event and schedule, else 454"),
        Row("8.1-foreign", "another VEN, a group or a party as the target is refused (462)"),
        Row("8.1-resource", "resources of others are refused (452)"),
        Row("8.1-revised", "the optID used again revises"),
        Row("8.1-echo", "the optID is in the answer, also in that of an error"),
        Row("8.1-cancel", "a cancelled opt is over; an unknown one is 452"),
        Row("8.1-cancel-event", "after the end of an opt on an event what oadrCreatedEvent said counts again"),
        Row("8.1-open", "a period of duration 0 is open-ended"),
        Row("8.1-reasons", "the reasons are those of the schema, or x-..."),
        Row("8.1-events-go-on", "events are sent to VENs that opted out by schedule, too"),
    ),
    "Registration": (
        Row("8.2-query", "a query is answered with all that is offered, and with IDs only to who is registered"),
        Row("8.2-certificate", "the certificate says who a VEN is: another's venID is 463, nobody's is 452"),
        Row("8.2-name", "oadrVenName is a label for people"),
        Row("8.2-assigned", "without a venID the VEN is given one"),
        Row("8.2-preassigned", "a venID that was agreed beforehand is taken"),
        Row("8.2-again", "a registration again keeps its registrationID, with other parameters or the same"),
        Row("8.2-wrong", "a wrong registrationID is 452"),
        Row("8.2-lost", "a VEN that lost its registrationID is registered again by its certificate"),
        Row("8.2-epoch", "a registration drops what was queued; oadrRegisterReport comes first, then the events"),
        Row("8.2-request", "the VTN asks for a new registration"),
        Row("8.2-cancel", "a VEN ends its registration; a wrong registrationID is 452"),
        Row("8.2-cancel-vtn", "the VTN ends a registration"),
        Row("8.2-unregistered", "all but query and create is 463 without a registration"),
        Row("8.2-crossing", "cancellations may cross each other"),
        Row("8.2-no-address", "without oadrHttpPullModel a VEN with no address, or None, pulls"),
        Row("8.2-report-only", "a report-only VEN gets no events"),
        Row("8.2-signature", "oadrXmlSignature has the VTN sign"),
        Row("8.2-profile", "profile 2.0a is refused with the reason (469)"),
        _later("8.2-push", "a VEN with an address is pushed to", "push is refused (469) until it is there"),
        _later("8.2-xmpp", "a VEN over XMPP", "XMPP is refused (469) until it is there"),
        Row("8.2-frequency", "the poll frequency is in each good answer, and in no error"),
    ),
    "Scenarios: registration": (
        Row("10-query-create", "query, then create"),
        Row("10-create-without-ids", "create without IDs, then the oadrRegisterReport of both sides"),
        Row("10-create-preconfigured", "create with a venID that was agreed beforehand"),
        Row("10-reregister", "register again without changes, and with"),
        Row("10-cancel-by-ven", "the VEN cancels its registration"),
        Row("10-cancel-by-vtn", "the operator cancels a registration"),
        Row("10-reregister-by-vtn", "the operator has a VEN register again"),
        Row("10-cancel-wrong", "cancel with a wrong registrationID"),
        Row("10-unregistered", "any service without a registration"),
        _later("10-push", "all scenarios of a VEN that is pushed to", "push is not there yet"),
    ),
    "Scenarios: events": (
        Row("10-event-none", "no event: an empty oadrDistributeEvent, and no answer to it"),
        Row("10-event-lengthened", "a pending event for two resources, opted in, then lengthened"),
        Row("10-event-setpoint", "LOAD_DISPATCH setpoint, powerReal, 40 in a minute for five"),
        Row("10-event-prices-baseline", "two prices of an hour each, and a baseline of the day before"),
        Row("10-event-several", "several events at once, of SIMPLE and of ELECTRICITY_PRICE"),
        Row("10-event-active", "an event that is active now"),
        Row("10-event-intervals", "three intervals with ramp-up, recovery and startafter of a minute"),
        Row("10-event-targets", "values of eiTarget are sent"),
        Row("10-event-in-and-out", "two events, one opted in to and one out of"),
        Row("10-event-late-opt-out", "an opt-out later, of itself"),
        Row("10-event-never", "response never, also for a modification"),
        Row("10-event-moved", "a start that is moved by a minute"),
        Row("10-event-active-lengthened", "an active event that is lengthened, with its last interval"),
        Row("10-event-cancel-pending", "a pending event is cancelled, answered in or out"),
        Row("10-event-cancel-active", "an active event is cancelled, and one with response never"),
        Row("10-event-order", "order and priorities over two market contexts"),
        Row("10-event-far-near-active", "far, near and active of an event with a ramp-up"),
        Row("10-event-overlap", "two events of one market context that overlap are refused"),
        Row("10-event-reply-limit", "three pending events and a replyLimit"),
        Row("10-event-added", "a second event is added later"),
        Row("10-event-wrong-ids", "a wrong eventID, modificationNumber and venID in an answer"),
        Row("10-event-ven-id-case", "a venID in another case is refused"),
    ),
    "Scenarios: opts": (
        Row("10-opt-schedule", "a schedule of several periods, one of them open-ended, and its end"),
        Row("10-opt-revised", "the same optID again with another schedule"),
        Row("10-opt-event", "an opt on an event"),
        Row("10-opt-resource", "an opt for one resource"),
        Row("10-opt-unknown", "an optID that is not known"),
    ),
    "Scenarios: reports of the VEN": (
        Row("10-report-status-once", "TELEMETRY_STATUS once"),
        Row("10-report-status-periodic", "TELEMETRY_STATUS periodically, from now on and from a moment to come"),
        Row("10-report-cancel", "a periodic report is cancelled"),
        Row("10-report-cancel-follow", "a periodic report is cancelled, with a last one to follow"),
        Row("10-report-metadata", "METADATA once and periodically"),
        Row("10-report-history", "HISTORY in full and for a window"),
        Row("10-report-usage", "TELEMETRY_USAGE once and periodically"),
        Row("10-report-on-change", "status on change"),
        Row("10-report-endless", "an endless report, then its cancellation"),
        Row("10-report-two", "two requests in one oadrCreateReport"),
    ),
    "Scenarios: reports of the VTN": (
        Row("10-vtn-report-once", "a report of the VTN, once"),
        Row("10-vtn-report-periodic", "a report of the VTN periodically, and its cancellation"),
        Row("10-vtn-report-metadata", "METADATA of the VTN once and periodically"),
        Row("10-vtn-report-two", "two requests in one oadrCreateReport, and pending reports"),
        Row("10-vtn-report-unknown", "a report that the VTN does not offer"),
    ),
    "Scenarios: security": (
        Row("10-security-chains", "certificates of RSA and of elliptic curves"),
        Row("10-security-no-certificate", "no client certificate"),
        Row("10-security-wrong-certificate", "a client certificate of another authority, or one that is not known"),
        Row("10-security-signature", "an XML signature that is missing, wrong or replayed"),
    ),
    "What no test can show": (
        _untestable("inside-30", "a VEN delays the start by a random time (rule 30)", _INSIDE),
        _untestable("inside-61", "a VEN ends what is missing (rule 61)", _INSIDE),
        _untestable("inside-510", "a VEN keeps at least 100 readings (rule 510)", _INSIDE),
        _untestable("inside-12", "whether an answer came before the next poll (rule 12): connections race", _INSIDE),
    ),
}  # fmt: skip

ROWS = {row.id: row for rows in MATRIX.values() for row in rows}


def proves(*ids: str) -> Callable[[F], F]:
    """Tie a test to the rows that it is for."""

    def tie(test: F) -> F:
        test.rows = ids  # type: ignore[attr-defined]
        return test

    return tie


@attrs.frozen
class Test:
    """A test of this folder, by its name, and the rows that it is for."""

    __test__ = False

    name: str
    rows: tuple[str, ...]


def each_test() -> Iterator[Test]:
    """All tests of this folder that are to be for a row."""
    for module in TESTS:
        names = vars(importlib.import_module(f"{__package__}.{module}"))
        for name, found in names.items():
            if name.startswith("test_"):
                yield Test(f"{module}.{name}", getattr(found, "rows", ()))
            elif isinstance(found, type) and found.__module__ == f"{__package__}.{module}":
                for method, function in vars(found).items():
                    if method.startswith("test_"):
                        yield Test(f"{module}.{name}.{method}", getattr(function, "rows", ()))


def page() -> str:
    """docs/conformance.rst."""
    names = {row: test.name for test in each_test() for row in test.rows}
    counts = ", ".join(
        f"{sum(row.state == state for row in ROWS.values())} {state}" for state in ("tested", "later", "untestable")
    )
    head = f"""\
    Conformance
    ===========

    .. Written by ``python -m tests.conformance``: do not edit.

    What OpenADR 2.0b asks, as far as there is evidence of it, and what holds oadrvtn to it: {len(ROWS)} rules,
    {counts}.  Each test stands in ``tests/conformance/``.
    A rule that binds the VEN is tested by what the VTN does towards a VEN that breaks it.
    """
    parts = [textwrap.dedent(head)]
    for title, rows in MATRIX.items():
        parts.append(
            f"\n{title}\n{'-' * len(title)}\n\n.. list-table::\n   :header-rows: 1\n   :widths: 16 40 8 36\n\n"
        )
        cells = [("Rule", "Meaning", "Binds", "Test, or why there is none")]
        cells += [(f"``{row.id}``", row.meaning, row.binds, _test(row, names)) for row in rows]
        for first, *others in cells:
            parts.append(f"   * - {first}\n" + "".join(f"     - {cell}\n" for cell in others))
    return "".join(parts)


def _test(row: Row, names: dict[str, str]) -> str:
    if row.state != "tested":
        return f"{row.state}: {row.why}"
    module, _, test = names[row.id].rpartition(".")
    return f"{module.partition('.')[0]}: {test.removeprefix('test_').replace('_', ' ')}"
