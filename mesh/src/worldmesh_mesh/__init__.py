"""Renders and runs the mesh: `python -m worldmesh_mesh --help`."""
