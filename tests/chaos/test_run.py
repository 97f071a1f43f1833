"""What is said of runs."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from tests.chaos import page
from tests.chaos import run as runner
from tests.chaos.chaos import Chaos, Size
from tests.chaos.generator import Result
from tests.chaos.metrics import Sample, around_mark, risen
from tests.chaos.presence import Change, told
from tests.chaos.rows import ROWS
from tests.chaos.rows.calls import Called, figures
from tests.chaos.rows.offers import best, shares, too_little
from tests.chaos.rows.row import Row, Setup
from tests.chaos.run import NEVER, broken, merged, numbers_of, run_row

AS_PROMISED: Result = {
    **dict.fromkeys((*NEVER, "gaps", "came", "went", "most_reconnects"), 0),
    "acked": 100,
    "live_p99_ms": 400.0,
    "longest_ms": 500.0,
    "state_silence_p99_ms": 550.0,
    "calm_step_p99_ms": 60.0,
    "by_gateway": [
        {"live_p99_ms": 400.0, "state_silence_p99_ms": 550.0},
        {"live_p99_ms": 300.0, "state_silence_p99_ms": 450.0},
    ],
    "linearizable": True,
}


CALM: Result = {"calm_step_p99_ms": 60.0, "step_p99_ms": 110.0}
"""Of others' steps: as if nothing were wrong."""


def there(live: float, silence: float) -> Result:
    """As promised, but at one of the gateways."""
    other = {"live_p99_ms": live, "state_silence_p99_ms": silence}
    return {**AS_PROMISED, "by_gateway": [AS_PROMISED["by_gateway"][0], other]}


class Played:
    """Has results ready instead of a world; the errors among them are raised."""

    def __init__(self, *results: Result | Exception) -> None:
        self._results = list(results)

    def run(self, _row: Row, _seed: int) -> Result:
        result = self._results.pop(0) if len(self._results) > 1 else self._results[0]
        if isinstance(result, Exception):
            raise result
        return result


SEEN_LATE: Result = {"step_p99_ms": 111.0}


def test_a_row_is_as_promised_or_says_what_is_not() -> None:
    assert broken(ROWS[1], AS_PROMISED) == []
    for wrong in ({key: 1} for key in (*NEVER, "gaps", "came", "went", "most_reconnects")):
        assert broken(ROWS[1], AS_PROMISED | wrong), wrong
    assert broken(ROWS[1], AS_PROMISED | {"longest_ms": 3001.0})
    assert broken(ROWS[1], AS_PROMISED | {"live_p99_ms": 1001.0})
    assert broken(ROWS[1], there(live=400, silence=560)) == []
    assert broken(ROWS[1], there(live=400, silence=561))
    assert broken(ROWS[1], there(live=400, silence=1001) | {"calm_step_p99_ms": 5000.0})
    assert broken(ROWS[1], there(live=1001, silence=50)), "rooms live again when they do for all"
    assert broken(ROWS[1], AS_PROMISED | {"linearizable": False, "history_why": "room_1"})


def test_of_several_seeds_counts_are_added_and_else_the_worst_counts() -> None:
    one = {"acked": 5, "lost": 0, "live_p99_ms": 10.0, "goodput of GetSelf at 3 x": 0.95, "linearizable": True}
    other = {"acked": 6, "lost": 1, "live_p99_ms": 5.0, "goodput of GetSelf at 3 x": 0.97, "linearizable": False}
    worst = {"acked": 11, "lost": 1, "live_p99_ms": 10.0, "goodput of GetSelf at 3 x": 0.95, "linearizable": False}
    assert merged([one, other]) == {"seeds": 2} | worst


