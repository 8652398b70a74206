"""The measurements that start programs run, with a few VENs: each takes a few seconds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bench.__main__ import main


def run(*options: str) -> str:
    """What ``python -m bench`` prints."""
    done = CliRunner().invoke(main, ["--quiet", *options], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def figures_of(*options: str) -> dict[str, Any]:
    """What a scenario prints as JSON."""
    figures: dict[str, Any] = json.loads(run("--json", *options))
    return figures


def test_what_was_acknowledged_survives_two_kills() -> None:
    figures = figures_of("kills", "--vens", "3", "--kills", "2")
    assert not [name for name in figures if name.startswith(("lost", "offered")) and figures[name]]
    assert all(figures[f"{what}_acknowledged"] > 0 for what in ("reports", "answers", "changes"))


def test_many_vens_stand_beside_few() -> None:
    figures = figures_of("scale", "--vens=40", "--few=4", "--group=10")
    assert [figures[name] for name in ("vens", "few", "group")] == [40, 4, 10]
    assert all(figures[name] > 0 for name in ("start_seconds", "start_mb", "poll_ratio", "event_poll_cpu_ms"))


def test_a_storm_is_over_when_all_are_back() -> None:
    figures = figures_of("storm", "--vens=5", "--processes=1", "--poll=1", "--outage=0.1")
    assert [figures[name] for name in ("vens", "online", "offline")] == [5, 5, 0]
    assert figures["back_seconds"] > 0


def test_a_fleet_polls_reports_and_answers_its_event() -> None:
    figures = figures_of("fleet", "--vens=4", "--processes=1", "--poll=1", "--report=2", "--seconds=6")
    assert [figures[name] for name in ("vens", "errors", "event_for", "event_answered")] == [4, 0, 1, 1]
    assert figures["reports"] > 0 and figures["vtn_cpu_ms_per_message"] > 0
    assert figures["holds"] == (figures["p99_ms"] < 250)


def test_with_too_much_to_do_each_message_is_taken_or_shed_or_told_as_not_sent() -> None:
    figures = figures_of("overload", "--vens=20", "--seconds=1", "--calm=1")
    assert (figures["vens"], figures["readings_lost"]) == (20, 0)
    assert figures["readings_acknowledged"] > 0
    sent = figures["accepted_per_second"] + figures["shed_per_second"]
    assert figures["sent_per_second"] == pytest.approx(sent, abs=0.2)
    assert figures["due_per_second"] == pytest.approx(figures["sent_per_second"] + figures["not_sent"], abs=2)
    assert 2 * figures["borne_per_second"] == pytest.approx(figures["due_per_second"], abs=0.2)


def test_the_silent_and_the_slow_are_there_while_others_are_served() -> None:
    figures = figures_of("hostile", "--connections=5", "--seconds=1.5")
    assert [figures[name] for name in ("silent", "dripping", "cut_off")] == [5, 5, 0]
    assert all(figures[name] > 0 for name in ("bytes_dripped", "quiet_p99_ms", "silent_p99_ms", "slow_p99_ms"))


def test_servers_take_turns_and_each_has_its_figures(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    short = ["--repetitions=1", "--seconds=0.2", "--warm-up=0.2", "--latency=0.2", "--vens=3", f"--results={kept}"]
    run("compare", *short, "report-100-signed", "event")
    for figures in json.loads(kept.read_text()):
        for name in ("ours", "theirs", "floor"):
            assert figures[name]["messages"] > 0
            assert figures[name]["p50_ms"] <= figures[name]["p99_ms"]
            assert len(figures[name]["cpu_ms_each"]) == 1


def test_a_profile_names_our_functions() -> None:
    found = [row["function"] for row in figures_of("profile", "--vens=3", "--seconds=0.2", "report-100")["functions"]]
    assert [one for one in found if "wire/codec.py" in one], found
