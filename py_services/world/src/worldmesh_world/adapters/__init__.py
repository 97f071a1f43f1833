"""World's ports on real parts."""
