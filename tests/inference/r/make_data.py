"""The made-up data of the comparison with R: run once, kept as CSV beside this file."""

from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
random = np.random.Generator(np.random.Philox(4))


def write(name: str, head: str, rows: list[tuple[float, ...]]) -> None:
    lines = [head, *(",".join(f"{value:.10g}" for value in row) for row in rows)]
    (HERE / f"{name}.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


# a line for each of 20 subjects, level and slope correlated, the slope moved by a covariate
rows = []
for who in range(20):
    x = random.normal()
    level, slope = np.array([10.0, 2.0]) + np.linalg.cholesky([[4.0, 0.6], [0.6, 0.25]]) @ random.standard_normal(2)
    rows += [(who + 1, t, level + (slope + 0.5 * x) * t + random.normal(), x) for t in (0.0, 1, 2, 4, 7)]
write("line", "ID,TIME,DV,X", rows)

# the decline of a transgene from its peak, log-normal scatter, the sixth sample of some patients missing
rows = []
for who in range(25):
    peak, rate = 20000 * np.exp(0.8 * random.normal()), 0.16 + 0.05 * random.normal()
    days = (0.0, 3, 7, 14, 21, 28)[: 5 + (who % 3 > 0)]
    rows += [(who + 1, t, peak * np.exp(-rate * t + 0.4 * random.normal())) for t in days]
write("decline", "ID,TIME,DV", rows)

# a level that differs between subjects and, within these, between three occasions
rows = []
for who in range(24):
    level = 5 + 1.2 * random.normal()
    for occasion in range(3):
        shift = 0.7 * random.normal()
        times = 10.0 * occasion + np.arange(4.0)
        rows += [(who + 1, t, level + shift + 0.03 * t + 0.5 * random.normal(), occasion) for t in times]
write("occasions", "ID,TIME,DV,OCC", rows)
