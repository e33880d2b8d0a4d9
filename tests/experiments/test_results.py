"""Table, page and results.json of made-up answers: what stands there is what was measured."""

import json

import pytest
import toy_experiment as toy
from written_units import write_units

from genarm.experiments.best_of import distance
from genarm.experiments.model_results import models
from genarm.experiments.output import write_results
from genarm.experiments.passes import predicted
from genarm.experiments.tables import cells, columns, gathered
from genarm.experiments.units import units
from genarm.judges.reward.conversation import ConversationReader
from genarm.models import load_tokenizer, resolve
from genarm.system.files import write_json
from genarm.types import Estimate

SHARES = {"guided": 0.6, "dpo": 0.58, "both": 0.6, "soup": 0.4}
TRAINING = {
    "rm": {"train/seconds": 60.0, "train/pairs": 16.0, "train/beginnings": 15.0, "judge_accuracy": 0.6}
    | {"judge_longer_is_chosen": 0.57, "judge_pairs": 80.0},
    "rloo": {"train/seconds": 300.0, "train/responses": 960.0, "train/prompts": 30.0},
    "weak": {"train/seconds": 600.0, "train/texts": 60.0, "perplexity/base": 3.6, "perplexity/healed": 7.2},
}
TRAINING["arm"] = {"train/seconds": 90.0, "train/pairs": 30.0, "validation/pairs": 40.0} | {
    "validation/implicit_accuracy": 0.75,
    "validation/accuracy": 0.5,
    "validation/longer_is_chosen": 0.55,
}


def experiment_of_all() -> dict:
    """Two dimensions of which one has a held-out judge, fronts of three and of two points, a weak model."""
    wide = toy.wide_experiment()
    rows = {name: wide["methods"][name] for name in ("base", "guided", "dpo", "args", "soup", "both")}
    rows["soup"]["front"] = {"share": [0.2, 0.8]}
    rows["rloo"] = {"method": "adapter", "adapter": "rloo"}
    rows["untrained"] = {"method": "guided", "arms": {"vowels": "weak"}}
    kept = ("arm", "arm-other", "dpo", "dpo-other", "rm", "weak")
    trained = {name: wide["models"][name] for name in kept}
    trained["rloo"] = {"trainer": "rloo", "dimension": "vowels", "rewards": {"vowels": "rm"}}
    del wide["judges"]["other"]["held_out"]
    return wide | {
        "title": "Made-up answers",
        "models": trained,
        "methods": rows,
        "seeds": [0, 1, 2],
        "claims": {
            "subject": "both",
            "beats": ["args", "untrained"],
            "equivalent": {"to": "dpo"},
            "faster": {"args": 2.0},
            "recovers": {"floor": "base", "ceiling": "dpo", "control": "untrained"},
            "front_over": ["soup"],
        },
    }


@pytest.fixture
def made(loaded):
    experiment = loaded(experiment_of_all(), "made")
    if not experiment.place.answers("base", 0).is_file():  # the project is that of all tests
        write_units(experiment, SHARES, prompts=24, training=TRAINING)
    return experiment


def test_models_with_what_they_are_worth(made):
    found = models(made)
    rm = found["rm"]
    assert rm.accuracy == Estimate(
        0.6, (pytest.approx(0.4904, abs=1e-3), pytest.approx(0.7003, abs=1e-3)), 80
    )
    assert (rm.longer, rm.took("pairs"), rm.seeds) == (0.57, 16.0, 3)
    assert found["arm"].accuracy.value == 0.75, "log p_arm - log p_start, not the sum"
    assert (found["weak"].perplexity, found["weak"].base_perplexity) == (7.2, 3.6)
    assert "2.0 times the base's 3.6" in found["weak"].smoke, "twice is not below twice"


def test_the_table_says_what_claims_rest_on(made):
    results = gathered(made)
    claims = {(claim.kind, claim.other): claim for claim in results.claims}
    assert claims["beats", "untrained"].why.endswith("a smoke test, for weak")
    assert "smoke test" not in claims["beats", "args"].why
    front = claims["front", "soup"]
    assert front.verdict == "inconclusive" and "held out, other by gold: hypervolume" in front.why
    told = " | ".join(results.notes)
    assert "unequal numbers of points (soup 2, both 3)" in told
    assert "rm is not told from a coin on the validation pairs: 0.60" in told
    assert "from 2 times on" in told
    rows = {row.name: dict(zip(columns(results), cells(results, row), strict=True)) for row in results.rows}
    assert rows["args"]["training"] == "1.0 min, 16 pairs"
    assert rows["rloo"]["training"] == "6.0 min, 16 pairs, 960 responses"
    for name in ("perplexity", "adjusted p over dpo", "LC over dpo", "gain, vowels by held out"):
        assert rows["guided"][name], name
    dpo = next(row for row in results.rows if row.name == "dpo")
    assert f"{dpo.over['base'].p_adjusted:.2g}" == rows["dpo"]["adjusted p over base"]
    base = next(row for row in results.rows if row.name == "base")
    assert base.over["dpo"].by["vowels by gold"].value == pytest.approx(
        1 - dpo.over["base"].by["vowels by gold"].value
    )


