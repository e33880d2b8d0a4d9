"""The figures of the decoding benchmark as tables: tokens/s, and the ratios that are to be reached."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.console import Console, Group
from rich.table import Table

Figures = Mapping[str, float]
ROW_TITLES = {
    "hf_base": "HF generate, base alone",
    "hf_processor": "HF generate, 1 ARM in a LogitsProcessor",
    "hf_processor4": "HF generate, 4 ARMs in LogitsProcessors",
    "hf_static": "HF generate, base alone, static cache, compiled",
    "eager": "base alone, eager steps",
    "base": "base alone",
    "compiled": "base alone, compiled layers",
    "eager_shared1": "1 ARM, top layers, eager steps",
    "shared1": "1 ARM, top layers",
    "contrast1": "1 ARM, top layers, by contrast",
    "shared2": "2 ARMs, top layers",
    "shared4": "4 ARMs, top layers",
    "shared1_all": "1 ARM, all layers",
    "shared4_all": "4 ARMs, all layers",
    "separate1": "1 ARM, a model of its own",
    "strong_base": "strong base alone",
    "guided_strong": "strong base, 1 small ARM",
    "spec_guided": "the same, speculative",
    "limit_weights": "limit: the weights read once a step",
    "limit_shared1": "limit: 1 ARM, top layers",
    "limit_shared2": "limit: 2 ARMs, top layers",
    "limit_shared4": "limit: 4 ARMs, top layers",
    "limit_shared1_all": "limit: 1 ARM, all layers",
    "limit_shared4_all": "limit: 4 ARMs, all layers",
    "limit_separate1": "limit: 1 ARM, a model of its own",
}


WAYS = {
    "hf_base": "HF eager",
    "hf_static": "HF static cache",
    "eager": "eager",
    "base": "as it is loaded",  # on CUDA recorded as graphs, elsewhere eager
    "compiled": "compiled",
    "limit_weights": "weights read once",
}


@dataclass(frozen=True, slots=True)
class Wanted:
    """A ratio of two figures and its bound; `most` where it is to be no more than that."""

    title: str
    above: str
    below: str
    bound: float
    most: bool = False

    def compared(self, figures: Figures) -> tuple[float, bool] | None:
        """The ratio and whether it is reached; None where it was not measured."""
        if self.above not in figures or self.below not in figures:
            return None
        ratio = figures[self.above] / figures[self.below]
        return ratio, ratio <= self.bound if self.most else ratio >= self.bound


def _wanted(title: str, above: str, below: str, **bounds: float) -> list[Wanted]:
    return [Wanted(f"{title}, {job}", f"{above}_{job}", f"{below}_{job}", b) for job, b in bounds.items()]


CPU = [
    *_wanted("base alone / HF generate", "base", "hf_base", b1=1.0, b8=1.0, b32=1.1, varied=1.5),
    *_wanted("1 ARM (top) / base alone", "shared1", "base", b1=0.8),
    *_wanted("1 ARM (top) / its limit", "shared1", "limit_shared1", b32=0.9),
    *_wanted("1 ARM (top), contrast / sum", "contrast1", "shared1", b1=0.97, b32=0.93),
    *_wanted("4 ARMs (top) / base alone", "shared4", "base", b1=0.6),
    *_wanted("4 ARMs (top) / their limit", "shared4", "limit_shared4", b32=0.9),
    *_wanted("1 ARM (all) / base alone", "shared1_all", "base", b1=0.75),
    *_wanted("1 ARM (all) / its limit", "shared1_all", "limit_shared1_all", b32=0.9),
    *_wanted("1 ARM (top) / HF LogitsProcessor", "shared1", "hf_processor", b1=1.5, b8=1.25, b32=1.25),
    *_wanted("4 ARMs (top) / 4 HF LogitsProcessors", "shared4", "hf_processor4", b1=2.5, b32=1.6),
    Wanted("memory, 4 ARMs / base alone", "mem_shared4_mb", "mem_base_mb", 1.25, most=True),
    *_wanted("speculative guided / strong base alone", "spec_guided", "strong_base", b1=1.3),
]
GPU = _wanted("1 ARM (top) / base alone", "shared1", "base", b1=0.9, b64=0.8)


def tables(
    figures: Figures, spread: Mapping[str, tuple[float, float]], jobs: Sequence[str], gpu: bool
) -> Group:
    """Tokens/s by row and job, slowest and fastest repeat in brackets, and the ratios."""
    return Group(
        _speeds(figures, spread, jobs),
        _ways(figures, jobs),
        _others(figures),
        ratios(figures, GPU if gpu else CPU),
    )


def show(console: Console, *things: object) -> None:
    """Print in full width also where there is no terminal."""
    console.print(*things, highlight=False)


def _speeds(figures: Figures, spread: Mapping[str, tuple[float, float]], jobs: Sequence[str]) -> Table:
    table = Table(title="tokens/s: median (slowest to fastest repeat)", title_justify="left")
    table.add_column("row")
    for job in jobs:
        table.add_column("varied" if job == "varied" else f"batch {job[1:]}", justify="right")
    for row, title in ROW_TITLES.items():
        cells = []
        for job in jobs:
            key = f"{row}_{job}"
            cell = f"{figures[key]:.1f}" if key in figures else ""
            if key in spread:
                cell += " ({:.1f} to {:.1f})".format(*spread[key])
            cells.append(cell)
        if any(cells):
            table.add_row(title, *cells)
    return table


def _ways(figures: Figures, jobs: Sequence[str]) -> Table:
    """The base alone, by how its steps are run, beside what reading the weights allows."""
    table = Table(title="base alone: ms a step of the batch", title_justify="left")
    table.add_column("batch", justify="right")
    for title in WAYS.values():
        table.add_column(title, justify="right")
    for job in jobs:
        speeds = [figures.get(f"{row}_{job}") for row in WAYS]
        if job != "varied" and any(speeds):
            size = int(job[1:])
            table.add_row(str(size), *("" if s is None else f"{1000 * size / s:.2f}" for s in speeds))
    return table


def _others(figures: Figures) -> Table:
    table = Table(show_header=False)
    for key, title, unit in (
        ("acceptance", "accepted of the drafted tokens that were tested", ""),
        ("mem_base_mb", "peak resident memory, base alone", " MB"),
        ("mem_shared4_mb", "peak resident memory, 4 ARMs", " MB"),
    ):
        if key in figures:
            table.add_row(title, f"{figures[key]:.2f}{unit}" if not unit else f"{figures[key]:.0f}{unit}")
    return table


def ratios(figures: Figures, wanted: Sequence[Wanted], title: str = "ratios") -> Table:
    """Each ratio beside what is wanted of it."""
    table = Table(title=title, title_justify="left")
    for name in ("ratio", "measured", "wanted", ""):
        table.add_column(name, justify="left" if name in ("ratio", "") else "right")
    for figure in wanted:
        if compared := figure.compared(figures):
            ratio, met = compared
            bound = f"{'at most' if figure.most else 'at least'} {figure.bound:g}"
            table.add_row(figure.title, f"{ratio:.2f}", bound, "met" if met else "[red]not met[/]")
    return table
