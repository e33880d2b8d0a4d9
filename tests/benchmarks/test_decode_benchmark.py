"""The decoding benchmark runs from its own door, and compares like with like."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from toy_arms import TOKENS
from toys import toy_model

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))  # its files are scripts, found beside one another

from decode import options, profile  # noqa: E402
from decode_figures import CPU, GPU, Wanted  # noqa: E402
from decode_limits import Counted  # noqa: E402
from decode_models import Job, Models, varied_lengths  # noqa: E402
from decode_rows import ArmProcessor, Rows, counted, hugging_face  # noqa: E402
from strong_base import StrongBase  # noqa: E402

ALONE = {"hf_base", "hf_processor", "hf_processor4", "base", "shared1", "shared2", "shared4", "shared1_all"}
ALONE |= {"contrast1"}
STRONG = {"strong_base_b1", "guided_strong_b1", "spec_guided_b1", "acceptance"}


def run(*arguments: str) -> str:
    command = [sys.executable, str(BENCHMARKS / "decode.py"), *arguments, "--dtype=float32", "--threads=1"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_figure_of_a_run_is_there_and_positive(toy, tmp_path):
    file = tmp_path / "figures.json"
    smallest = ["--quick", "--new=2", "--batches=1,2", "--prompt=4"]
    shown = run(f"--model={toy.folder}", *smallest, f"--json={file}")
    figures = json.loads(file.read_text())
    rows = ALONE | {"separate1", *(f"limit_{row}" for row in (*ALONE, "separate1") if "shared" in row)}
    rows |= {"limit_separate1", "limit_weights"}
    assert set(figures) == (
        {f"{row}_b{size}" for row in rows for size in (1, 2)}
        | STRONG
        | {"hf_base_varied", "base_varied", "mem_base_mb", "mem_shared4_mb"}
    )
    assert all(value > 0 for key, value in figures.items() if key != "acceptance")
    assert 0 <= figures["acceptance"] <= 1
    assert "1 ARM (top) / base alone" in shown


def test_a_shape_of_random_weights_runs(tmp_path):
    file = tmp_path / "figures.json"
    arguments = ["--shape=tiny", "--device=cpu", "--new=2", "--batches=1,2", "--repeats=1", "--prompt=4"]
    run(*arguments, f"--json={file}")
    figures = json.loads(file.read_text())
    rows = ("hf_base", "eager", "eager_shared1", "base", "shared1", "contrast1", "shared4", "limit_shared1")
    rows = (*rows, "limit_shared4", "limit_weights")
    assert set(figures) == {f"{row}_b{size}" for row in rows for size in (1, 2)}
    assert all(value > 0 for value in figures.values())


@pytest.fixture(scope="module")
def rows(toy, tmp_path_factory) -> Rows:
    """On a toy as wide as its tokenizer: Hugging Face draws padding, too."""
    folder = tmp_path_factory.mktemp("narrow")
    toy_model(vocab_size=TOKENS).save_pretrained(folder)
    toy.tokenizer.save_pretrained(folder)
    return Rows(Models(str(folder), None, "cpu", "float32", spread=0.3), slots=3, new=12)


@pytest.mark.parametrize("job", ["b2", "varied"])
def test_a_profile_names_the_operators(rows, job):
    chosen = options(["--batches=2", "--new=2", "--prompt=4", f"--profile=shared1_{job}"])
    assert "aten::" in profile(rows.models, chosen)


def test_every_way_to_guide_gives_the_same_tokens(rows):
    """Without chance, the rival, shared rows and a model of its own answer alike, whatever the lengths."""
    job = rows.models.job(5, 6, [3, 9, 4, 8, 5], seed=1)
    alone, one, four = (
        rows.answers(name, greedy=True)(job) for name in ("hf_base", "hf_processor", "hf_processor4")
    )
    assert alone != one != four  # the ARMs have an effect
    assert rows.answers("base", greedy=True)(job) == alone
    assert rows.answers("shared1", greedy=True)(job) == one
    assert rows.answers("separate1", greedy=True)(job) == one
    assert rows.answers("shared4", greedy=True)(job) == four
    strong = rows.answers("guided_strong", greedy=True)(job)
    assert rows.answers("spec_guided", greedy=True)(job) == strong != one


def test_the_rival_reads_only_the_newest_tokens(rows):
    seen = []
    hook = rows.models.original.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    model = rows.models.fresh()
    hook.remove()
    hugging_face(model, [model], 2)(rows.models.job(2, 6, [3, 3], seed=0))
    assert seen == 2 * [(2, 6)] + 4 * [(2, 1)]  # base and ARM


def test_a_processor_adds_weighted_log_probabilities(rows):
    model, ids = rows.models.original, torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        expected = 1 + 0.5 * model(ids).logits[:, -1].log_softmax(-1)
        torch.testing.assert_close(ArmProcessor(model, 0.5)(ids, torch.ones(1, TOKENS)), expected)


def test_limits_worked_by_hand():
    """Layers of 10, 20 and 30, a head of 100, 3 prompt tokens and 4 new ones.

    base = 60 * 6 + 100 * 4 = 760; an ARM on the last layer without a LoRA = 30 * 6 + 400 = 580.
    """
    counted = Counted([10, 20, 30], 100)
    assert counted.request(3, 4) == 760
    assert counted.request(3, 4, lowest=2) == 580
    assert counted.limit(3, 4, [None, None], 1) == 760 / (760 + 2 * 580)


def test_counts_of_the_toy(rows):
    """A toy layer: q and o 32*32, k and v 32*16, three of 32*64; a LoRA of rank 8 on all of them."""
    layer = 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64
    assert rows.counted == Counted([layer] * 4, TOKENS * 32)
    lora = 8 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))
    (adapter,) = rows.models.adapters(1, 1)
    assert rows.counted.request(1, 1, lowest=3, adapter=adapter) == layer + lora + TOKENS * 32


def test_a_deeper_model_starts_as_the_shallow_one_and_is_tuned_away(rows):
    shallow = rows.models.original
    strong = StrongBase(shallow)
    ids = torch.randint(256, (4, 12), generator=torch.Generator().manual_seed(0))
    strong.set_noise(1e-9)
    with torch.no_grad():
        assert len(strong.model.model.layers) == 16
        torch.testing.assert_close(strong.model(ids).logits, shallow(ids).logits, rtol=0, atol=1e-4)
    found = strong.tune(shallow, shallow, ids, wanted=0.8, prompt=1)
    assert found == pytest.approx(0.8, abs=0.05)
    with torch.no_grad():
        p, q = (m(ids).logits[:, :-1] + shallow(ids).logits[:, :-1] for m in (strong.model, shallow))
    overlap = torch.minimum(p.softmax(-1), q.softmax(-1)).sum(-1).mean()
    assert found == pytest.approx(float(overlap), abs=1e-4)


def test_noise_by_hand_is_not_searched_for(rows):
    chosen = Rows(rows.models, slots=1, noise=0.25)
    chosen.engine("strong_base")
    assert "noise 0.2500" in chosen.note and "accepted" not in chosen.note


def test_torch_is_not_loaded_before_its_environment_is_set():
    code = "import sys, decode; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=BENCHMARKS).returncode == 0


def test_lengths_vary_from_an_eighth_to_twice():
    lengths = varied_lengths(500, 64)
    assert (min(lengths), max(lengths)) == (8, 128)
    assert varied_lengths(500, 64) == lengths


def test_a_response_of_another_length_is_no_figure():
    job = Job([[7]], [2])
    assert counted(lambda job: [[1, 2]])(job) == 2
    with pytest.raises(AssertionError, match="asked for"):
        counted(lambda job: [[1]])(job)


@pytest.mark.parametrize(
    ("most", "figures", "compared"),
    [
        (False, {"a": 3.0, "b": 2.0}, (1.5, True)),
        (False, {"a": 1.0, "b": 2.0}, (0.5, False)),
        (True, {"a": 3.0, "b": 2.0}, (1.5, False)),
        (True, {"a": 3.0}, None),
    ],
)
def test_a_ratio_is_compared_with_its_bound(most, figures, compared):
    assert Wanted("", "a", "b", 1.25, most).compared(figures) == compared


def test_every_wanted_ratio_is_of_figures_that_are_measured():
    names = ALONE | {"separate1", "strong_base", "spec_guided"}
    for figure in (*CPU, *GPU):
        for key in (figure.above, figure.below):
            assert key.startswith("mem_") or key.rpartition("_")[0].removeprefix("limit_") in names