def test_columns_of_a_judge_that_made_the_labels_have_a_sign_and_a_line_that_says_it(loaded):
    experiment = loaded(experiment_of_all(), "marked")
    write_units(experiment, SHARES, training=TRAINING)
    names = columns(gathered(experiment))
    assert "win rate over base" in names and "gain, vowels by gold" in names
    write_json(experiment.place.pairs("other") / "stats.json", {"labelled_by": ["toy_scorers:vowels, a toy"]})
    names = columns(gathered(experiment))
    signs = {"win rate over base*", "adjusted p over dpo*", "LC over dpo*", "gain, vowels by gold*"}
    assert signs <= set(names) and {n for n in names if "held out" in n} == {"gain, vowels by held out"}
    write_results(experiment)
    for file in ("table.md", "index.html"):
        text = (experiment.place.results / file).read_text()
        assert "Columns with * are by a judge that made the labels" in text, file
        assert "win rate over base*" in text and "gain, vowels by held out*" not in text, file


def test_tokens_read_a_token_stand_there_of_every_row_and_so_does_their_prediction(loaded):
    """Without `speed` they are counted over all answers: write_units has two of the base for each drawn."""
    values = experiment_of_all() | {"speed": None, "claims": None, "over": ["base"]}
    values["methods"]["timed"] = {**values["methods"]["args"], "speed": {"tokens": 4, "batches": [1]}}
    experiment = loaded(values, "untimed")
    write_units(experiment, SHARES, training=TRAINING)
    results = gathered(experiment)
    shown = {row.name: dict(zip(columns(results), cells(results, row), strict=True)) for row in results.rows}
    read = {name: (row["tokens read a token"], row["predicted"]) for name, row in shown.items()}
    assert read["base"] == ("base 2 (with prompts)", "base 1")
    assert read["both"] == ("base 2 (with prompts)", "base 1, arm 2")
    assert read["args"] == ("base 2 (with prompts)", "base 1, reward 3")
    assert read["timed"] == ("base 1", "base 1, reward 3"), "timed without the prompt"


def test_the_best_of_n_has_a_bound_a_response_and_no_kl_a_token(loaded):
    values = experiment_of_all() | {"claims": None, "over": ["base"], "tuning": {"kl": 0.3}}
    values["methods"] |= {
        "best": {"method": "best_of_n", "n": 16, "reward": "rm"},
        "tuned": {"method": "best_of_n", "reward": "rm", "tune": {"n": [2, 4]}},
        "single": {"method": "best_of_n", "n": 1, "reward": "rm"},
    }
    experiment = loaded(values, "bounds")
    write_units(experiment, SHARES, training=TRAINING)
    results = gathered(experiment)
    rows = {row.name: row for row in results.rows}
    shown = {
        name: dict(zip(columns(results), cells(results, row), strict=True)) for name, row in rows.items()
    }
    assert rows["best"].kl_bound == pytest.approx(1.8350887)  # log 16 - 15 / 16
    assert rows["single"].kl_bound is None and shown["single"]["KL"] == f"{rows['single'].kl:.3f}"
    # The made-up answers have a KL a token, as if the policy that drew them were a guided one.
    assert shown["best"]["KL"] == f"{rows['best'].kl:.3f}, and at most 1.84 a response from that"
    assert shown["tuned"]["KL in tuning"] == "0.050, and at most 0.64 a response from that (2 tries)"
    assert distance(0.0, rows["best"].kl_bound) == "at most 1.84 a response"
    assert distance(float("nan"), None) == ""
    write_results(experiment)
    found = json.loads((experiment.place.results / "results.json").read_text())
    (best,) = (row for row in found["rows"] if row["name"] == "best")
    assert best["kl_bound"] == rows["best"].kl_bound and best["kl"] == rows["best"].kl


def test_the_prediction_counts_the_tokens_that_close_a_turn(loaded):
    experiment = loaded(toy.wide_experiment(), "closing")
    folder, base = experiment.place.model("rm", 0), experiment.base.path
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(base)  # whose tokenizer a reward model has
    closing = len(ConversationReader(load_tokenizer(resolve(str(base)))).closing)
    assert closing > 0
    for row, reads in (("args", 3), ("transfer", 2 * (2 + 1 + closing))):
        assert predicted(experiment, row, experiment.shown_settings(row))["reward"] == reads, row
    (table,) = (unit for unit in units(experiment) if unit.name == "table")
    assert folder in table.reads


def test_page_table_and_numbers_are_written_alike_twice(made):
    write_results(made)
    files = {path.name: path.read_bytes() for path in made.place.results.iterdir()}
    write_results(made)
    assert {path.name: path.read_bytes() for path in made.place.results.iterdir()} == files
    found = json.loads(files["results.json"])
    assert [model["name"] for model in found["models"]] == list(experiment_of_all()["models"])
    page, table = files["index.html"].decode(), files["table.md"].decode()
    for text in ("0.60 [0.49, 0.70] n=80", "960 responses", "best worst dimension", "adjusted p over dpo"):
        assert text in page and text in table, text
    assert page.count('<svg class="plane"') == 1 + 2 * 3  # strength; of two judges both rows and each of them
