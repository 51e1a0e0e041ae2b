"""Tables as text and as Markdown, and numbers in a few digits.

Reads nothing; read by all that shows figures. A table is a list of rows of text, the first of them the head.
"""

FIRST = frozenset({0})


def plain(rows: list[list[str]], left: frozenset[int] = FIRST) -> str:
    """For a terminal; columns of words, those in `left`, begin at the left."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = enumerate(zip(row, widths, strict=True))
        lines.append("  ".join(f"{cell:<{width}}" if i in left else f"{cell:>{width}}" for i, (cell, width) in cells))
    return "\n".join(line.rstrip() for line in lines) + "\n"


def markdown(rows: list[list[str]], left: frozenset[int] = FIRST) -> str:
    marks = ["---" if i in left else "---:" for i in range(len(rows[0]))]
    return "\n".join("| " + " | ".join(row) + " |" for row in [rows[0], marks, *rows[1:]]) + "\n"


def number(value: float) -> str:
    """Three digits."""
    if value >= 1e6:
        return f"{value / 1e6:.3g} M"
    return f"{value / 1e3:.3g} k" if value >= 1e4 else f"{value:,.0f}"


def seconds(value: float) -> str:
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value * 1e9:.0f} ns"


def threads(count: int | str) -> str:
    return f"{count} thread{'' if int(count) == 1 else 's'}"
