"""The figures as one HTML page that needs nothing else: the table, and plots drawn as SVG.

Knows figures and plots. Knows nothing about what was measured.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape
from typing import Any

from benchmark.figures import Figure, Histogram, Lines

WIDTH, HEIGHT = 720, 330
LEFT, RIGHT, TOP, BOTTOM = 74, 18, 14, 52
BINS = 48

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf7; --ink: #1d1c1a; --soft: #6d6a64; --line: #dedad1; --panel: #ffffff;
  --s0: #0b63b5; --s1: #d1651a; --s2: #4d8a3d; --ok: #2c7a3f; --missed: #b3261e;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #161617; --ink: #ecebe7; --soft: #9d9a93; --line: #34343a; --panel: #1d1d20;
    --s0: #62a8f0; --s1: #f0964f; --s2: #86c46f; --ok: #74c98a; --missed: #ff8a80;
  }
}
* { box-sizing: border-box }
body {
  margin: 0; background: var(--ground); color: var(--ink);
  font: 16px/1.55 ui-sans-serif, system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
}
main { max-width: 50rem; margin: 0 auto; padding: 4rem 1.25rem 6rem }
h1 { font-size: 2rem; line-height: 1.15; letter-spacing: -0.022em; margin: 0 0 .6rem; text-wrap: balance }
h2 { font-size: 1.15rem; letter-spacing: -0.01em; margin: 3.5rem 0 .25rem }
p { margin: 0 0 1rem; max-width: 38rem }
.soft { color: var(--soft); font-size: .875rem }
.score { font-size: 1.05rem; margin-bottom: 2rem }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th { text-align: left; font-weight: 500; font-size: .8rem; color: var(--soft); padding: 0 1rem .4rem 0 }
td { border-top: 1px solid var(--line); padding: .6rem 1rem .6rem 0; vertical-align: baseline; line-height: 1.35 }
th.number, td.number { text-align: right; white-space: nowrap }
th:last-child, td:last-child { padding-right: 0 }
td.measured { font-weight: 600 }
td .soft { font-size: .8rem }
.ok { color: var(--ok) } .missed { color: var(--missed); font-weight: 600 }
figure { margin: 0 }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.4rem; font-size: .875rem; margin: 0 0 .6rem; min-height: 1.4em }
.legend i { display: inline-block; width: .75em; height: .75em; border-radius: 2px; margin-right: .45em }
svg { display: block; width: 100%; height: auto; overflow: visible }
svg text { fill: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums }
svg .grid { stroke: var(--line); stroke-width: 1 }
svg .axis { stroke: var(--soft); stroke-width: 1 }
svg .limit { stroke: var(--missed); stroke-width: 1.2; stroke-dasharray: 4 4 }
svg text.limit-text { fill: var(--missed) }
@media (max-width: 34rem) { td:nth-child(3), th:nth-child(3) { display: none } h1 { font-size: 1.6rem } }
"""

COLORS = ("var(--s0)", "var(--s1)", "var(--s2)")


@dataclass(frozen=True)
class Axes:
    """The ranges that a plot shows, and their ticks."""

    x_ticks: list[float]
    y_ticks: list[float]

    def x(self, value: float) -> float:
        return LEFT + (value - self.x_ticks[0]) / (self.x_ticks[-1] - self.x_ticks[0]) * (WIDTH - LEFT - RIGHT)

    def y(self, value: float) -> float:
        share = (value - self.y_ticks[0]) / (self.y_ticks[-1] - self.y_ticks[0])
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def page(figures: Sequence[Figure], machine: Mapping[str, Any], failures: Mapping[str, str]) -> str:
    """Return the whole page."""
    described = " · ".join(f"{escape(name)} {escape(str(value))}" for name, value in machine.items())
    plots = "".join(_plot(plot) for figure in figures for plot in figure.plots)
    failed = "".join(
        f'<p class="missed">{escape(part)} failed: {escape(failure)}</p>' for part, failure in failures.items()
    )
    return f"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>gptoss-acp beside mlx-lm</title>