def test_a_run_that_could_not_be_ended_is_a_broken_promise_and_the_others_count(
    capsys: pytest.CaptureFixture[str],
) -> None:
    played = cast("Chaos", Played(AS_PROMISED, TimeoutError("the world does not become whole again"), AS_PROMISED))
    result = run_row(played, ROWS[1], range(3))
    assert (result["seeds"], result["acked"]) == (2, 200)
    assert len(result["broken"]) == 1
    assert "seed 1" in result["broken"][0]
    assert "TimeoutError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("first", "second", "left", "again"),
    [
        ({}, {"lost": 1}, 0, False),
        (SEEN_LATE, {}, 0, True),
        (SEEN_LATE, SEEN_LATE, 1, True),
        (SEEN_LATE, {"lost": 1}, 1, True),
        (SEEN_LATE | {"lost": 1}, {}, 2, False),
    ],
)
def test_a_row_is_run_again_where_steps_were_seen_late_and_else_all_was_well(
    first: Result, second: Result, left: int, again: bool
) -> None:
    well = AS_PROMISED | {
        "dropped_state": 1,
        "slow_closed": 1,
        "grown_mb": 1,
        "calm_step_p99_ms": 55.0,
        "step_p99_ms": 60.0,
    }
    played = cast("Chaos", Played(well | first, well | second))
    result = run_row(played, ROWS[9], range(1))
    assert (len(result["broken"]), result.get("first_step_p99_ms")) == (left, 111.0 if again else None), result[
        "broken"
    ]


def test_where_no_run_could_be_ended_nothing_is_claimed(capsys: pytest.CaptureFixture[str]) -> None:
    result = run_row(cast("Chaos", Played(TimeoutError())), ROWS[1], range(1))
    assert capsys.readouterr().err
    assert result == {"seeds": 0, "broken": ["seed 0: TimeoutError()"]}


