"""Files that a command reads back, damaged in every way: one line that names the file, and a way out."""

import pytest

from genarm.system.files import write_curves, write_json, write_rows

DAMAGES = {
    "missing": None,
    "a folder": None,
    "empty": lambda content: b"",
    "cut short": lambda content: content[: len(content) // 2 + 1],
    "not UTF-8": lambda content: content[:2] + b"\xff\xfe" + content[2:],
    "of another type": lambda content: b"[17, true]\n",
    "of other names": lambda content: content.replace(b"p", b"q"),
    "binary": lambda content: bytes(range(256)),
}
VERDICTS, RESPONSES = "artifacts/verdicts/length.jsonl", "artifacts/responses"
# Every file that a command reads back, by the command.
READ = {
    "judge length": [
        "artifacts/prompts.jsonl",
        f"{RESPONSES}/base.jsonl",
        f"{RESPONSES}/challenger/length.jsonl",
    ],
    "decide": [
        "mlflow/incumbents.json",
        "judge-checks.json",
        f"{RESPONSES}/base.jsonl",
        f"{RESPONSES}/challenger/length.jsonl",
        VERDICTS,
        "artifacts/tune/length/tuned.json",
    ],
    "report": [
        "artifacts/tune/length/tuned.json",
        "artifacts/decisions.json",
        "artifacts/scorecards.json",
        "artifacts/lineage.json",
        "artifacts/prompts.jsonl",
        "artifacts/pairs/length/stats.json",
        "artifacts/pairs/length/quarantine.jsonl",
        "artifacts/arms/length/arm.json",
        "artifacts/train/length/metrics.json",
        "artifacts/train/length/curves.csv",
        f"{RESPONSES}/base.jsonl",
        VERDICTS,
    ],
    "respond base": ["params.yaml"],
}
HARMLESS = {
    ("missing", "artifacts/lineage.json"),
    ("missing", "judge-checks.json"),  # of a project of an earlier version
    ("of other names", "judge-checks.json"),
    ("empty", "artifacts/pairs/length/quarantine.jsonl"),
    ("of other names", "artifacts/prompts.jsonl"),  # no name in it has a p
    ("of other names", "artifacts/lineage.json"),
    ("of other names", "artifacts/pairs/length/quarantine.jsonl"),
    ("of other names", "artifacts/train/length/metrics.json"),
}


@pytest.fixture
def decided(run, answered):
    """A project in which every command above has what it reads."""
    write_json(answered.lineage, {"flow run": "f-1"})
    write_json(answered.judge_checks, {"length": None, "brief": None})
    write_rows(answered.quarantine("length"), [{"dimension": "length", "reason": "empty prompt"}] * 3)
    write_curves(answered.train_curves("length"), [{"step": i, "loss": 1 / i} for i in range(1, 9)])
    assert run("judge", "length")[0] == 0 and run("decide")[0] == 0
    return answered


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize(
    ("command", "name"), [(c, n) for c, names in READ.items() for n in names], ids=lambda v: v
)
def test_a_damaged_file_is_one_line_that_names_it(command, name, damage, run, decided):
    if (damage, name) in HARMLESS:
        return
    file = decided.root / name
    content = file.read_bytes()
    file.unlink()
    if damage == "a folder":
        file.mkdir()
    elif damage != "missing":
        file.write_bytes(DAMAGES[damage](content))
    code, out, err = run(*command.split())
    assert (code, out) == (1, ""), err
    told = err.splitlines()
    assert told[0].startswith("error: ") and "hint: " in err and len(told) <= 2
    assert any(name in told[0] for name in (file.name, "length", "project", "prompt"))
