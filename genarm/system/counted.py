"""Numbers as people read them: `1 row`, `2 rows`, `12.3 MB`."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """The number and the noun, whose plural ends in `s` unless it is given."""
    return f"{number} {noun if number == 1 else plural or f'{noun}s'}"


def byte_size(number: int) -> str:
    """Bytes in powers of 1000: `12.3 MB`."""
    size, unit = float(number), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{number} B" if unit == "B" else f"{size:.1f} {unit}"
