"""The chart of training speeds: an SVG, made as text.

Reads page.py, pool.py, results.py and workloads.py; read by cli/_bench.py.

a) A row for each job, a dot for each library: its speed over that of the best library but ours, on a logarithmic axis.
   Bars of jobs whose rows per second differ by a factor of 10,000 would tell nothing.
b) One light background, so that it reads the same on any page.
"""

import math
from html import escape

from fusednet.bench import pool
from fusednet.bench.page import best_other, better, geometric_mean, names_of, ratio
from fusednet.bench.results import OURS, Results
from fusednet.bench.workloads import named, ordered

WIDTH, ROW, LEFT, RIGHT, TOP, BOTTOM = 930, 36, 168, 76, 102, 52
LEAST, MOST = 1 / 64, 16
"""Ends of the axis, times the best other's speed; what is slower stands at the left end."""

STYLE = "font-family='Helvetica, Arial, sans-serif' font-size='13' fill='#222222'"

SMALL = "font-size='12' fill='#666666'"


def place(value: float, most: float = MOST) -> float:
    """Across, of a ratio."""
    part = math.log(min(max(value, LEAST), most) / LEAST) / math.log(most / LEAST)
    return LEFT + part * (WIDTH - LEFT - RIGHT)


def _text(x: float, y: float, words: str, anchor: str = "start", more: str = "") -> str:
    return f"<text x='{x:.1f}' y='{y:.1f}' text-anchor='{anchor}' {more}>{escape(words)}</text>"


def _axis(height: float) -> list[str]:
    parts, value = [], LEAST
    while value <= MOST:
        x = place(value)
        stroke = "#222222' stroke-dasharray='4 3" if value == 1 else "#e2e2e2"
        parts.append(f"<line x1='{x:.1f}' y1='{TOP}' x2='{x:.1f}' y2='{height - BOTTOM}' stroke='{stroke}'/>")
        words = f"{value:g}x" if value >= 1 else f"1/{1 / value:g}"
        parts.append(_text(x, height - BOTTOM + 18, words, "middle", SMALL))
        value *= 2
    words = "training speed; 1x is the best other library on that job (logarithmic)"
    return [*parts, _text((LEFT + WIDTH - RIGHT) / 2, height - 12, words, "middle", SMALL)]


def _legend(names: list[str]) -> list[str]:
    parts, x, y = [], LEFT, 62
    for name in names:
        title = pool.LIBRARIES[name].title
        width = 28 + 7.2 * len(title)
        if x + width > WIDTH - 10:
            x, y = LEFT, y + 20
        parts.append(f"<circle cx='{x:.1f}' cy='{y}' r='5' fill='{pool.LIBRARIES[name].color}'/>")
        parts.append(_text(x + 10, y + 4.5, title, more="font-size='12'"))
        x += width
    return parts


def svg(results: Results) -> str:
    """The picture, of all jobs on which another library was measured too; there must be one."""
    jobs = [job for job in ordered(results.training) if ratio(results.training[job])]
    names = names_of(results)
    height = TOP + ROW * len(jobs) + BOTTOM
    where = "; ".join(results.facts.get(name, "").partition(";")[0] for name in ("processor", "date"))
    mean = geometric_mean([ratio(results.training[job]) for job in jobs])
    parts = [
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {WIDTH} {height}' width='{WIDTH}' {STYLE}>",
        f"<rect width='{WIDTH}' height='{height}' fill='#ffffff'/>",
        _text(LEFT, 22, f"Training speed beside the best other library, {mean:.1f}x in the geometric mean", "start",
              "font-size='15' font-weight='bold'"),
        _text(LEFT, 40, where, more=SMALL),
        *_legend(names), *_axis(height),
    ]  # fmt: skip
    for i, job in enumerate(jobs):
        libraries, y = results.training[job], TOP + ROW * (i + 0.5)
        one = best_other(libraries)[2].best
        parts += [_text(LEFT - 12, y - 1, job, "end"), _text(LEFT - 12, y + 12, named(job).network, "end",
                                                             "font-size='10' fill='#666666'")]
        ours = one / better(libraries[OURS])[1].best
        parts.append(f"<line x1='{place(1):.1f}' y1='{y}' x2='{place(ours):.1f}' y2='{y}' stroke='#c0392b' "
                     "stroke-width='4' stroke-opacity='0.35'/>")
        found = {name: better(libraries.get(name, {})) for name in names}
        speeds = {name: one / reached[1].best for name, reached in found.items() if reached}
        for name in sorted(speeds, key=lambda name, speeds=speeds: (name == OURS, speeds[name])):  # the best on top
            parts.append(f"<circle cx='{place(speeds[name]):.1f}' cy='{y}' r='{7 if name == OURS else 5}' "
                         f"fill='{pool.LIBRARIES[name].color}' stroke='#ffffff'/>")
        parts.append(_text(WIDTH - RIGHT + 14, y + 4.5, f"{ours:.2f}x", more="font-weight='bold'"))
    return "\n".join([*parts, "</svg>", ""])
