"""Settings of training that cannot be, refused by their key."""

import pytest
from pydantic import ValidationError
from toy_params import dimension
from toys import toy_model

from genarm.config import LoraConfig, check_params
from genarm.errors import ConfigError
from genarm.training.lora import add_lora


@pytest.mark.parametrize(
    ("train", "message"),
    [
        ({"method": "fulll"}, "method = 'fulll'.*'lora' or 'full'"),
        ({"warmstart": "champion"}, r"unknown key 'train.warmstart' \(did you mean 'warm_start'\?\)"),
        ({"early_stopping": {"patiance": 2}}, "'train.early_stopping.patiance'.*'patience'"),
        ({"early_stopping": {"patience": 0}}, "patience = 0"),
        ({"method": "full", "quantise": "4bit"}, "'4bit' holds weights that cannot train.*quantise: null"),
        ({"revision": "main"}, "revision = 'main' belongs to `model`"),
        ({"label_smoothing": 0.5}, "label_smoothing = 0.5"),
        ({"margin": -1}, "margin = -1"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_key(train, message):
    values = {
        "base": {"model": "nowhere"},
        "dimensions": {"kind": dimension()},
        "train": train,
    }
    with pytest.raises(ConfigError, match=message):
        check_params(values, "params.yaml")


def test_a_target_nearly_right_is_told_the_name():
    with pytest.raises(ConfigError, match=r"'q_porj' matches no linear module.*did you mean 'q_proj'"):
        add_lora(toy_model(), LoraConfig(targets=("q_porj",)))
    with pytest.raises(ValidationError):
        LoraConfig(rank=0)