<style>{STYLE}</style>
<main>
<h1>What the agent costs, beside mlx-lm alone</h1>
<p class="score">{_score(figures)} Ratios are medians of interleaved runs on one checkpoint.</p>
{failed}
{_table(figures)}
{plots}
<p class="soft" style="margin-top:4rem">{datetime.now().astimezone():%d %B %Y, %H:%M} · {described}</p>
</main>
</html>
"""


def _score(figures: Sequence[Figure]) -> str:
    targets = [figure for figure in figures if figure.target is not None]
    missed = sum(not figure.met for figure in targets)
    if not missed:
        return f"All {len(targets)} targets are met."
    return f'{len(targets) - missed} of {len(targets)} targets are met, <span class="missed">{missed} missed</span>.'


def _table(figures: Sequence[Figure]) -> str:
    rows = "".join(_row(figure) for figure in figures)
    head = '<th>Figure<th class="number">Measured<th class="number">Target<th>'
    return f"<table><thead><tr>{head}</thead><tbody>{rows}</tbody></table>"


def _row(figure: Figure) -> str:
    name, measured, target, verdict, detail = (escape(cell) for cell in figure.cells())
    kind = "ok" if figure.met else "missed"
    return (
        f'<tr><td>{name}<br><span class="soft">{detail}</span><td class="number measured">{measured}'
        f'<td class="number soft">{target}<td class="{kind}">{verdict.lower()}'
    )


def _plot(plot: Lines | Histogram) -> str:
    drawn = _lines(plot) if isinstance(plot, Lines) else _histogram(plot)
    names = [name for name, points in plot.series.items() if points]
    legend = "".join(
        f'<span><i style="background:{COLORS[index]}"></i>{escape(name)}</span>' for index, name in enumerate(names)
    )
    legend = f'<div class="legend">{legend}</div>' if len(names) > 1 else '<div class="legend"></div>'
    label = escape(f"{plot.title}: {plot.y_label} by {plot.x_label}")
    svg = f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{drawn}</svg>'
    return f"<h2>{escape(plot.title)}</h2><figure>{legend}{svg}</figure>"


def _lines(plot: Lines) -> str:
    points = [point for line in plot.series.values() for point in line]
    if not points:
        return ""
    values = [y for _, y in points] + ([plot.limit] if plot.limit is not None else [])
    axes = Axes(ticks(0, max(x for x, _ in points)), ticks(0 if plot.from_zero else min(values), max(values)))
    drawn = [_frame(plot, axes)]
    if plot.limit is not None:
        drawn.append(_rule(LEFT, axes.y(plot.limit), WIDTH - RIGHT, axes.y(plot.limit), "limit"))
    for index, line in enumerate(line for line in plot.series.values() if line):
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in line)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{COLORS[index]}" stroke-width="2.2"/>')
        if len(line) <= 40:
            drawn += [
                f'<circle cx="{axes.x(x):.1f}" cy="{axes.y(y):.1f}" r="3.5" fill="{COLORS[index]}">'
                f"<title>{x:,.0f} {escape(plot.x_label)}: {number(y)} {escape(plot.y_label)}</title></circle>"
                for x, y in line
            ]
    return "".join([*drawn, _floor()])


def _histogram(plot: Histogram) -> str:
    series = [values for values in plot.series.values() if values]
    if not series:
        return ""
    # The slowest are left out where they would squeeze all others together.
    shown = max(_quantile(values, 0.995) for values in series)
    x_ticks = ticks(0, max(shown, plot.limit or 0) * 1.02)
    width = x_ticks[-1] / BINS
    shares = [_shares(values, width) for values in series]
    axes = Axes(x_ticks, ticks(0, max(max(share) for share in shares)))
    drawn = [_frame(plot, axes)]
    for index, share in enumerate(shares):
        outline = [(0.0, 0.0)]
        for place, height in enumerate(share):
            outline += [(place * width, height), ((place + 1) * width, height)]
        outline.append((BINS * width, 0.0))
        path = " ".join(f"{axes.x(x):.1f},{axes.y(y):.1f}" for x, y in outline)
        drawn.append(
            f'<polygon points="{path}" fill="{COLORS[index]}" fill-opacity="0.22" stroke="{COLORS[index]}"'
            f' stroke-width="1.6" stroke-linejoin="round"/>'
        )
    for index, values in enumerate(series):
        middle = axes.x(_quantile(values, 0.5))
        drawn.append(
            f'<line x1="{middle:.1f}" x2="{middle:.1f}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM + 6}"'
            f' stroke="{COLORS[index]}" stroke-width="3"><title>median</title></line>'
        )
    if plot.limit is not None:
        drawn.append(_rule(axes.x(plot.limit), TOP, axes.x(plot.limit), HEIGHT - BOTTOM, "limit"))
        drawn.append(
            f'<text class="limit-text" x="{axes.x(plot.limit) - 6:.1f}" y="{TOP + 10}" text-anchor="end">target</text>'
        )
    hidden = sum(value >= x_ticks[-1] for values in series for value in values)
    if hidden:
        worst = max(max(values) for values in series)
        drawn.append(
            f'<text x="{WIDTH - RIGHT}" y="{TOP + 26}" text-anchor="end">{hidden} more, up to {number(worst)} →</text>'
        )
    return "".join([*drawn, _floor()])


def _frame(plot: Lines | Histogram, axes: Axes) -> str:
    floor = HEIGHT - BOTTOM
    drawn = []
    for value in axes.y_ticks:
        drawn.append(_rule(LEFT, axes.y(value), WIDTH - RIGHT, axes.y(value), "grid"))
        drawn.append(f'<text x="{LEFT - 9}" y="{axes.y(value) + 4:.1f}" text-anchor="end">{number(value)}</text>')
    drawn += [
        f'<text x="{axes.x(value):.1f}" y="{floor + 20}" text-anchor="middle">{number(value)}</text>'
        for value in axes.x_ticks
    ]
    middle_x, middle_y = (LEFT + WIDTH - RIGHT) / 2, (TOP + floor) / 2
    drawn.append(f'<text x="{middle_x}" y="{HEIGHT - 8}" text-anchor="middle">{escape(plot.x_label)}</text>')
    drawn.append(
        f'<text transform="translate(13 {middle_y}) rotate(-90)" text-anchor="middle">{escape(plot.y_label)}</text>'
    )
    return "".join(drawn)


def _floor() -> str:
    return _rule(LEFT, HEIGHT - BOTTOM, WIDTH - RIGHT, HEIGHT - BOTTOM, "axis")


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def ticks(low: float, high: float) -> list[float]:
    """Return four to eight round numbers from `low` or less to `high` or more."""
    high = high if high > low else low + 1
    rough = (high - low) / 6
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough)
    first, last = math.floor(low / step), math.ceil(high / step - 1e-9)
    return [place * step for place in range(first, last + 1)]


def number(value: float) -> str:
    """Write a number with as few digits as tell it apart from its neighbours on an axis."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"


def _shares(values: Sequence[float], width: float) -> list[float]:
    counts = [0] * BINS
    for value in values:
        if value < BINS * width:
            counts[int(value / width)] += 1
    return [100 * count / len(values) for count in counts]


def _quantile(values: Sequence[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]
