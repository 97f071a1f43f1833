"""What a benchmark came to before, and what is worse now."""

from __future__ import annotations

from collections.abc import Mapping

TOLERANCE = 0.20
TOLERANCES = {"delivered_share": 0.01}
"""Of figures that do not vary as much: what is not delivered is lost."""
LOWER_IS_BETTER = (
    "cpu_20x50x4",
    "cpu_20x50x4_tls",
    "cpu_20x50x10",
    "idle_kb",
    "idle_kb_tls",
    "allocs_per_delivery",
    "presence_core_bytes_per_user",
    "bytes_per_s_20_walk",
)
HIGHER_IS_BETTER = ("joins", "joins_tls", "delivered_share")
"""Ratios to the floor of the same run, and figures that do not depend on how fast the machine is."""

FLOOR_TICK_MS = 50.0


def busy(results: Mapping[str, float]) -> str:
    """How the floor shows that the machine had other work to do, in words; empty if it does not.

    It only waits for its tick and sends. Where that takes two ticks it was kept from running, and our way, with more
    processes to wait for, still more: then the ratios are worse than on a machine that is free.
    """
    late = [
        f"{value:g} ms ({name})"
        for name, value in results.items()
        if name.startswith("p99_ms_") and name.endswith("_floor") and value > 2 * FLOOR_TICK_MS
    ]
    return (
        f"the machine was busy: p99 of the bare server was {', '.join(late)}, with a tick of {FLOOR_TICK_MS:g} ms"
        if late
        else ""
    )


def regressions(baseline: Mapping[str, float], results: Mapping[str, float]) -> list[str]:
    """The figures that are worse than in the baseline by more than their tolerance."""
    worse = []
    for name in (*LOWER_IS_BETTER, *HIGHER_IS_BETTER):
        if name not in baseline or name not in results:
            continue
        before, now = baseline[name], results[name]
        slack = 1 + TOLERANCES.get(name, TOLERANCE)
        limit = before * slack if name in LOWER_IS_BETTER else before / slack
        if now > limit if name in LOWER_IS_BETTER else now < limit:
            worse.append(f"{name} is {now}, was {before}")
    return worse


def unjudged(baseline: Mapping[str, float], results: Mapping[str, float]) -> list[str]:
    """The figures that were measured and that there is nothing to compare with."""
    return [name for name in (*LOWER_IS_BETTER, *HIGHER_IS_BETTER) if name in results and name not in baseline]


def renewed(baseline: Mapping[str, float], results: Mapping[str, float]) -> dict[str, float]:
    """The baseline, with what was measured now in the place of what was measured before."""
    names = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)
    return {n: results.get(n, baseline.get(n, 0.0)) for n in names if n in results or n in baseline}
