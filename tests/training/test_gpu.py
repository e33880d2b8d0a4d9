"""On a GPU training gives the losses that it gives on the CPU: float32 toys, within 2e-3 of each."""

import pytest
import torch
from toy_training import changed, run, token_pairs
from toys import toy_model

from genarm.training import logps
from genarm.training.collate import collate

pytestmark = pytest.mark.gpu
OBJECTIVES = {
    "arm": {},
    "dpo": {"objective": "dpo"},
    "full": {"method": "full", "learning_rate": 1e-3},
}


@pytest.mark.parametrize("kind", OBJECTIVES)
def test_a_gpu_trains_as_the_cpu(toy, tmp_path, monkeypatch, kind):
    config = changed(**OBJECTIVES[kind])
    (tmp_path / "gpu").mkdir(), (tmp_path / "cpu").mkdir()
    on_gpu = run(toy, tmp_path / "gpu", config)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda *a, **k: None)
    on_cpu = run(toy, tmp_path / "cpu", config)
    ours, theirs = ([row["loss"] for row in r.curves if "loss" in row] for r in (on_gpu, on_cpu))
    assert len(ours) > 3
    assert ours == pytest.approx(theirs, rel=2e-3, abs=2e-3)


def test_padded_rows_on_a_gpu_hold_no_vocabulary(monkeypatch):
    """Their log-probabilities are those of the CPU, chunk by chunk, and the gradient is too."""
    pairs, model = token_pairs(), toy_model()
    batch = collate(pairs, packed=False)
    with torch.no_grad():
        expected = logps.pair_logps(model, batch)
    model = model.cuda()
    logps.prepare(model, pairs)
    assert logps.predicting_states(model, batch.to("cuda")).shape[-1] == model.config.hidden_size
    model.set_attn_implementation("sdpa")
    with torch.no_grad():
        found = logps.pair_logps(model, batch.to("cuda"))
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-3)
