"""A benchmark that has become worse fails."""

from __future__ import annotations

import pytest

from bench.baseline import busy, machine, of_machine, regressions, renewed, unjudged, unmeasured

BASELINE = {"cpu_20x50x4": 1.5, "joins": 0.5}


@pytest.mark.parametrize(
    ("results", "worse"),
    [
        ({"cpu_20x50x4": 1.5, "joins": 0.5}, []),
        ({"cpu_20x50x4": 1.79, "joins": 0.42}, []),
        ({"cpu_20x50x4": 1.81, "joins": 0.5}, ["cpu_20x50x4 is 1.81, was 1.5"]),
        ({"cpu_20x50x4": 1.0, "joins": 0.41}, ["joins is 0.41, was 0.5"]),
        ({"idle_kb": 100.0}, []),  # nothing to compare with
    ],
)
def test_what_is_a_fifth_worse_is_told(results: dict[str, float], worse: list[str]) -> None:
    assert regressions(BASELINE, results) == worse


@pytest.mark.parametrize(("share", "worse"), [(1.0, []), (0.995, []), (0.98, ["delivered_share is 0.98, was 1.0"])])
def test_what_is_not_delivered_is_told_soon(share: float, worse: list[str]) -> None:
    assert regressions({"delivered_share": 1.0}, {"delivered_share": share}) == worse


def test_of_what_is_ordered_nothing_may_be_lost() -> None:
    assert regressions({"delivered_share_ordered": 1.0}, {"delivered_share_ordered": 1.0}) == []
    assert len(regressions({"delivered_share_ordered": 1.0}, {"delivered_share_ordered": 0.9998})) == 1


def test_a_figure_that_is_not_measured_any_more_is_told_by_the_part_that_it_is_of() -> None:
    baseline = BASELINE | {"presence_core_bytes_per_user": 80.0}
    assert unmeasured(baseline, {"joins": 0.5}, "rooms") == ["cpu_20x50x4"]
    assert unmeasured(baseline, {"joins": 0.5}, "all") == ["cpu_20x50x4", "presence_core_bytes_per_user"]
    assert unmeasured(baseline, {}, "rpc") == []


def test_a_part_renews_its_part() -> None:
    kept = renewed({"a": BASELINE, "b": BASELINE}, "b", {"joins": 0.6, "delivered_share": 1.0, "p99_ms_20x50x10": 50.0})
    assert kept == {"a": BASELINE, "b": {"cpu_20x50x4": 1.5, "joins": 0.6}, "every machine": {"delivered_share": 1.0}}
    assert renewed({"a": {"joins": 0.5, "of_old": 1.0}}, "a", {}) == {"a": {"joins": 0.5}}


def test_each_kind_of_machine_has_a_baseline_and_another_the_mildest() -> None:
    kept = {"a": {"cpu_20x50x4": 1.4, "joins": 0.4}, "b": {"cpu_20x50x4": 1.6, "joins": 0.5}}
    assert of_machine(kept, "b") == (kept["b"], True)
    assert of_machine(kept, "c") == ({"cpu_20x50x4": 1.6, "joins": 0.4}, False)
    assert of_machine({}, "c") == ({}, False)
    assert of_machine(kept | {"d": {"joins": 0.6}}, "d") == ({"cpu_20x50x4": 1.6, "joins": 0.6}, True)


def test_a_machine_is_told_by_its_processors() -> None:
    info = "processor\t: 0\nvendor_id\t: GenuineIntel\ncpu family\t: 6\nmodel\t\t: 207\n\nprocessor\t: 1\nmodel\t: 1\n"
    assert machine(info, 2) == "GenuineIntel 6/207, 2 processors"
    assert machine("CPU implementer : 0x41\nCPU part : 0xd40\n", 4) == "implementer 0x41 0xd40, 4 processors"
    assert machine("", 4) == "implementer unknown unknown, 4 processors"


def test_what_there_is_nothing_to_compare_with_is_named() -> None:
    assert unjudged(BASELINE, {"joins": 0.5, "idle_kb": 10.0, "p99_ms_20x50x10": 50.0}) == ["idle_kb"]


def test_a_machine_that_is_busy_is_told_by_the_bare_server() -> None:
    free = {"p99_ms_20x50x4_floor": 59.0, "p99_ms_20x50x10_floor": 100.0, "p99_ms_20x50x10": 180.0}
    assert busy(free) == ""
    assert busy(free | {"p99_ms_20x50x4_floor": 143.2}) == (
        "the machine was busy: p99 of the bare server was 143.2 ms (p99_ms_20x50x4_floor), with a tick of 50 ms"
    )
    assert busy({"presence_core_bytes_per_user": 83.0}) == ""
