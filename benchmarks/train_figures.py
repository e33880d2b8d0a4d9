"""The figures of the training benchmark as tables: pairs/s, tokens/s, memory, and the ratios to reach."""

from collections.abc import Mapping

from decode_figures import Wanted, ratios
from rich.console import Group
from rich.table import Table

Figures = Mapping[str, float]
ROW_TITLES = {
    "trl_dpo": "TRL DPO",
    "trl_cpo": "TRL CPO, SFT weight 0",
    "plain": "ours, two padded rows a pair",
    "ours": "ours",
    "limit": "limit of arithmetic",
    "trl_cpo_top8": "TRL CPO, top layers",
    "ours_top8": "ours, top layers",
    "limit_top8": "limit of arithmetic, top layers",
}
WANTED = (
    Wanted("ours / TRL CPO", "ours", "trl_cpo", 1.6),
    Wanted("ours / TRL DPO", "ours", "trl_dpo", 2.3),
    Wanted("the same with adapters on the top layers: ours / TRL CPO", "ours_top8", "trl_cpo_top8", 1.7),
    Wanted("peak memory, ours / TRL DPO", "mem_ours_mb", "mem_trl_dpo_mb", 0.7, most=True),
)


def tables(figures: Figures, spread: Mapping[str, tuple[float, float]]) -> Group:
    """A line a row, slowest and fastest repeat in brackets, and the ratios beside what is wanted of them."""
    return Group(_rows(figures, spread), _ratios(figures))


def _rows(figures: Figures, spread: Mapping[str, tuple[float, float]]) -> Table:
    table = Table(title="training: median (slowest to fastest repeat)", title_justify="left")
    table.add_column("row")
    for name in ("pairs/s", "tokens/s", "peak memory"):
        table.add_column(name, justify="right")
    for row, title in ROW_TITLES.items():
        if row in figures:
            pairs = f"{figures[row]:.2f}"
            if row in spread:
                pairs += " ({:.2f} to {:.2f})".format(*spread[row])
            tokens, memory = figures.get(f"tokens_per_s_{row}"), figures.get(f"mem_{row}_mb")
            table.add_row(
                title,
                pairs,
                "" if tokens is None else f"{tokens:.0f}",
                "" if memory is None else f"{memory:.0f} MB",
            )
    return table


def _ratios(figures: Figures) -> Table:
    table = ratios(figures, WANTED, "ratios; wanted on HH helpful pairs, on two cores")
    for title, above, below in (
        ("ours / plain", "ours", "plain"),
        ("ours / its limit", "ours", "limit"),
        ("top layers: ours / its limit", "ours_top8", "limit_top8"),
    ):
        if above in figures and below in figures:
            table.add_row(title, f"{figures[above] / figures[below]:.2f}", "", "")
    return table
