"""Identity's ports on real parts."""
