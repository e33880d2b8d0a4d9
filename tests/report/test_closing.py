"""The last words of a run: a long reason is shortened on the screen, with its way out."""

from rich.console import Console

from genarm.report.closing import decisions_table, shortened
from genarm.types import Decision

WEAK = (
    "judge gpt-4.1-mini-2025-04-14 (fp_5f3a) at api.openai.com, read from log-probabilities, "
    "asked by helpful 0f1e2d3c: agreement with people 0.27 [0.23, 0.32] n=419 on llmbar.jsonl is below 0.5; "
    "agreement with people 0.52 [0.48, 0.56] n=760 on pandalm.jsonl is not shown to exceed 0.5: take a "
    "better judge and check it (genarm judge-check helpful FILE), or name helpful in decide.weak_judges"
)


def test_a_long_reason_keeps_its_beginning_and_its_way_out():
    short = shortened(WEAK)
    assert (
        len(short) < 295
        and "people 0.27 [0.23" in short
        and short.startswith("judge gpt-4.1-mini-2025-04-14 (fp_5f3a)")
        and " … " in short
    )
    assert short.endswith("(genarm judge-check helpful FILE), or name helpful in decide.weak_judges")
    usual = "plain: win rate 0.80 [0.72, 0.86] n=120 over base, adjusted p 2.2e-11 < 0.01, gain 0.30 >= 0.02"
    assert shortened(usual) == usual


def test_the_table_says_where_the_rest_is():
    def drawn(*reasons: str) -> str:
        console = Console(width=100)
        with console.capture() as capture:
            console.print(decisions_table([Decision("helpful", "hold", reasons, "a" * 64, None)]))
        return capture.get()

    assert "reasons in full: artifacts/decisions.json" in drawn(WEAK) and "0.48" not in drawn(WEAK)
    assert "decisions.json" not in drawn("helpful: win rate 0.80")
