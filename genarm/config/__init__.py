"""`params.yaml`, typed: one class a section, every key with its meaning; unknown keys are refused by name."""

from genarm.config.params import (
    BaseConfig,
    PairsConfig,
    Params,
    RespondConfig,
    RuleConfig,
    SamplingConfig,
    ScorerConfig,
    SourceConfig,
    check_params,
    load_params,
    nearest,
)
from genarm.config.train import EarlyStoppingConfig, LoraConfig, Section, TrainConfig

__all__ = [
    "BaseConfig",
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
