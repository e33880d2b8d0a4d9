"""How far something long has come: a bar on a terminal, else a line every tenth of the way, on stderr."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def counting(title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Gives a function that takes how many more of at most `total` are done."""
    console = Console(stderr=True)
    done = 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        bar = progress.add_task(title, total=total)

        def advance(count: int) -> None:
            nonlocal done
            if not console.is_terminal and done * 10 // total < (done + count) * 10 // total:
                console.print(f"{title}: {done + count} of at most {total} {unit}", highlight=False)
            done += count
            progress.advance(bar, count)

        yield advance
