# SPDX-License-Identifier: Apache-2.0
"""The results as one HTML page that needs no other file."""

from html import escape

import plots
import table
from contenders import TITLES
from readings import FIGURES

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1320px; margin: 2em auto; padding: 0 1em;
  color: #222; background: #fff; }
h1 { font-size: 1.6em; } h2 { font-size: 1.2em; margin-top: 2em; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25em .7em; border-bottom: 1px solid #ddd; text-align: right; }
th:first-child, td:first-child { text-align: left; } td:first-child { white-space: nowrap; }
.pair { display: grid; grid-template-columns: repeat(auto-fit, minmax(420px, 1fr)); gap: 1em; }
svg { width: 100%; height: auto; } svg text { font-size: 11px; fill: #444; }
svg text.title { font-size: 13px; font-weight: 600; fill: #222; }
svg line { stroke: #e4e4e4; } svg line.column { stroke-width: 4; stroke-opacity: .85; }
svg polyline { fill: none; stroke-width: 2; }
.key { margin-right: 1.4em; } .key i { display: inline-block; width: .9em; height: .9em;
  margin-right: .4em; vertical-align: -1px; }
code { overflow-wrap: anywhere; }
"""
PLOTTED = ("raise_to_handler", "raise_to_eoi_to_loop", "raise_to_handler_asleep", "timer_spinning",
           "timer_asleep", "ipi_to_handler")


def html_table(header, rows):
    def cells(row, tag):
        return "<tr>" + "".join(f"<{tag}>{escape(cell)}</{tag}>" for cell in row) + "</tr>"
    return ('<div class="wide"><table>' + cells(header, "th")
            + "".join(cells(row, "td") for row in rows) + "</table></div>")


def series_of(results, load, name):
    """{contender: histogram} of a figure, of those that have one."""
    found = ((contender, table.figure(results, contender, load, name))
             for contender in table.columns(results))
    return {contender: figure["histogram"] for contender, figure in found
            if figure and figure.get("histogram")}


def plots_of(results, load, colours):
    parts = []
    for name in PLOTTED:
        series = series_of(results, load, name)
        if series:
            parts += ['<div class="pair">',
                      plots.percentile_plot(FIGURES[name], series, colours),
                      plots.histogram_plot(FIGURES[name], series, colours), "</div>"]
    return parts


def interrupt_path(results):
    """One interrupt's path in each contender at p50, as SVG; "" where nobody has the figures."""
    series = {}
    for contender in table.columns(results):
        found = [table.figure(results, contender, "idle", name)
                 for name in ("raise_to_vector", "raise_to_handler", "raise_to_eoi_to_loop")]
        if all(found):
            vector, handler, back = (figure["p50"] for figure in found)
            series[contender] = [vector, handler - vector, back - handler]
    if not series:
        return ""
    parts = ("raise → vector: host, VMM", "vector → handler: guest", "EOI and back: host, VMM, guest")
    return plots.timeline_plot(series, TITLES, parts, ("#0072b2", "#009e73", "#e69f00"))


def page(results):
    colours = dict(zip(TITLES, plots.COLOURS))
    shown = {name: TITLES[name] for name in table.columns(results)}
    host = results.get("host", {})
    parts = ["<!DOCTYPE html><html lang=en><meta charset=utf-8><title>microvm: latency</title>",
             f"<style>{STYLE}</style><h1>Interrupt latency, side by side</h1>",
             "<p>One boot of one emulated host with one CPU, on which one instruction is one tick: "
             "the figures compare software paths and are no promise about silicon. "
             f"{results['samples']:,} samples of each figure. "
             + "; ".join(f"{escape(name)}: <code>{escape(str(value))}</code>"
                         for name, value in host.items()) + "</p>"]
    for heading, header, rows in table.tables(results):
        parts += [f"<h2>{escape(heading)}</h2>", html_table(header, rows)]
    parts += ["<h2>One interrupt's path, ticks at p50</h2>", interrupt_path(results)]
    for load, title in table.LOAD_TITLES.items():
        drawn = plots_of(results, load, colours)
        if drawn:
            parts += [f"<h2>Distributions: {escape(title)}</h2>",
                      f"<p>{plots.legend(shown, colours)}</p>", *drawn]
    said = table.errors(results)
    if said:
        parts += ["<h2>Not measured</h2><ul>", *(f"<li>{escape(line)}</li>" for line in said), "</ul>"]
    return "".join(parts) + "</html>\n"