def test_a_world_that_does_not_start_breaks_its_rows_and_no_others(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    moved: Result = {"told_to_move": 500, "reconnects": 500, "move_spread_ms": 17_000.0}
    moved |= {"flapped": 0, "back_once": 0, "gone_once": 0}

    @contextmanager
    def chaotic(setup: Setup, _: Size) -> Iterator[Played]:
        if setup is ROWS[1].setup:
            raise TimeoutError("the world does not become whole")
        yield Played(AS_PROMISED | moved)

    monkeypatch.setattr(runner, "build", lambda: None)
    monkeypatch.setattr(runner, "chaotic", chaotic)
    results, kept = runner.run([1, 2, 8], Size(), range(1), page=False)
    assert not kept
    assert [(number, r["seeds"], len(r["broken"])) for number, r in results.items()] == [
        (1, 0, 1),
        (2, 0, 1),
        (8, 1, 0),
    ]
    assert "the world does not become whole" in capsys.readouterr().err


@pytest.mark.parametrize(("stayed_away", "wrong"), [({"ben"}, 0), ({"ann"}, 2), ({"ann", "ben"}, 1), (set(), 1)])
def test_those_who_are_gone_must_be_those_who_stayed_away(stayed_away: set[str], wrong: int) -> None:
    changes = [Change(0, user, online=True) for user in ("ann", "ben", "cat")] + [Change(2, "ben", online=False)]
    assert told(changes, 1, stayed_away)["gone_wrong"] == wrong


@pytest.mark.parametrize(("failed_at", "kept"), [((), True), ((1.2, 1.9), True), ((1.2, 2.1), False)])
def test_calls_may_fail_until_a_bad_upstream_is_to_be_ejected(failed_at: tuple[float, ...], kept: bool) -> None:
    calls = [Called(0.9, 0.05, "before"), Called(1.1, 2.0, ""), Called(9.1, 0.1, "after")]
    calls += [Called(at, 0.1, "UNAVAILABLE") for at in failed_at]
    told = figures(calls, marked=1, ended=9)
    assert (told["calls"], told["failed_calls"]) == (1 + len(failed_at), len(failed_at))
    assert (ROWS[123].check(CALM | told) == []) is kept
    slow = figures([*calls, Called(2.5, 1.5, "")], marked=1, ended=9)
    assert ROWS[123].check(CALM | slow)


def offered(
    times: float,
    *,
    offered: float,
    good: float,
    failed: float = 0,
    silent: int = 0,
    after: float = 100,
    beside: float = 1,
    away: float = 0,
) -> Result:
    """What row 27 has of a method of which a hundred calls a second can be answered."""
    step = {
        "before_per_s": 100,
        "before_all_per_s": 100,
        "after_per_s": after,
        "beside_per_s": 100 * beside,
        "away_per_s": 100 * (away or offered - good),
        "shed_per_s": 100 * (offered - good),
        "times": times,
        "offered_per_s": 100 * offered,
        "good_per_s": 100 * good,
        "failed_per_s": failed,
        "silent": silent,
    }
    return {"steps": {"M": [step]}} | shares("M", step)


def test_goodput_is_a_share_of_what_is_answered_while_as_many_are_turned_away() -> None:
    step = {
        "times": 3.0,
        "before_per_s": 100,
        "after_per_s": 120,
        "beside_per_s": 60,
        "offered_per_s": 330,
        "good_per_s": 55,
    }
    told = {"goodput of M at 3 x": 55 / 60, "goodput in all of M at 3 x": 0.5, "offered of M at 3 x": 3.0}
    assert shares("M", step) == pytest.approx(told)


@pytest.mark.parametrize(
    ("result", "wrong"),
    [
        (offered(3, offered=3, good=0.91), ""),
        (offered(3, offered=3, good=0.89), "goodput 0.89"),
        (offered(10, offered=10, good=0.81), ""),
        (offered(10, offered=10, good=0.79), "goodput 0.79"),
        (offered(10, offered=3, good=0.81), "at 3.0 times its capacity: goodput 0.81"),  # it is judged as three times
        (offered(10, offered=1.5, good=1.0), "only 1.5 times"),
        (offered(3, offered=3, good=0.64, beside=0.6), "goodput in all 0.64"),
        (offered(10, offered=10, good=0.29, beside=0.3), "goodput in all 0.29"),
        (offered(10, offered=10, good=0.31, beside=0.3), ""),
        (offered(3, offered=3, good=0.95, away=1.6), "160 a second were turned away beside it, 205 refused"),
        (offered(3, offered=3, good=0.95, failed=10), "10 a second were neither answered nor refused"),
        (offered(3, offered=3, good=0.95, silent=1), "1 were refused without a time"),
        (offered(3, offered=3, good=0.95, after=69), "69 a second after, 100 before all"),
    ],
)
def test_what_is_not_offered_is_not_promised_to_be_borne(result: Result, wrong: str) -> None:
    said = ROWS[27].check(result)
    assert (len(said), wrong in "".join(said)) == (int(bool(wrong)), True)


@pytest.mark.parametrize(
    ("goods", "chosen", "tries"),
    [([0.95], 0.95, 1), ([0.5, 0.95], 0.95, 2), ([0.8, 0.5], 0.8, 2), ([0.5, 0.8], 0.8, 2)],
)
def test_a_method_is_tried_twice_at_most_and_the_better_try_counts(
    goods: list[float], chosen: float, tries: int
) -> None:
    attempts = iter(goods)
    found, count = best("M", lambda: offered(3, offered=3, good=next(attempts))["steps"]["M"])
    assert (found[0]["good_per_s"], count) == (100 * chosen, tries)


def test_what_is_no_machines_fault_is_not_tried_again_and_what_a_try_leaves_behind_counts() -> None:
    attempts = iter([offered(3, offered=3, good=0.5, silent=1), offered(3, offered=3, good=0.95)])
    found, count = best("M", lambda: next(attempts)["steps"]["M"])
    assert (found[0]["silent"], count) == (1, 1)
    second = offered(3, offered=3, good=0.95, after=50)["steps"]["M"]
    second[0] |= {"before_per_s": 50, "before_all_per_s": 50}
    tries = iter([offered(3, offered=3, good=0.5)["steps"]["M"], second])
    found, count = best("M", lambda: next(tries))
    assert count == 2
    assert too_little("M", second) == ["M: 50 a second after, 100 before all"]


def test_what_many_loads_one_after_another_leave_behind_is_seen() -> None:
    results = [offered(times, offered=times, good=0.95, after=after) for times, after in ((3, 70), (10, 49))]
    (first,), (second,) = (result["steps"]["M"] for result in results)
    both = results[0] | results[1] | {"steps": {"M": [first, second | {"before_per_s": 70}]}}
    assert ROWS[27].check(both) == ["M: 49 a second after, 100 before all"]


SLOWED: Result = {"rooms_slowed": 1.0, "halvings": 3.0, "still_slowed": 0.0}
"""Of a room that costs too much."""


def test_a_room_that_costs_too_much_is_slowed_for_as_long_as_it_does_and_the_others_notice_little() -> None:
    well: Result = {**SLOWED, "calm_step_p99_ms": 60.0, "step_p99_ms": 119.0}
    assert ROWS[6].check(well) == []
    for wrong in ({"rooms_slowed": 0.0}, {"halvings": 1.0}, {"still_slowed": 1.0}, {"step_p99_ms": 121.0}):
        assert len(ROWS[6].check(well | wrong)) == 1


def test_where_nobody_sees_a_step_it_is_not_as_when_calm() -> None:
    well: Result = {**SLOWED, "calm_step_p99_ms": 60.0, "step_p99_ms": 60.0}
    for unseen in ("calm_step_p99_ms", "step_p99_ms"):
        assert ROWS[6].check(well | {unseen: -1.0}) == ["nobody saw others' steps"]


@pytest.mark.parametrize(("number", "most"), [(13, 120), (123, 120), (134, 320), (136, 120), (137, 120), (140, 320)])
def test_a_bad_link_makes_steps_later_by_what_it_takes_itself(number: int, most: float) -> None:
    presence: Result = {"flapped": 0, "back_once": 0, "gone_once": 0, "said_offline": 0, "rebuilt_ms": 2700.0}
    well = CALM | presence | {"calls": 1, "last_failure_ms": 0.0, "last_slow_ms": 0.0, "live_p50_ms": 210.0}
    well |= {"packets_lost": 1, "step_p99_ms": most - 1}
    assert ROWS[number].check(well) == []
    assert len(ROWS[number].check(well | {"step_p99_ms": most + 1})) == 1


def test_a_rolling_restart_lets_no_call_fail_by_the_mesh_or_by_the_edge() -> None:
    well: Result = {f"{way}_{what}": 0 for way in ("mesh", "edge") for what in ("failed_calls", "failed_why")}
    well |= {"mesh_calls": 300, "edge_calls": 300}
    assert ROWS[26].check(well) == []
    for wrong in ({"mesh_failed_calls": 1}, {"edge_failed_calls": 1}, {"mesh_calls": 0}, {"edge_calls": 0}):
        assert len(ROWS[26].check(well | wrong)) == 1


@pytest.mark.parametrize("number", [6, 9, 211])
def test_what_is_calm_on_a_machine_that_is_too_busy_to_tell_excuses_nothing(number: int) -> None:
    well: Result = {
        **SLOWED,
        **dict.fromkeys(("grown_mb", "away", "back_after_ms", "gateways_mb", "room_left"), 0),
        **dict.fromkeys(("dropped_state", "clients"), 1),
        "calm_step_p99_ms": 400.0,
        "step_p99_ms": 499.0,
    }
    assert ROWS[number].check(well) == []
    assert len(ROWS[number].check(well | {"step_p99_ms": 501.0})) == 1


def test_of_a_gateway_that_is_cut_off_all_users_expire() -> None:
    well: Result = {"flapped": 0, "gone_once": 0, "back_once": 500, "clients": 1000}
    for number in (14, 114):
        assert ROWS[number].check(CALM | well) == []
        for wrong in ({"back_once": 1}, {"back_once": 1000}, {"flapped": 1}, {"gone_once": 1}):
            assert len(ROWS[number].check(CALM | well | wrong)) == 1


def test_presence_that_never_was_away_was_not_rebuilt() -> None:
    well: Result = {"flapped": 0, "back_once": 0, "gone_once": 0, "said_offline": 0, "rebuilt_ms": 2700.0}
    assert ROWS[13].check(CALM | well) == []
    for wrong in ({"rebuilt_ms": 0.0}, {"rebuilt_ms": 5001.0}, {"flapped": 1}, {"said_offline": 1}):
        assert len(ROWS[13].check(CALM | well | wrong)) == 1


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the page, which is written instead of it."""
    copied = tmp_path / "faults.md"
    copied.write_text(page.PAGE.read_text())
    monkeypatch.setattr(page, "PAGE", copied)
    return copied


def test_the_page_does_not_go_on_saying_what_was_observed_before_of_a_row_that_was_not_ended(copy: Path) -> None:
    before = copy.read_text().splitlines()
    page.write_page({2: {"seeds": 0, "broken": ["seed 0: TimeoutError()"]}}, Size())
    after = copy.read_text().splitlines()
    [(old, new)] = [(a, b) for a, b in zip(before, after, strict=True) if a != b]
    assert old.startswith("| 2 |")
    assert "**not kept**: seed 0: TimeoutError()" in new
    assert new.count("|") == old.count("|")


def test_the_page_tells_each_figure_once_and_of_steps_that_nobody_saw_no_age(copy: Path) -> None:
    seen: Result = {"steps_halved": 2, "calm_step_p99_ms": 55.0, "step_p99_ms": -1.0}
    every = dict.fromkeys((*(page.EVERY_ROW - {"seeds"}), *page.IF_ANY), 0)
    page.write_page({1: merged([every | AS_PROMISED | seen]) | {"broken": []}}, Size())
    [line] = [line for line in copy.read_text().splitlines() if line.startswith("| 1 |")]
    assert line.count("steps_halved 2") == 1
    assert "| 55 / – |" in line


@pytest.mark.parametrize("number", [4, 130, 132, 133])
def test_who_is_cut_off_waits_and_the_others_do_not(number: int) -> None:
    well: Result = {
        "longest_ms": 12_000.0,
        "others_live_p99_ms": 90.0,
        "others_state_silence_p99_ms": 80.0,
    }
    assert ROWS[number].check(well) == []
    for wrong in ({"others_live_p99_ms": 5000.0}, {"others_state_silence_p99_ms": 5000.0}, {"longest_ms": 900.0}):
        assert len(ROWS[number].check(well | wrong)) == 1


@pytest.mark.parametrize(
    ("number", "there"),
    [
        *((number, {"live_p50_ms": 210.0}) for number in (134, 136, 140)),
        *((number, {"packets_lost": 1}) for number in (135, 137, 141)),
        *((number, {"step_p99_ms": 600.0}) for number in (142, 144)),
        (138, {"longest_ms": 2600.0}),
        (139, {"append_ms_before": 2.0, "append_ms_then": 7.0}),
    ],
)
def test_a_network_that_was_not_bad_shows_nothing(number: int, there: Result) -> None:
    assert ROWS[number].check(CALM | there) == []
    not_there = there | {list(there)[-1]: 0}
    assert len(ROWS[number].check(CALM | not_there)) == 1


def test_who_comes_too_late_to_a_room_must_have_been_sent_on() -> None:
    fight = dict.fromkeys(("two_histories", "lost", "twice", "epoch_went_back", "failed"), 0)
    assert ROWS[105].check({"rivals": {**fight, "sent_on": 299}}) == []
    assert ROWS[105].check({"rivals": {**fight, "sent_on": 0}})
    assert ROWS[105].check({"rivals": {**fight, "sent_on": 299, "twice": 1}})


def test_a_gateway_that_ends_takes_its_time() -> None:
    well: Result = {"told_to_move": 500, "reconnects": 500, "move_spread_ms": 17_000.0}
    well |= {"flapped": 0, "back_once": 0, "gone_once": 0}
    assert ROWS[8].check(well) == []
    for wrong in ({"told_to_move": 499}, {"reconnects": 0}, {"move_spread_ms": 7000.0}, {"flapped": 1}):
        assert len(ROWS[8].check(well | wrong)) == 1


def test_an_edge_that_dies_is_noticed_at_the_edge_alone() -> None:
    well: Result = {"restarted_ms": 900.0, "edge_failed_calls": 9}
    well |= {f"{way}_{what}": 100 for way in ("edge", "mesh") for what in ("calls", "failed_why")}
    well |= {"edge_last_failure_ms": 1800.0, "mesh_last_failure_ms": 0.0}
    assert ROWS[223].check(CALM | well) == []
    for wrong in (
        {"edge_last_failure_ms": 2000.0},
        {"mesh_last_failure_ms": 1.0},
        {"edge_failed_calls": 0},
        {"mesh_calls": 0},
    ):
        assert len(ROWS[223].check(CALM | well | wrong)) == 1


def test_two_relays_had_the_same_rooms_and_one_was_not_believed() -> None:
    well: Result = {"both_had": 3.0, "stale_epochs": 3.0, "had": 3.0}
    well |= {"ended: fenced": 2.0, "ended: taken": 1.0, "ended: lease lost": 0.0}
    assert ROWS[5].check(well) == []
    for wrong in ({"both_had": 0.0}, {"stale_epochs": 0.0}, {"ended: fenced": 1.0}):
        assert len(ROWS[5].check(well | wrong)) == 1


def test_where_little_was_to_be_seen_in_one_run_that_is_what_counts() -> None:
    runs: list[Result] = [{"both_had": 3.0, "stale_epochs": 4.0}, {"both_had": 0.0, "stale_epochs": 5.0}]
    assert merged(runs) == {"seeds": 2, "both_had": 0.0, "stale_epochs": 4.0}


def test_a_relay_that_ends_hands_its_rooms_over() -> None:
    assert ROWS[104].check({"claimed": 3.0, "by_force": 0.0}) == []
    assert ROWS[104].check({"claimed": 2.0, "by_force": 1.0}) == ["rooms taken by force 1"]
    assert len(ROWS[104].check({"claimed": 0.0, "by_force": 0.0})) == 1


@pytest.mark.parametrize(
    ("after", "kept"), [(10_100.0, True), (9900.0, False), (12_900.0, True), (13_100.0, False), (-1.0, False)]
)
def test_a_relay_that_hears_nothing_of_redis_fences_itself_in_time(after: float, kept: bool) -> None:
    assert (ROWS[3].check({"fenced_ms": after}) == []) is kept


def test_a_counter_goes_on_when_its_process_has_begun_anew() -> None:
    # By instance: when its process began, and how much it has counted.
    counts = [{"a": (1, 5), "b": (1, 1)}, {"a": (1, 7)}, {"a": (2, 1), "b": (1, 2)}, {"a": (3, 4), "b": (1, 4)}]
    samples = [
        Sample(0, {name: {"process_start_time_seconds": began, "n": count} for name, (began, count) in each.items()})
        for each in counts
    ]
    assert risen(samples, "n") == (7 - 5) + 1 + 4 + (4 - 1)
    assert risen(samples, "of which nobody knows") == 0


def test_what_happens_before_the_first_sample_after_the_mark_counts() -> None:
    samples = [Sample(at, {"a": {"n": n}}) for at, n in ((1.0, 3.0), (2.0, 5.0), (3.0, 9.0), (4.0, 9.0))]
    assert risen(around_mark(samples, 2.5), "n") == 4
    assert around_mark([], 2.5) == []


def test_rows_are_asked_for_by_their_numbers() -> None:
    assert numbers_of("1,5") == [1, 5]
    assert numbers_of("") == sorted(ROWS)
    with pytest.raises(ValueError, match="no such rows: abc, 99; there are 1, 2, 3, "):
        numbers_of("abc,1,99")


@pytest.mark.parametrize(
    ("arguments", "written"),
    [
        ([], True),
        (["--seeds", "2"], True),
        (["--rows", "1"], False),
        (["--rooms", "4"], False),
        (["--members", "8"], False),
        (["--rows", "1", "--rooms", "4", "--page"], True),
    ],
)
def test_only_a_whole_run_writes_the_page_unless_it_is_asked_for(
    arguments: list[str], written: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages: list[bool] = []

    def run(_numbers: object, _size: object, _seeds: object, *, page: bool) -> tuple[dict[int, Result], bool]:
        pages.append(page)
        return {}, True

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(sys, "argv", ["run", *arguments])
    assert runner.main() == 0
    assert pages == [written]
