"""The unit `judge-*`: who is compared with whom, and what is scored for it."""

import shutil
from dataclasses import replace

import numpy as np
import toy_experiment as toy
from written_units import write_units

from genarm.experiments.answer import Answer
from genarm.experiments.judge import Judged
from genarm.experiments.measured import Measured
from genarm.system.files import read_rows

NOTING = """
from toy_scorers import vowels


class Noting:
    def score(self, prompt, response):
        with open({file!r}, "a") as file:
            file.write(f"{{prompt.id}} {{response}}\\n")
        return vowels(response)
"""
BY_NOTING = {"judges": {"vowels": {"gold": "noting:Noting", "held_out": "toy_scorers:digits"}}}


def test_a_row_of_one_seed_is_compared_with_every_seed_of_another(loaded):
    """Base over guided is one less guided over base, seed by seed, by its verdicts and in its interval."""
    values = toy.toy_experiment() | {"over": ["base", "guided"]}
    experiment = loaded(values)
    write_units(experiment, {"guided": 0.5})
    rows = {row: Measured(experiment, row) for row in values["methods"]}
    over_base = rows["guided"].outcomes("base", "vowels", "gold")
    assert over_base.shape == (2, 24)
    assert not np.array_equal(over_base[0], over_base[1])
    np.testing.assert_array_equal(rows["base"].outcomes("guided", "vowels", "gold"), 1 - over_base)
    assert rows["sharpened"].outcomes("guided", "vowels", "held_out").shape == (2, 24)
    assert rows["sharpened"].outcomes("base", "vowels", "gold").shape == (1, 24)


def test_a_response_is_scored_once_for_all_rows_that_are_compared_with_it(loaded, toy_project, tmp_path):
    """By a judge that notes what it is asked; its verdicts are those of the function that it calls."""
    values, share = toy.toy_experiment() | {"over": ["base", "guided"]}, {"guided": 0.5}
    asked = tmp_path / "asked"
    (toy_project / "noting.py").write_text(NOTING.format(file=str(asked)))
    plain, noting = loaded(values, "plain"), loaded(values | BY_NOTING, "noting")
    write_units(plain, share)
    write_units(noting, share)
    files = [noting.place.answers(row, seed) for row in values["methods"] for seed in noting.seeds(row)]
    given = {f"{a.response.prompt_id} {a.response.text}" for file in files for a in read_rows(file, Answer)}
    prompts = {line.split(" ")[0] for line in given}
    lines = [line for line in asked.read_text().split("\n") if line.split(" ")[0] in prompts]
    assert sorted(lines) == sorted(given)
    for row in values["methods"]:
        ours, theirs = (read_rows(e.place.verdicts(row), Judged) for e in (noting, plain))
        assert [replace(j, identity="") for j in ours] == [replace(j, identity="") for j in theirs]


def test_what_was_scored_counts_for_the_same_judge_and_response_alone(loaded, toy_project, tmp_path):
    """Scores are lost, or the judge or the responses are others: it is asked again, else it is not."""
    values = toy.toy_experiment() | BY_NOTING
    asked = tmp_path / "asked"
    text = NOTING.format(file=str(asked))
    (toy_project / "noting.py").write_text(text)
    experiment = loaded(values, "again")

    def times(share: float) -> int:
        asked.write_text("")
        write_units(experiment, {"guided": share})
        return len(asked.read_text().splitlines())

    first, without = times(0.5), times(0.5)
    assert without < 10 < first  # the check of a judge of one's own asks it, too
    assert times(0.6) > without
    shutil.rmtree(experiment.place.kept_scores)
    assert times(0.6) == first
    (toy_project / "noting.py").write_text(text + "# another version\n")
    assert times(0.6) == first
