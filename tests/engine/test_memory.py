"""A large population passes through the process block by block."""

import os
import subprocess
import sys

CODE = """
import numpy as np
from livingdrug.engine.solve import solve_in_blocks
from livingdrug.library import load_model
from livingdrug.streams import normal

model = load_model("kirouac2023")
typical = model.parameter_sets["CR1"]

def parameters(ids):
    z = normal(1, ids, "kill", 2)
    return typical | {{"kill_rate": typical["kill_rate"] * np.exp(0.3 * z[:, 0]), "dose": 1e8 * np.exp(0.3 * z[:, 1])}}

total, count = 0.0, 0
ids, days = np.arange({count}, dtype=np.uint64), np.linspace(1, 28, 28)
for part in solve_in_blocks(model, parameters, ids, days, outputs=["car_t_blood"], rtol=1e-3):
    assert not part.failed.any()
    total += part.values[:, -1, 0].sum()
    count += len(part.values)
# not ru_maxrss: that remembers the size of the process that started this one
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
print(count, total / count, int(peak.split()[1]) / 1024)
"""


def run(count):
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(count=count)], capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 0, done.stderr
    seen, mean, megabytes = done.stdout.split()
    return int(seen), float(mean), float(megabytes)


def test_a_large_population_keeps_the_process_small():
    """100 000 patients of 8 states with 28 outputs: below 500 MB (issue 2), and hardly more than 5000 patients."""
    few, many = run(5_000), run(100_000)
    print(f"5 000 patients: {few[2]:.0f} MB; 100 000 patients: {many[2]:.0f} MB")
    assert many[0] == 100_000
    assert many[1] > 0
    assert many[2] < 500
    assert many[2] < few[2] + 60
