"""Names of metrics are defined in one file, and keep the values that curves of earlier trainings have."""

import ast
from pathlib import Path

from genarm.system import metric_names

ROOT = Path(__file__).parents[2]
ALL = {value for name, value in vars(metric_names).items() if name.isupper() and isinstance(value, str)}
ALL -= {metric_names.HELD_OUT}  # no name, but the end of some
# What a decision rests on is called as the fields of the nouns are, which are spelled wherever they are read.
NAMES = {n for n in ALL if not metric_names.is_of_decision(n)} | {metric_names.EVALUATION_ACCURACY}
# The same word where it is no name of a curve: a comparison that was lost, a column of statistics of pairs,
# a choice of a parameter.
OTHER_MEANINGS = {("genarm/report/cases.py", "loss"), ("genarm/synthesis/card.py", "longer_is_chosen")}
OTHER_MEANINGS |= {("genarm/config/train.py", "implicit_accuracy")}


def strings(path: Path) -> set[str]:
    """The string literals of a file; docstrings left out, f-strings part by part."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    prose = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return {
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in prose
    }


def test_no_other_file_spells_the_name_of_a_metric() -> None:
    files = [*(ROOT / "genarm").rglob("*.py"), *(ROOT / "flows").rglob("*.py")]
    spelled = {
        (path.relative_to(ROOT).as_posix(), text)
        for path in files
        if path != Path(metric_names.__file__)
        for text in strings(path)
        if text in NAMES or text.startswith(metric_names.EVALUATION_PREFIX)
    }
    assert spelled == OTHER_MEANINGS


def test_the_names_are_those_of_stored_curves() -> None:
    """Curves of earlier trainings are read by these names: one that is edited by mistake fails here."""
    of_a_step = {"loss", "grad_norm", "rewards/accuracies", "rewards/margins", "rewards/chosen"}
    of_a_step |= {"rewards/rejected", "logps/chosen", "logps/rejected"}
    diagnostics = {"drift/chosen", "drift/rejected", "perplexity/chosen", "kl_to_base"}
    diagnostics |= {"longer_is_chosen", "over_longer", "implicit_accuracy", "implicit_margin"}
    diagnostics |= {"implicit_brier", "implicit_calibration_error", "brier", "calibration_error"}
    diagnostics |= {"judge_accuracy", "judge_accuracy_lower", "judge_accuracy_upper"}
    diagnostics |= {"judge_longer_is_chosen", "judge_pairs"}
    evaluations = {"eval/", "eval/loss", "eval/rewards/accuracies", "eval/rewards/margins"}
    assert {"step", "epoch"} | of_a_step | diagnostics | evaluations == NAMES
    of_a_decision = {"win_rate", "win_rate_lower", "win_rate_upper", "win_rate_n", "p_value", "p_adjusted"}
    of_a_decision |= {"looks", "perplexity", "repetition", "kl", "mean_tokens", "eval/longer_is_chosen"}
    of_a_decision |= {"eval/rewards/accuracies", "eval/implicit_accuracy"}
    assert of_a_decision - evaluations == ALL - NAMES
    assert metric_names.is_of_decision(metric_names.guard_name("win_rate", "plain"))


def test_a_row_of_the_curves_is_of_a_step_or_of_an_evaluation() -> None:
    step, evaluation, summary = {"loss": 0.7}, {"eval/loss": 0.6}, {"train_runtime": 9.0}
    assert [metric_names.is_curve_row(row) for row in (step, evaluation, summary)] == [True, True, False]
    assert [metric_names.is_evaluation_row(row) for row in (step, evaluation)] == [False, True]
