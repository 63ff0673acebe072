"""Charts as SVG, without scripts and styles of their own. Pure."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

from markupsafe import Markup

from crawlerd.service.page.page_texts import rate

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 600, 150
TOP, BOTTOM = 24, 128  # edges of the plotted area; texts are above and below
MOST_POINTS = 300
LEAST_SPAN = 60  # seconds that a chart has room for at least


def line_chart(
    values: Sequence[float | None],
    ceiling: Sequence[float | None],
    label: str,
    span: str,
    places: int = 600,
    end: str = "now",
) -> Markup:
    """A chart of a value over time.

    values: the oldest first; None if unknown.
    ceiling: the permitted values.
    label: what the chart shows.
    span: the length of time, in words.
    places: how many values the chart has room for.
    end: when the last value was, in words.
    """
    drawn, limits = (thinned([None] * (places - len(each)) + list(each)) for each in (values, ceiling))
    known = [value for value in (*drawn, *limits) if value is not None]
    most = max(known, default=0.0) or 1.0
    last = next((value for value in reversed(ceiling) if value is not None), None)
    before = "ago" if end == "now" else f"before {end}"
    parts = [Markup('<path class="grid" d="M0 {}H{}"/>').format(BOTTOM, WIDTH)]
    if any(value is not None for value in drawn):
        parts.append(Markup('<path class="area" d="{}"/>').format(_area(drawn, most)))
        parts.append(Markup('<path class="line" d="{}"/>').format(_path(drawn, most)))
    if last is not None:
        parts.append(Markup('<path class="limit" d="{}"/>').format(_path(limits, most)))
    if known:
        now = "now " if end == "now" else ""
        said = f"peak {rate(most)}" + (f" · {rate(last)} permitted {now}(dashed)" if last else "")
        parts.append(Markup('<text x="4" y="15">{}</text>').format(said))
    parts.append(Markup('<text x="4" y="{}">{} {}</text>').format(HEIGHT - 5, span, before))
    parts.append(Markup('<text x="{}" y="{}" text-anchor="end">{}</text>').format(WIDTH - 4, HEIGHT - 5, end))
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, label)
    return head + Markup("").join(parts) + Markup("</svg>")


def bars(values: Sequence[float | None], kinds: Sequence[str], titles: Sequence[str], label: str, top: str) -> Markup:
    """A bar for each value.

    values: the oldest first.
    kinds: the class of each bar, such as "ok".
    titles: the text of each bar on hovering.
    label: what the chart shows.
    top: a text about the greatest value.
    """
    most = max((value for value in values if value is not None), default=0.0) or 1.0
    step = WIDTH / max(len(values), 20)
    parts = [
        Markup('<path class="grid" d="M0 {}H{}"/><text x="4" y="15">{}</text>').format(BOTTOM, WIDTH, top),
        Markup('<text x="4" y="{}">the newest is at the right</text>').format(HEIGHT - 5),
    ]
    for place, (value, kind, title) in enumerate(zip(values, kinds, titles, strict=True)):
        high = max(2.0, (value or 0.0) / most * (BOTTOM - TOP))
        parts.append(
            Markup(
                '<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}" rx="2"><title>{}</title></rect>'
            ).format(kind, place * step + 1, BOTTOM - high, step - 2, high, title)
        )
    head = Markup('<svg class="chart" viewBox="0 0 {} {}" role="img" aria-label="{}">').format(WIDTH, HEIGHT, label)
    return head + Markup("").join(parts) + Markup("</svg>")


def thinned(values: Sequence[float | None], most: int = MOST_POINTS) -> list[float | None]:
    """At most `most` values. Of neighboring ones, the greatest is kept, so that no peak is lost."""
    if len(values) <= most:
        return list(values)
    cuts = [place * len(values) // most for place in range(most + 1)]
    return [
        max((value for value in values[first:last] if value is not None), default=None)
        for first, last in itertools.pairwise(cuts)
    ]


def _y(value: float, most: float) -> float:
    return BOTTOM - value / most * (BOTTOM - TOP)


def _points(values: Sequence[float | None], most: float) -> list[list[tuple[float, float]]]:
    """The points of the line, in stretches without gaps. The last value is at the right edge."""
    step = WIDTH / max(len(values) - 1, 1)
    stretches: list[list[tuple[float, float]]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            stretches.append([])
        else:
            stretches[-1].append((place * step, _y(value, most)))
    return [each for each in stretches if each]


def _path(values: Sequence[float | None], most: float) -> str:
    return "".join(_line(each) for each in _points(values, most))


def _area(values: Sequence[float | None], most: float) -> str:
    return "".join(f"{_line(each)}V{BOTTOM}H{each[0][0]:.1f}Z" for each in _points(values, most))


def _line(points: Sequence[tuple[float, float]]) -> str:
    first, *others = points
    return f"M{first[0]:.1f} {first[1]:.1f}" + "".join(f"L{x:.1f} {y:.1f}" for x, y in others)
