"""`params.yaml`, typed: one class a section, every key with its meaning; unknown keys are refused by name."""

from genarm.config.explain import nearest
from genarm.config.load import check_params, load_params
from genarm.config.numbers import Section
from genarm.config.params import (
    BaseConfig,
    ColumnsConfig,
    DimensionConfig,
    PairsConfig,
    Params,
    RespondConfig,
    RuleConfig,
    SamplingConfig,
    ScorerConfig,
    SourceConfig,
)
from genarm.config.train import EarlyStoppingConfig, LoraConfig, TrainConfig

__all__ = [
    "BaseConfig",
    "ColumnsConfig",
    "DimensionConfig",
    "EarlyStoppingConfig",
    "LoraConfig",
    "PairsConfig",
    "Params",
    "RespondConfig",
    "RuleConfig",
    "SamplingConfig",
    "ScorerConfig",
    "Section",
    "SourceConfig",
    "TrainConfig",
    "check_params",
    "load_params",
    "nearest",
]
