"""What Worldmesh means to cost at most, of the figures that a run gives: docs/benchmarks.md has them, and some more.

A budget is told and not enforced: what fails a run is a figure that has become worse (see baseline.py).
"""

from __future__ import annotations

from collections.abc import Mapping

AT_MOST = {
    "cpu_20x50x4": 1.4,
    "cpu_20x50x4_tls": 1.4,
    "cpu_20x50x10": 1.6,
    "p99_ms_20x50x10": 60.0,
    "ordered_p50_ms": 2.0,
    "ordered_p50_to_rpc": 12.0,  # 8 to 10 on what it was measured on
    "ordered_p99_ms": 10.0,
    "idle_kb": 12.0,
    "idle_kb_tls": 24.0,
    "bytes_per_s_20_walk": 1000.0,
    **{f"full_room_{how}_{hz}hz_tick_ms": 50.0 for how in ("spread", "dense", "heap") for hz in (4, 10)},
    "relay_allocs_per_delivery": 0.0,
    "rpc_go_envoy_to_direct": 3.0,
    "rpc_python_envoy_to_direct": 3.0,
    "presence_rebuild_1m_ms": 5000.0,
}
AT_LEAST = {
    "joins": 0.75,
    "joins_tls": 0.75,
    "relay_deliveries_per_core_s": 1e6,
    "presence_users_per_gb": 5e6,
    "presence_changes_per_core_s": 5e5,
}


def over(results: Mapping[str, float]) -> dict[str, float]:
    """The budgets that were not kept, by figure."""
    most = {name: limit for name, limit in AT_MOST.items() if name in results and results[name] > limit}
    least = {name: limit for name, limit in AT_LEAST.items() if name in results and results[name] < limit}
    return most | least
