"""Fixtures that every test may use: a real mongod, certificates, services in the test's own process."""

pytest_plugins = ["worldmesh_kit.testing"]
