"""The figures as one HTML page that needs nothing else: the table, and the plots within it.

Knows figures and plots; Matplotlib draws them. Knows nothing about what was measured.
"""

from __future__ import annotations

import io
from datetime import datetime
from html import escape
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure as Drawing

from benchmark.figures import Figure, Histogram, Lines

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

BINS = 48

COLORS = {
    "ground": ("#fbfaf7", "#161617"),
    "ink": ("#1d1c1a", "#ecebe7"),
    "soft": ("#6d6a64", "#9d9a93"),
    "line": ("#dedad1", "#34343a"),
    "s0": ("#0b63b5", "#62a8f0"),
    "s1": ("#d1651a", "#f0964f"),
    "s2": ("#4d8a3d", "#86c46f"),
    "ok": ("#2c7a3f", "#74c98a"),
    "missed": ("#b3261e", "#ff8a80"),
}
"""Each by day and by night, as the reader's system is set."""

SOFT, LINE, MISSED = (COLORS[name][0] for name in ("soft", "line", "missed"))
SERIES = [COLORS[name][0] for name in ("s0", "s1", "s2")]

STYLE = """
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
svg { display: block; width: 100%; height: auto }
svg text { font-variant-numeric: tabular-nums }
@media (max-width: 34rem) { td:nth-child(3), th:nth-child(3) { display: none } h1 { font-size: 1.6rem } }
"""

DRAWN = {
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "gptoss-acp",
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": SOFT,
    "text.parse_math": False,
    "axes.edgecolor": SOFT,
    "axes.labelcolor": SOFT,
    "axes.prop_cycle": mpl.cycler(color=SERIES),
    "axes.spines.left": False,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "grid.color": LINE,
    "xtick.color": SOFT,
    "ytick.color": SOFT,
    "ytick.left": False,
    "legend.frameon": False,
    "legend.labelcolor": COLORS["ink"][0],
    "lines.linewidth": 1.7,
    "lines.markersize": 5,
}


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
<style>{_colors()}{STYLE}</style>
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


def _colors() -> str:
    day, night = ("; ".join(f"--{name}: {pair[at]}" for name, pair in COLORS.items()) for at in (0, 1))
    by_night = f"@media (prefers-color-scheme: dark) {{ :root {{ {night} }} }}"
    return f":root {{ color-scheme: light dark; {day} }}\n{by_night}"


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
    count = sum(bool(values) for values in plot.series.values())
    if not count:
        return ""
    with mpl.rc_context(DRAWN):
        drawing = Drawing(figsize=(7.5, 3.5), layout="constrained")
        axes = drawing.subplots()
        axes.set(xlabel=plot.x_label, ylabel=plot.y_label)
        if isinstance(plot, Lines):
            _draw_lines(axes, plot)
        else:
            _draw_histogram(axes, plot)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(lambda value, _: number(value))
        if count > 1:
            drawing.legend(loc="outside upper left", ncols=count)
        svg = _svg(drawing, f"{plot.title}: {plot.y_label} by {plot.x_label}")
    return f"<h2>{escape(plot.title)}</h2><figure>{svg}</figure>"


def _draw_lines(axes: Axes, plot: Lines) -> None:
    for name, points in plot.series.items():
        if not points:
            continue
        axes.plot(*zip(*points, strict=True), marker="o" if len(points) <= 40 else "", label=name)
    if plot.limit is not None:
        axes.axhline(plot.limit, color=MISSED, linestyle="--", linewidth=1)
    axes.set_xlim(left=0)
    if plot.from_zero:
        axes.set_ylim(bottom=0)


def _draw_histogram(axes: Axes, plot: Histogram) -> None:
    series = {name: values for name, values in plot.series.items() if values}
    # The slowest are left out where they would squeeze all others together.
    most = max(*(float(np.quantile(values, 0.995)) for values in series.values()), plot.limit or 0) * 1.05
    for name, values in series.items():
        shares = np.full(len(values), 100 / len(values))
        (*_, shape) = axes.hist(values, BINS, (0, most), weights=shares, histtype="stepfilled", alpha=0.22, label=name)
        color = shape[0].get_facecolor()[:3]
        axes.hist(values, BINS, (0, most), weights=shares, histtype="step", color=color)
        axes.plot(np.median(values), 0, marker=3, markersize=7, markeredgewidth=2.5, color=color, clip_on=False)
    axes.set_xlim(0, most)
    if plot.limit is not None:
        axes.axvline(plot.limit, color=MISSED, linestyle="--", linewidth=1)
        place = {"xycoords": axes.get_xaxis_transform(), "xytext": (-5, 0), "textcoords": "offset points"}
        axes.annotate("target", (plot.limit, 0.92), **place, color=MISSED, ha="right")
    hidden = [value for values in series.values() for value in values if value > most]
    if hidden:
        note = f"{len(hidden)} more, up to {number(max(hidden))} →"
        axes.annotate(note, (1, 0.86), xycoords="axes fraction", ha="right")


def _svg(drawing: Drawing, label: str) -> str:
    """Return a drawing as SVG in the page's colours."""
    written = io.StringIO()
    drawing.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg ") :].replace("<svg ", f'<svg role="img" aria-label="{escape(label)}" ', 1)
    for name, (day, _) in COLORS.items():
        svg = svg.replace(day, f"var(--{name})")
    return svg


def number(value: float) -> str:
    """Write a number with as few digits as tell it apart from its neighbours on an axis."""
    return f"{value:,.0f}" if abs(value) >= 100 or value == int(value) else f"{value:.3g}"
