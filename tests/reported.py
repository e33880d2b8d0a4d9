"""What a report is made of, in the tests: sixty prompts, two challengers, and a reader of the page."""

from dataclasses import replace
from html.parser import HTMLParser

from genarm.config import RuleConfig
from genarm.evaluation.rule import conditions, decide
from genarm.evaluation.scorecard import score
from genarm.report.given import ReportInput
from genarm.types import ArmCard, Champion, Message, Prompt, Response, Side, Verdict

DIMENSIONS = ("positive", "plain")
TOPICS = (
    "a rainy Sunday",
    "my first 10 km run",
    "the moon landing",
    "sourdough that will not rise",
    "tax forms",
)


def made(*, champion: bool = True) -> ReportInput:
    """Two challengers on 60 prompts: `positive` wins two in three, `plain` is even; nothing is random."""
    prompts = [
        Prompt((Message("user", f"What should I know about {TOPICS[i % 5]}? Please keep it short ({i})."),))
        for i in range(60)
    ]
    used = Champion(3, "m-3", "c" * 64, 1.0) if champion else None
    names: list[Side] = ["base", "champion", "challenger"] if champion else ["base", "challenger"]
    rivals: list[Side] = ["champion", "base"] if champion else ["base"]
    responses: dict[str, dict[Side, list[Response]]] = {}
    verdicts: dict[str, list[Verdict]] = {}
    for dimension in DIMENSIONS:
        responses[dimension] = {
            side: [
                Response(
                    p.id,
                    f"{side} on {dimension}: start small and enjoy what works. {'And more. ' * (i % 7)}",
                    30 + (i * (3 + len(side))) % 23,
                    "length" if i % 3 else "stop",
                    -60.0 - i % 5,
                    0.0 if side == "base" else 0.21,
                    [(6, 0.7), (3, -1.2), (4, 0.1)] if side == "challenger" else None,
                )
                for i, p in enumerate(prompts)
            ]
            for side in names
        }
        verdicts[dimension] = [
            _verdict(p.id, judged, rival, _preference(i, judged == dimension == "positive"), i)
            for judged in DIMENSIONS
            for rival in rivals
            for i, p in enumerate(prompts)
        ]
    cards = [score(d, "a" * 64, used, responses[d], verdicts[d]) for d in DIMENSIONS]
    train = {"pairs": 820, "prompts": 205, "longer_is_chosen": 0.58}
    tokens = {"mean": 41.5, "p50": 40, "p95": 62, "max": 64}
    stats = {
        "rows": 1300, "pairs": 1290, "refused": {"empty response": 6, "duplicate": 4}, "refused_share": 0.005,
        "prompt": tokens, "chosen": tokens, "rejected": tokens,
        "splits": {"train": train, "validation": {**train, "pairs": 100}, "evaluation": train},
    }  # fmt: skip
    return ReportInput(
        decisions=decide(cards, RuleConfig()),
        scorecards=cards,
        conditions=dict(zip(DIMENSIONS, conditions(cards, RuleConfig()), strict=True)),
        cards={d: _arm(d) for d in DIMENSIONS},
        train_metrics={
            d: {
                "validation/implicit_accuracy": 0.71,
                "validation/implicit_accuracy_longer_chosen": 0.8,
                "validation/implicit_accuracy_shorter_chosen": 0.35,
                "validation/implicit_margin": 1.2,
                "validation/implicit_brier": 0.24,
                "validation/pairs_longer_chosen": 70.0,
                "validation/pairs_shorter_chosen": 60.0,
                "validation/pairs_equal_length": 0.0,
                "validation/accuracy": 0.47,
                "validation/longer_is_chosen": 0.54,
                "validation/kl_to_base": 0.8,
                "validation/pairs": 130.0,
                "train/tokens": 61000.0,
                "train/seconds": 143.2,
                "train/loss": 4.1e-6,
            }
            for d in DIMENSIONS
        },
        curves={d: _curves() for d in DIMENSIONS},
        prompts=prompts,
        responses=responses,
        verdicts=verdicts,
        pair_stats={"positive": {**stats, "labelled_by": ["vowels, 1.0"]}, "plain": stats},
        quarantine=[
            {"dimension": "plain", "file": "plain.jsonl", "row": i, "reason": r} for i, r in enumerate("aab")
        ],
        weights=dict.fromkeys(DIMENSIONS, 0.25),
        sampling={"temperature": 1.0, "top_p": 0.95, "max_new_tokens": 64, "seed": 0},
        respond_seconds={"base": 30.0},
        lineage={
            "date": "2026-11-26",
            "git commit": "9" * 40,
            "git dirty": "true",
            "git page": f"https://github.com/o/r/commit/{'9' * 40}",
            "data md5": "8" * 32 + ".dir",
            "mlflow server": "https://mlflow.example.org",
            "prefect server": "",
            "version of positive": "4",
            "flow run": "f-1",
        },
    )


def _preference(i: int, better: bool) -> float | None:
    if i % 17 == 3:
        return 0.0 if i % 2 else None
    return 1.0 if (i * 7) % 60 < (44 if better else 30) else -1.0


def _verdict(prompt: str, judged: str, rival: Side, preference: float | None, i: int) -> Verdict:
    """The base has 10 less than a winner and 10 more than a loser; each prompt has another distance."""
    scores = None if preference is None else (50.0 + i + 10 * preference, 50.0 + i)
    return Verdict(prompt, judged, "challenger", rival, preference, scores, "vowels, 1.0")


def _arm(dimension: str) -> ArmCard:
    params = {"train": {"beta": 0.1, "learning_rate": 5e-4}, "pairs": {"seed": 0}}
    return ArmCard(
        dimension, "smollm2-135m-instruct", None, "b" * 64, "smollm2-135m-instruct", None, "d" * 64, "a" * 64,
        0.1, 1.0, "e" * 64, "8" * 32, "9" * 40, params,
    )  # fmt: skip


def _curves() -> list[dict[str, float]]:
    rows: list[dict[str, float]] = []
    for step in range(1, 52):
        value = 0.69 * 0.985**step + 0.02 * ((step * 7) % 5 - 2)
        accuracy = min(1.0, 0.5 + step / 200 + 0.04 * ((step * 3) % 5 - 2))
        rows.append(
            {"step": step, "loss": value, "rewards/accuracies": accuracy, "rewards/margins": step / 60}
        )
        if step % 10 == 0:
            rows.append(
                {"step": step, "eval/loss": value + 0.02, "eval/rewards/accuracies": 0.5 + step / 240}
            )
    return rows


class Outline(HTMLParser):
    """Tags, and text that a reader sees; fails on a tag that is never closed."""

    VOID = ("meta", "br", "img", "link")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def with_text(given: ReportInput, text: str) -> ReportInput:
    """The same input where every text that a stranger may have written is `text`."""
    prompt = Prompt((Message("user", text), Message("assistant", text), Message("user", text)))
    return replace(
        given,
        prompts=[prompt],
        responses={
            d: {side: [replace(rows[0], prompt_id=prompt.id, text=text)] for side, rows in sides.items()}
            for d, sides in given.responses.items()
        },
        quarantine=[{"dimension": "plain", "reason": text}],
        lineage={text: text},
        train_metrics={"plain": {text: 1.0}},
    )
