"""A number with its noun, as people read them: `1 row`, `2 rows`."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """The number and the noun, whose plural ends in `s` unless it is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"
