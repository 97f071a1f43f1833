"""Envoy's configuration: pure functions from the topology and the contracts to plain data."""
