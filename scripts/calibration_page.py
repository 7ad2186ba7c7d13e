"""Write docs/calibration-results.md from the folder of a calibration: what the data inform, and leave-one-trial-out.

    python scripts/calibration_page.py runs/calibration

Finished pieces in the folder are used; what is missing is simulated. Not for clinical use.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from livingdrug.trials.calibration import Calibration, Plan, calibrate
from livingdrug.trials.ensemble import Ensemble
from livingdrug.trials.predictive import coverage_summary, coverage_table

PAGE = Path(__file__).parents[1] / "docs" / "calibration-results.md"
HEAD = """# What the calibration found

**Not for clinical use.** Written by `scripts/calibration_page.py`; the method is on the page
[calibration](calibration.md), every target on the [scoreboard](scoreboard.md).

"""


def main() -> None:
    """Read the arguments and write the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--workers", type=int, default=2)
    given = parser.parse_args()
    plan = Plan()
    found = calibrate(plan, given.folder, workers=given.workers)
    PAGE.write_text(HEAD + informed(found) + left_out(found, given.workers), encoding="utf-8")


def informed(found: Calibration) -> str:
    """Return the table of parameters: prior beside posterior."""
    rows = [
        f"| `{r['parameter']}` | {r['prior_median']:g} ×/÷ {2.718281828 ** r['prior_log_sd']:.2f} | {r['median']:.3g} "
        f"| {r['width_left']:.0%} | {r['moved_by_prior_sd']:+.1f} | {r['informed_by']} |"
        for r in found.informed().to_dict("records")
    ]
    return (
        "## What the data inform\n\nWidth left: SD of the logarithm beside that of the prior. "
        "Near 100 % the data say nothing of it.\n\n"
        "| parameter | prior | posterior median | width left | moved, in SD of the prior | informed by |\n"
        "| --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n\n"
    )


def left_out(found: Calibration, workers: int) -> str:
    """Return the tables of each trial predicted from the other five."""
    import pandas as pd

    tables = {}
    for trial in found.plan.trials:
        others = Ensemble("", found.without(trial), {}, "")
        tables[trial] = coverage_table(others, trials=(trial,), seed=found.plan.seed + 1, workers=workers)
    every = pd.concat(tables.values())
    rows = [
        f"| {r['by']} | {r['name']} | {r['targets']} | {r['share']:.0%} | {r['wide'] / r['targets']:.0%} | "
        f"{r['narrow'] / r['targets']:.0%} |"
        for r in coverage_summary(every).to_dict("records")
    ]
    return (
        "## Each trial predicted from the other five\n\n"
        "Share of targets inside their 95 % interval, share of intervals wider than their limit, and share inside "
        "and not too wide.\n\n"
        "| by | name | targets | inside | too wide | both |\n| --- | --- | --- | --- | --- | --- |\n"
        + "\n".join(rows) + "\n\n"
        "### Outside\n\n| target | reported | predicted | interval |\n| --- | --- | --- | --- |\n"
        + "\n".join(_missed(every)) + "\n\n" + _why_so_wide(found)
    )  # fmt: skip


def _why_so_wide(found: Calibration) -> str:
    """Return the table of where the width comes from, in the linear view."""
    import pandas as pd

    parts = {trial: found.variance_without(trial).drop(columns="target") for trial in found.plan.trials}
    parts = {"all": pd.concat(parts.values()), **parts}
    rows = []
    for name, table in parts.items():
        total = table.sum(axis=1)
        shares = table.div(total, axis=0).mean()
        wide = [(total - less > 4 * table["chance"]).mean() for less in (0, table["alone"], table["trial_effects"])]
        rows.append(f"| {name} | " + " | ".join(f"{value:.0%}" for value in (*shares, *wide)) + " |")
    return (
        "## Why those intervals are wide\n\nBy the straight line through all runs. First the mean shares of the "
        "variance of a left-out target: of parameters that only its trial informs and that are back at their prior, of "
        "all other parameters, of trial effects, of the trial's own chance. Then how many targets would be more than "
        "twice as wide as chance alone: as it is, if nothing went back to its prior, without trial effects.\n\n"
        "| trial | only this trial | other parameters | trial effects | chance | too wide | with a prior as narrow as "
        "what is known | without trial effects |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n" + "\n".join(rows)
        + "\n"
    )  # fmt: skip


def _missed(table: Any) -> list[str]:
    missed = table[table["counted"] & ~table["inside"]]
    return [
        f"| {r['label']} | {r['observed']:.4g} | {r['middle']:.4g} | {r['low']:.4g} to {r['high']:.4g} |"
        for r in missed.to_dict("records")
    ]


if __name__ == "__main__":
    main()
