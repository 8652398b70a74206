"""What is counted of many exchanges."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from oadrvtn.ven.figures import Course, Figures


class FiguresTests(SynchronousTestCase):
    @given(st.lists(st.floats(1e-5, 1e3), min_size=1, max_size=50), st.sampled_from((0.5, 0.99)))
    def test_a_quantile_is_that_of_the_times_to_two_parts_in_a_hundred(self, times: list[float], share: float) -> None:
        figures = Figures()
        for seconds in times:
            figures.note("oadrPoll", seconds)
        found = figures.quantile(share)
        exact = sorted(times)[max(0, -int(-share * len(times) // 1) - 1)]
        assert found is not None
        self.assertTrue(exact * 0.98 <= found <= exact * 1.02, (found, exact))

    def test_many_take_no_more_room_than_few(self) -> None:
        figures = Figures()
        for number in range(100_000):
            figures.note("oadrPoll", 0.001 + number % 1000 / 1000)
        self.assertLess(len(figures.times["oadrPoll"]), 500)
        self.assertEqual(100_000, figures.answered)

    def test_what_went_wrong_is_counted_by_kind_and_has_no_time(self) -> None:
        figures = Figures()
        figures.note("oadrPoll", 0.1)
        figures.note("oadrPoll", 9.0, "HTTP 503")
        figures.note("oadrCreateOpt", 9.0, "HTTP 503")
        summary = figures.summary(10.0)
        self.assertEqual((1, 2, 0.1), (summary["messages"], summary["errors"], summary["rate"]))
        poll, opt = summary["kinds"]
        self.assertEqual(("oadrPoll", 1, {"HTTP 503": 1}), (poll["message"], poll["count"], poll["errors"]))
        self.assertLess(poll["p99_ms"], 103)
        self.assertEqual(("oadrCreateOpt", 0, None), (opt["message"], opt["count"], opt["p99_ms"]))

    def test_parts_add_up_however_they_travel(self) -> None:
        whole, parts = Figures(), [Figures(), Figures()]
        for number in range(100):
            for one in (whole, parts[number % 2]):
                one.note("oadrPoll", number / 100, "HTTP 503" if number % 7 == 0 else None)
        total = Figures()
        for part in parts:
            total.add(Figures.of(json.loads(json.dumps(part.as_json()))))
        self.assertEqual(whole.summary(1.0), total.summary(1.0))


class CourseTests(SynchronousTestCase):
    def test_each_second_has_a_row(self) -> None:
        course = Course()
        for elapsed, seconds in ((0.2, 0.1), (0.9, 0.1), (2.5, 0.3)):
            one = Figures()
            one.note("oadrPoll", seconds)
            course.add(elapsed, one)
        course.close()
        self.assertEqual([(0, 2), (2, 1)], [(row["second"], row["messages"]) for row in course.rows])
        self.assertGreater(course.rows[1]["p50_ms"], course.rows[0]["p99_ms"])
        self.assertEqual(3, course.total.answered)
