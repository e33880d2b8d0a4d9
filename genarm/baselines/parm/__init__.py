"""PARM: one ARM for several preference dimensions, told by a vector how much each counts."""
