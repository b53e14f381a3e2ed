# SPDX-License-Identifier: Apache-2.0
"""Results as text: what is side by side, in one table for each question."""

from contenders import BARE, TITLES
from programs import MEASUREMENTS
from readings import FIGURES, PERCENTILES
from virtio import FIGURES as VIRTIO_FIGURES

THE_VMM = "The VMM"
THE_DEVICES = "Virtio devices of a Linux guest (× microvm)"
NOTHING = "–"
REFERENCE = "microvm"  # what ratios are to
LOAD_TITLES = {"idle": "nothing", "cpu": "a busy process on the same CPU",
               "memory": "one that copies memory",
               "interrupts": "up to 20,000 interrupts/s of another device",
               "disk": "another machine that reads its disk, 32 at a time"}
# The figures that are told under load, too.
LOADED = ("raise_to_handler", "raise_to_handler_asleep", "timer_spinning", "timer_asleep")


def figure(results, contender, load, name):
    """A figure's percentiles, or None."""
    for result in results["latencies"]:
        if (result["contender"], result["load"]) == (contender, load):
            return result["figures"].get(name)
    return None


def columns(results):
    """The contenders there is a result of, in the order of TITLES."""
    present = {result["contender"] for result in results["latencies"] + results["programs"]}
    return [name for name in TITLES if name in present]


def ratio(value, reference, digits=1):
    return f"{value / reference:.{digits}f} ×" if reference else ""


def latency_cell(results, contender, load, name):
    """p50 / p99.9 and, of others than the reference, how many times that is its."""
    found = figure(results, contender, load, name)
    if not found:
        return NOTHING
    text = f"{found['p50']:,} / {found['p99_9']:,}"
    reference = figure(results, REFERENCE, load, name)
    if contender in (REFERENCE, BARE) or not reference:
        return text
    return (f"{text} ({ratio(found['p50'], reference['p50'])}"
            f" / {ratio(found['p99_9'], reference['p99_9'])})")


def latency_row(results, load, name, title):
    return [title, *(latency_cell(results, contender, load, name)
                     for contender in columns(results))]


def idle_rows(results):
    rows = [latency_row(results, "idle", name, title) for name, title in FIGURES.items()]
    return [row for row in rows if set(row[1:]) != {NOTHING}]


def load_rows(results):
    rows = [latency_row(results, load, name, f"{FIGURES[name]}; {title}")
            for name in LOADED for load, title in LOAD_TITLES.items() if load != "idle"]
    return [row for row in rows if set(row[1:]) != {NOTHING}]


def program_cell(result, reference, name):
    value = result.get(name)
    if value is None:
        return NOTHING
    if isinstance(value, dict):
        return f"{value['avg']:,} / {value['max']:,} {MEASUREMENTS[name][2]}"
    base = reference.get(name)
    text = f"{round(value):,} {MEASUREMENTS[name][2]}"
    if result is reference or not base:
        return text
    return f"{text} ({ratio(value, base)})"


def program_rows(results):
    by_name = {result["contender"]: result for result in results["programs"]}
    reference = by_name.get(REFERENCE, {})
    return [[title, *(program_cell(by_name[contender], reference, name) if contender in by_name
                      else NOTHING for contender in columns(results))]
            for name, (_, title, _) in MEASUREMENTS.items()
            if any(name in result for result in results["programs"])]


def device_cell(result, reference, name):
    value, unit = result.get(name), VIRTIO_FIGURES[name][1]
    if value is None:
        return NOTHING
    text = f"{round(value):,}{f' {unit}' if unit != 'ticks' else ''}"
    if result is reference or name not in reference:
        return text
    return f"{text} ({ratio(value, reference[name], 2)})"


def device_rows(results):
    """The header's cells, and a row for each figure that somebody has."""
    measured = [result for result in results["virtio"] if set(result) & set(VIRTIO_FIGURES)]
    reference = next((result for result in measured if result["contender"] == REFERENCE), {})
    rows = [[title, *(device_cell(result, reference, name) for result in measured)]
            for name, (title, _) in VIRTIO_FIGURES.items()]
    return (["", *(TITLES[result["contender"]] for result in measured)],
            [row for row in rows if set(row[1:]) - {NOTHING}])


def tables(results):
    """[(heading, header cells, rows)] of those that have rows."""
    header = ["", *(TITLES[name] for name in columns(results))]
    all_tables = (("Ticks at p50 / p99.9, nothing else on the host (× microvm)", header,
                   idle_rows(results)),
                  ("Ticks at p50 / p99.9, under load on the host's one CPU (× microvm)", header,
                   load_rows(results)),
                  (THE_VMM, header, program_rows(results)),
                  (THE_DEVICES, *device_rows(results)))
    return [part for part in all_tables if part[2]]


def errors(results):
    """One line for each thing that was not measured."""
    said = list(results["not_run"])
    for result in results["latencies"]:
        if "error" in result:
            said.append(f"{result['contender']}, {result['load']}: {result['error']}")
    for result in results["programs"]:
        for name, why in result.get("errors", {}).items():
            said.append(f"{result['contender']}, {MEASUREMENTS[name][1]}: {why}")
    for result in results["virtio"]:
        for name, why in result.get("errors", {}).items():
            said.append(f"{result['contender']}, virtio, {name}: {why}")
    return said


def aligned(rows):
    """Lines of text; the first cell of a row is to the left, the others to the right."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.ljust(width) if i == 0 else cell.rjust(width)
                      for i, (cell, width) in enumerate(zip(row, widths))).rstrip()
            for row in rows]


def detailed_rows(results, load, names):
    """For each figure a line of its own, and below it one for each contender that has it."""
    rows = []
    for name in names:
        told = []
        reference = figure(results, REFERENCE, load, name)
        for contender in columns(results):
            found = figure(results, contender, load, name)
            if not found:
                continue
            ratios = ["", ""] if not reference or contender in (REFERENCE, BARE) else [
                ratio(found[key], reference[key]) for key in ("p50", "p99_9")]
            told.append(["  " + TITLES[contender], *(f"{found[key]:,}" for key in PERCENTILES),
                         *ratios])
        if told:
            rows += [[FIGURES[name], *[""] * (len(told[0]) - 1)], *told]
    return rows


def as_text(results):
    lines = []
    columns_titles = ["p50", "p90", "p99", "p99.9", "max", "p50 ×", "p99.9 ×"]
    for load, title in LOAD_TITLES.items():
        rows = detailed_rows(results, load, FIGURES)
        if rows:
            lines += ["", *aligned([[f"Ticks; beside the guest: {title}", *columns_titles], *rows])]
    for heading, header, rows in tables(results):
        if heading not in (THE_VMM, THE_DEVICES):
            continue
        lines += ["", *aligned([[heading, *header[1:]], *rows])]
    lines += ["", *(f"not measured: {error}" for error in errors(results))]
    return "\n".join(lines)
