"""PARM: one ARM for several preference dimensions, told by a vector how much each counts."""

from genarm.baselines.parm.plain import write_plain
from genarm.baselines.parm.settings import ParmConfig
from genarm.baselines.parm.train import ParmResult, train_parm

__all__ = ["ParmConfig", "ParmResult", "train_parm", "write_plain"]
