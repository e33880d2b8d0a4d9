"""`params.yaml`, typed: one class a section, every key with its meaning; unknown keys are refused by name."""

from genarm.config.data import ColumnsConfig, DataConfig, SourceConfig
from genarm.config.explain import nearest
from genarm.config.feedback import FeedbackConfig
from genarm.config.judge import JudgeConfig, LlmJudgeConfig, RewardModelConfig, TrainedJudgeConfig
from genarm.config.load import check_params, load_params
from genarm.config.numbers import Section
from genarm.config.params import (
    BaseConfig,
    DimensionConfig,
    PairsConfig,
    Params,
    RespondConfig,
    RuleConfig,
    SamplingConfig,
    TuneConfig,
)
from genarm.config.pools import PoolsConfig
from genarm.config.publish import PublishConfig
from genarm.config.serve import TRAFFIC, CanaryConfig, ServeConfig
from genarm.config.train import EarlyStoppingConfig, LoraConfig, TrainConfig
from genarm.config.watch import WatchConfig

__all__ = [
    "TRAFFIC",
    "BaseConfig",
    "CanaryConfig",
    "ColumnsConfig",
    "DataConfig",
    "DimensionConfig",
    "EarlyStoppingConfig",
    "FeedbackConfig",
    "JudgeConfig",
    "LlmJudgeConfig",
    "LoraConfig",
    "PairsConfig",
    "Params",
    "PoolsConfig",
    "PublishConfig",
    "RespondConfig",
    "RewardModelConfig",
    "RuleConfig",
    "SamplingConfig",
    "Section",
    "ServeConfig",
    "SourceConfig",
    "TrainConfig",
    "TrainedJudgeConfig",
    "TuneConfig",
    "WatchConfig",
    "check_params",
    "load_params",
    "nearest",
]
