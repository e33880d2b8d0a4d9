"""Progress on standard error: a bar on a terminal, elsewhere a line at every tenth."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress


@contextmanager
def counting(title: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that takes how many more of at most `total` units are done."""
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
