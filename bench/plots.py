# SPDX-License-Identifier: Apache-2.0
"""Plots as SVG: the histogram of a figure and its distribution, one line for each contender."""

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 620, 300
LEFT, RIGHT, TOP, BOTTOM = 64, 28, 30, 44
# Okabe and Ito's: told apart by most eyes.
COLOURS = ("#777777", "#0072b2", "#56b4e9", "#e69f00", "#d55e00", "#009e73", "#cc79a7")


@dataclass
class Axis:
    """A logarithmic axis from `low` to `high`, drawn from pixel `start` to pixel `end`."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value):
        span = math.log(self.high / self.low) or 1.0
        share = math.log(max(value, self.low) / self.low) / span
        return self.start + share * (self.end - self.start)

    def decades(self):
        first, last = math.ceil(math.log10(self.low)), math.floor(math.log10(self.high))
        return [10 ** exponent for exponent in range(first, last + 1)]


def told(value):
    for size, unit in ((1_000_000, " M"), (1_000, " k")):
        if value >= size:
            return f"{value / size:g}{unit}"
    return f"{value:g}"


def text(x, y, words, anchor="middle", more=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" {more}>{escape(words)}</text>'


def frame(title, horizontal, vertical, x_ticks, y_ticks, x_title, y_title):
    """The axes of a plot; ticks are (value, label)."""
    parts = [text(LEFT, 16, title, "start", 'class="title"')]
    for value, label in x_ticks:
        x = horizontal.at(value)
        parts += [f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>',
                  text(x, HEIGHT - BOTTOM + 15, label)]
    for value, label in y_ticks:
        y = vertical.at(value)
        parts += [f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>',
                  text(LEFT - 6, y + 4, label, "end")]
    parts += [text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 8, x_title),
              text(-HEIGHT / 2, 14, y_title, "middle", 'transform="rotate(-90)"')]
    return parts


def svg(parts, height=HEIGHT):
    return (f'<svg viewBox="0 0 {WIDTH} {height}" role="img" font-family="sans-serif" '
            'font-size="11" fill="#444" xmlns="http://www.w3.org/2000/svg">'
            + "".join(parts) + "</svg>")


def line(points, colour):
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    return f'<polyline points="{path}" style="stroke:{colour}"/>'


def ticks_axis(series, start, end):
    values = [value for histogram in series.values() for value, _ in histogram]
    return Axis(10 ** math.floor(math.log10(max(1, min(values)))),
                10 ** math.ceil(math.log10(max(values) + 1)), start, end)


def histogram_plot(title, series, colours):
    """`series`: {contender: [[ticks, count], …]}. A column stands on the bucket's least value."""
    horizontal = ticks_axis(series, LEFT, WIDTH - RIGHT)
    most = max(count for histogram in series.values() for _, count in histogram)
    vertical = Axis(0.5, max(10, most * 1.5), HEIGHT - BOTTOM, TOP)
    parts = frame(title, horizontal, vertical,
                  [(value, told(value)) for value in horizontal.decades()],
                  [(value, told(value)) for value in vertical.decades()],
                  "ticks", "samples")
    for contender, histogram in series.items():
        for value, count in histogram:
            x = horizontal.at(value)
            parts.append(f'<line class="column" x1="{x:.1f}" x2="{x:.1f}" y1="{vertical.at(0.5):.1f}" '
                         f'y2="{vertical.at(count):.1f}" style="stroke:{colours[contender]}">'
                         f"<title>{escape(contender)}: {count} × {value:,}</title></line>")
    return svg(parts)


def percentile_plot(title, series, colours):
    """The cumulative distribution, its tail stretched: ticks over the share that took longer."""
    total = max(sum(count for _, count in histogram) for histogram in series.values())
    horizontal = Axis(1, max(10.0, total), LEFT, WIDTH - RIGHT)
    vertical = ticks_axis(series, HEIGHT - BOTTOM, TOP)
    marks = [(1 / (1 - share), label) for share, label in (
        (0, "0 %"), (0.5, "50 %"), (0.9, "90 %"), (0.99, "99 %"), (0.999, "99.9 %"),
        (0.9999, "99.99 %")) if 1 / (1 - share) <= horizontal.high * 1.001]
    parts = frame(title, horizontal, vertical, marks,
                  [(value, told(value)) for value in vertical.decades()],
                  "share of the samples that took at most", "ticks")
    for contender, histogram in series.items():
        samples = sum(count for _, count in histogram)
        points, before = [], 0
        for value, count in histogram:
            points.append((horizontal.at(samples / (samples - before)), vertical.at(value)))
            before += count
            reached = samples / (samples - before) if before < samples else samples
            points.append((horizontal.at(reached), vertical.at(value)))
        parts.append(line(points, colours[contender]))
    return svg(parts)


def timeline_plot(series, titles, parts_of, colours):
    """`series`: {contender: [ticks of each part]}; `parts_of` names the parts, `colours` theirs."""
    longest = max(sum(parts) for parts in series.values())
    scale = (WIDTH - 60 - 250) / longest
    drawn = []
    for row, (contender, parts) in enumerate(series.items()):
        y, x = 4 + row * 32, 250.0
        drawn.append(text(242, y + 15, titles[contender], "end"))
        for ticks, name, colour in zip(parts, parts_of, colours):
            drawn.append(f'<rect x="{x:.1f}" y="{y}" width="{max(ticks * scale, 0.5):.1f}" height="22" '
                         f'fill="{colour}"><title>{escape(name)}: {ticks:,}</title></rect>')
            x += ticks * scale
        drawn.append(text(x + 5, y + 15, f"{sum(parts):,}", "start"))
    height = 36 + len(series) * 32
    for index, (name, colour) in enumerate(zip(parts_of, colours)):
        drawn += [f'<rect x="{index * 205}" y="{height - 14}" width="10" height="10" fill="{colour}"/>',
                  text(index * 205 + 15, height - 5, name, "start")]
    return svg(drawn, height)


def legend(titles, colours):
    return "".join(f'<span class="key"><i style="background:{colours[name]}"></i>'
                   f"{escape(title)}</span>" for name, title in titles.items())
