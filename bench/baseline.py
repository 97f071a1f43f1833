"""What a benchmark came to before, and what is worse now.

A ratio to the floor is another on another kind of processor: one with fast system calls favours the floor, which does
little else. So there is a baseline for each kind of machine.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

TOLERANCE = 0.20
_FULL_ROOMS = tuple(f"full_room_{how}_{hz}hz" for how in ("spread", "dense") for hz in (4, 10))
FULL_ROOM_ALLOCS = tuple(f"{room}_allocs_per_delivery" for room in _FULL_ROOMS)
FULL_ROOM_TICKS = tuple(f"{room}_tick_ms" for room in _FULL_ROOMS)
TOLERANCES = {
    "delivered_share": 0.01,
    "delivered_share_ordered": 0.0,
    "ordered_p50_to_rpc": 0.35,
    "presence_changes_to_core": 0.35,
    **dict.fromkeys((*FULL_ROOM_ALLOCS, *FULL_ROOM_TICKS), 1.0),
}
"""Of figures that do not vary as much (of what is ordered nothing may be lost), or more."""
LOWER_IS_BETTER = (
    "cpu_20x50x4",
    "cpu_20x50x4_tls",
    "cpu_20x50x10",
    "relay_cpu_20x50x10",
    "p99_20x50x10",
    "idle_kb",
    "idle_kb_tls",
    "allocs_per_delivery",
    "relay_allocs_per_delivery",
    "ordered_p50_to_rpc",
    "presence_core_bytes_per_user",
    "bytes_per_s_20_walk",
    *FULL_ROOM_ALLOCS,
    *FULL_ROOM_TICKS,
)
HIGHER_IS_BETTER = ("joins", "joins_tls", "delivered_share", "delivered_share_ordered", "presence_changes_to_core")
"""Ratios to the floor of the same run, and figures that hardly depend on how fast the machine is; what a tick of a full
room costs does, so it may be twice as much before a run fails."""
SAME_EVERYWHERE = (
    "allocs_per_delivery",
    "relay_allocs_per_delivery",
    "presence_core_bytes_per_user",
    "bytes_per_s_20_walk",
    "delivered_share",
    "delivered_share_ordered",
    *FULL_ROOM_ALLOCS,
)
"""Those that do not depend on what machine it is at all, either."""
EVERYWHERE = "every machine"
"""Where the baseline of those is kept."""

FLOOR_TICK_MS = 50.0


def machine(cpuinfo: str, processors: int | None = None) -> str:
    """What kind of machine this is, by /proc/cpuinfo: `GenuineIntel 6/207, 2 processors`."""
    first = cpuinfo.partition("\n\n")[0].splitlines()
    fields = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first)}
    vendor = fields.get("vendor_id") or f"implementer {fields.get('CPU implementer', 'unknown')}"
    model = (
        f"{fields['cpu family']}/{fields.get('model')}" if "cpu family" in fields else fields.get("CPU part", "unknown")
    )
    return f"{vendor} {model}, {processors or len(os.sched_getaffinity(0))} processors"


def of_machine(kept: Mapping[str, Mapping[str, float]], kind: str) -> tuple[dict[str, float], bool]:
    """The baseline of a kind of machine, and whether there is one: what it lacks is the mildest of the others."""
    mildest: dict[str, float] = {}
    for figures in kept.values():
        for name, value in figures.items():
            pick = max if name in LOWER_IS_BETTER else min
            mildest[name] = pick(value, mildest.get(name, value))
    return mildest | dict(kept.get(kind, {})), kind in kept


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


def unmeasured(baseline: Mapping[str, float], results: Mapping[str, float], only: str) -> list[str]:
    """The figures of the baseline that a run of these parts should have and has not: their benchmark is gone, or has
    another name."""
    part = {name: "presence" if name.startswith("presence_") else "rooms" for name in baseline}
    return [name for name in baseline if only in ("all", part[name]) and name not in results]


def renewed(
    kept: Mapping[str, Mapping[str, float]], kind: str, results: Mapping[str, float]
) -> dict[str, dict[str, float]]:
    """All baselines, with what was measured now in the place of what was measured before, and without what is judged no
    more."""
    judged = (*LOWER_IS_BETTER, *HIGHER_IS_BETTER)
    every = {
        where: {name: value for name, value in figures.items() if name in judged} for where, figures in kept.items()
    }
    for name in judged:
        if name in results:
            every.setdefault(EVERYWHERE if name in SAME_EVERYWHERE else kind, {})[name] = results[name]
    return every
