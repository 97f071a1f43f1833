"""What Go says of its benchmarks is read."""

from __future__ import annotations

from bench.gobench import figures

OUTPUT = """goos: linux
BenchmarkGridTick/spread/4Hz-2	     100	0 ns/op	8.012 cpu-ms/tick	0.001300 allocs/delivery
BenchmarkPlain	3	12 ns/op
PASS
"""


def test_figures_are_by_name_and_unit() -> None:
    assert figures(OUTPUT) == {
        "GridTick/spread/4Hz": {"ns/op": 0, "cpu-ms/tick": 8.012, "allocs/delivery": 0.0013},
        "Plain": {"ns/op": 12},
    }
