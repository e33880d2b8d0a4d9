"""Rotary embeddings that change with the length: a pair's log-probabilities do not depend on its pack."""

import random

import pytest
import torch
from torch.testing import assert_close
from toy_rotary import CONTEXT, KINDS, SWITCH, rotary_model
from toy_training import preferences, run, slow_logps
from toys import Toy, byte_tokenizer

from genarm.errors import DataError, ModelError
from genarm.models import context_of, load_model, resolve, rotary
from genarm.training.collate import collate
from genarm.training.evaluate import evaluate_arm
from genarm.training.logps import pair_logps, prepare
from genarm.training.tokens import TokenPair
from genarm.types import Message, PreferencePair, Prompt


def pairs(context: int) -> list[TokenPair]:
    """A short pair, and one that fills the context."""
    rng = random.Random(0)

    def ids(n: int) -> list[int]:
        return [rng.randrange(256) for _ in range(n)]

    return [
        TokenPair("short", ids(6), ids(5), ids(6)),
        TokenPair("long", ids(context - 9), ids(9), ids(4)),
    ]


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_a_pair_alone_and_beside_a_long_one_has_its_own_log_probabilities(kind, packed, tmp_path):
    model = rotary_model(kind, tmp_path / "base")
    some = pairs(context_of(model))
    assert context_of(model) == (SWITCH if kind == "longrope" else CONTEXT)
    with torch.no_grad():
        slow = slow_logps(model, some)
        if packed:
            assert prepare(model, some)
        together = pair_logps(model, collate(some, packed=packed))
        alone = torch.cat([pair_logps(model, collate([pair], packed=packed)) for pair in some])
    assert_close(together, slow, rtol=1e-5, atol=1e-4)
    assert_close(alone, slow, rtol=1e-5, atol=1e-4)


def test_pairs_beyond_the_change_are_left_out_and_named(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("GENARM_CACHE", str(tmp_path / "cache"))
    rotary_model("longrope", tmp_path / "base")
    long = PreferencePair(Prompt((Message("user", "a" * 30),)), "b", "c")
    toy = Toy(tmp_path / "base", load_model(resolve(str(tmp_path / "base")), "float32"), byte_tokenizer())
    result = run(toy, tmp_path, train=[*preferences(8), long])
    assert [refused.reason for refused in result.refused] == ["longer than the model's context of 32 tokens"]
    assert "changes its rotary embedding beyond 32 tokens" in caplog.text
    with pytest.raises(DataError, match="the model reads at most 32"):
        evaluate_arm(resolve(str(toy.folder)), tmp_path / "arm", [long], dtype="float32")


def test_a_change_that_no_configuration_tells_of_is_noticed_before_training(tmp_path, monkeypatch):
    model = rotary_model("longrope", tmp_path / "base")
    monkeypatch.setattr(rotary, "position_limit", lambda config: None)
    monkeypatch.setattr("genarm.models.load.position_limit", lambda config: None)
    with pytest.raises(ModelError, match="reads a text otherwise beside a longer one"):
        prepare(model, pairs(SWITCH))
