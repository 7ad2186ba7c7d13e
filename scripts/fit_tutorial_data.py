"""Write docs/how-to/data/car-t-kinetics.csv: simulated CAR-T kinetics with values below the limit of quantification.

Forty patients of the published course of stein2019 (table 1), with smaller differences between patients than printed, a
weight that does nothing, and an assay that sees nothing below 100 copies per ug. Run ``python
scripts/fit_tutorial_data.py``; with ``--check`` it says whether the file is current.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from livingdrug.library.stein2019 import Stein2019, transgene

FILE = Path(__file__).resolve().parents[1] / "docs" / "how-to" / "data" / "car-t-kinetics.csv"
DAYS = np.array([2.0, 5, 7, 9, 11, 14, 21, 28, 60, 90, 180, 270, 360])
SPREADS = {"fold_expansion": 0.8, "peak_day": 0.2, "peak": 0.65, "contraction": 0.4, "persistent_fraction": 0.8}
SCATTER, LIMIT, COUNT, SEED = 0.4, 100.0, 40, 2026


def rows() -> list[str]:
    """Return the lines of the file."""
    random = np.random.Generator(np.random.Philox(SEED))
    values = {
        name: Stein2019.parameters[name].value * np.exp(sd * random.standard_normal((COUNT, 1)))
        for name, sd in SPREADS.items()
    }
    measured = transgene(DAYS, **values) * np.exp(SCATTER * random.standard_normal((COUNT, len(DAYS))))
    weight, male = random.uniform(12, 80, COUNT), random.random(COUNT) < 0.5
    lines = ["ID,TIME,DV,CENS,LLOQ,WEIGHT,SEX"]
    for patient in range(COUNT):
        for day, value in zip(DAYS, measured[patient], strict=True):
            low = value < LIMIT
            lines.append(
                f"{patient + 1},{day:g},{LIMIT if low else value:.4g},{int(low)},{LIMIT:g},{weight[patient]:.1f},"
                f"{'M' if male[patient] else 'F'}"
            )
    return lines


def main() -> None:
    """Write or check the file."""
    text = "\n".join(rows()) + "\n"
    if "--check" in sys.argv[1:]:
        sys.exit(
            0
            if FILE.exists() and FILE.read_text(encoding="utf-8") == text
            else f"{FILE} is not current; run this script"
        )
    FILE.parent.mkdir(parents=True, exist_ok=True)
    FILE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
