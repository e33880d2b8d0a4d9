"""A scaled adapter is the base plus so many times what the adapter changes."""

import pytest
import torch
from toy_arms import as_peft_loads_it, save_arms
from toys import toy_model

from genarm.baselines.calibration import deviation
from genarm.baselines.scaled import write_scaled
from genarm.errors import AdapterError, ConfigError
from genarm.models import resolve
from genarm.models.arm import read_card


def test_it_is_the_base_and_so_much_of_the_change(toy, tmp_path):
    folder = save_arms(tmp_path, resolve(str(toy.folder)), toy.model)["all"]
    card = write_scaled(folder, 2.5, tmp_path / "scaled")
    assert card == read_card(tmp_path / "scaled")
    assert card.adapter_sha256 != read_card(folder).adapter_sha256
    of = [
        dict(as_peft_loads_it(toy.model, each).merge_and_unload().named_parameters())
        for each in (folder, tmp_path / "scaled")
    ]
    base = dict(toy.model.named_parameters())
    changed = 0
    for name, weight in base.items():
        once, scaled = (found[name] - weight for found in of)
        torch.testing.assert_close(scaled, 2.5 * once, rtol=1e-4, atol=1e-6)
        changed += bool(once.abs().max() > 0)
    assert changed > 2


def test_what_is_no_scale_or_no_adapter_is_refused(toy, tmp_path):
    with pytest.raises(ConfigError, match="the scale of an adapter is 0"):
        write_scaled(tmp_path, 0, tmp_path / "out")
    toy_model(seed=1).save_pretrained(tmp_path / "full")
    with pytest.raises(AdapterError, match="full model"):
        write_scaled(tmp_path / "full", 2.0, tmp_path / "out")


def test_the_deviation_of_rewards_by_hand():
    assert deviation([1.0, 3.0, 5.0, 7.0]) == pytest.approx(5**0.5)
    with pytest.raises(ConfigError, match="gives the same to all 3 responses"):
        deviation([2.0] * 3)
