"""The bench's results as text: for the terminal, and for docs/performance.md between its two marks."""

import re
from typing import Any

BEGIN, END = "<!-- bench: begin -->", "<!-- bench: end -->"


def number(value: float | None) -> str:
    """A rate with about three digits."""
    if value is None:
        return "-"
    return f"{float(f'{value:.3g}'):,.0f}".replace(",", " ") if value >= 100 else f"{value:.3g}"


def table(head: list[str], rows: list[list[str]]) -> str:
    """A Markdown table, its columns aligned."""
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [head, ["-" * width for width in widths], *rows]
    return "\n".join("| " + " | ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)) + " |" for line in lines)


def peers(rows: list[dict[str, Any]]) -> str:
    """Solvers against each other on one problem."""
    targets = sorted({row["target"] for row in rows}, reverse=True)
    head = ["solver"]
    for target in targets:
        head += [f"patients/s at {target:g}", "tolerance", "p95 error", "livingdrug is faster by"]
    by_engine: dict[str, dict[float, dict[str, Any]]] = {}
    for row in rows:
        by_engine.setdefault(row["engine"], {})[row["target"]] = row
    lines = []
    for engine, found in by_engine.items():
        row = found[targets[0]]
        line = [f"{engine} {row['version']}"]
        for target in targets:
            row = found[target]
            method = f" ({row['method']})" if row["method"] and row["methods"] > 1 else ""
            if row["reached"]:
                line += [number(row["per_second"]) + method, f"{row['tolerance']:.1e}", f"{row['error_p95']:.1e}"]
                line += [f"{row['ours_times']:.1f} x" if "ours_times" in row else "-"]
            else:
                line += ["not reached", "-", "-", "-"]
        lines.append(line)
    return table(
        head, sorted(lines, key=lambda line: line[0] != "livingdrug" and not line[0].startswith("livingdrug "))
    )


def best_ratio(rows: list[dict[str, Any]]) -> str:
    """One line: how much faster than the best peer."""
    said = []
    for target in sorted({row["target"] for row in rows}, reverse=True):
        others = [r for r in rows if r["target"] == target and r["engine"] != "livingdrug" and "ours_times" in r]
        if others:
            best = min(others, key=lambda row: row["ours_times"])
            said.append(f"{best['ours_times']:.1f} times the best peer ({best['engine']}) at {target:g}")
    return "; ".join(said) + "."


def body(results: dict[str, Any]) -> str:
    """All tables."""
    on = results["machine"]
    parts = [
        f"Measured on: {on['processor']}, {on['cores']} cores, {on['system']}, Python {on['python']}; "
        f"measured peak {on['peak_gflops_per_core']:.1f} GFLOP/s of multiply-adds per core. "
        "Patients per second are per second of CPU time of one core."
    ]
    for what, title in (("peers", "Courses"), ("gradients", "Gradients by 8 parameters")):
        for problem in dict.fromkeys(row["problem"] for row in results[what]):
            rows = [row for row in results[what] if row["problem"] == problem]
            parts += [f"### {title}: the problem “{problem}”", peers(rows), f"livingdrug: {best_ratio(rows)}"]
    head = ["problem", "p95 error", "patients/s, core", "per GFLOP/s", "steps", "flops per step", "share of peak"]
    head += ["patients/s, all cores", "failures"]
    rows = [
        [
            own["problem"],
            f"{own['target']:g}",
            number(own["per_second"]),
            number(own["per_second_per_gflops"]),
            number(own["steps"]),
            number(own["flops_per_step"]),
            f"{100 * own['share_of_peak']:.0f} %",
            number(own["all_cores_per_second"]),
            f"{own['failures']} of {own['patients']}",
        ]
        for own in results["own"]
    ]
    parts += ["### livingdrug against the processor", table(head, rows)]
    rows = [[model, f"{s['new']:.2f}", f"{s['cached']:.2f}"] for model, s in results["startup"].items()]
    parts += ["### From the start of a process to its first result", table(["model", "new, s", "cached, s"], rows)]
    return "\n\n".join(parts)


def printed(results: dict[str, Any]) -> str:
    """For the terminal."""
    return body(results).replace("### ", "\n")


def performance_page(page: str, results: dict[str, Any]) -> str:
    """The page with its tables written anew."""
    new = f"{BEGIN}\n\n{body(results)}\n\n{END}"
    return re.sub(f"{re.escape(BEGIN)}.*{re.escape(END)}", lambda _: new, page, flags=re.DOTALL)
