"""Rooms as things that are kept."""
