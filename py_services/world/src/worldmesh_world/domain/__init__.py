"""The rules of rooms, without I/O."""
