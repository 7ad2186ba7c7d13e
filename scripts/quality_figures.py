"""Draw the figures of docs/quality.md and docs/how-to/refit.md. Not for clinical use."""

from pathlib import Path

import numpy as np

from livingdrug.analysis.drawing import svg
from livingdrug.plant.attributes import attribute_effects
from livingdrug.plant.control_charts import WESTERN_ELECTRIC, individuals_chart
from livingdrug.plant.refit import refit
from livingdrug.plant.site_file import SiteBatches
from livingdrug.reports.quality_figures import attributes_figure, chart_figure, refit_figure
from livingdrug.trials import Trial

IMAGES = Path(__file__).parents[1] / "docs" / "images"


def main() -> None:
    """Draw all figures into docs/images."""
    trial = Trial.builtin("kimmel-zuma-1")
    effects = attribute_effects(trial.arms[0].journey, trial.population.sample(200, seed=1), points=9)
    luck = np.random.default_rng(12)
    shares = 1 / (1 + np.exp(-np.concatenate([luck.normal(2.4, 0.25, 24), luck.normal(2.0, 0.25, 10)])))
    first = individuals_chart(shares[:24], scale="logit")
    chart = individuals_chart(shares, scale="logit", center=float(first.center[0]), sigma=float(first.sigma[0]))
    few = luck.normal(-0.7, 0.25, 5)
    columns = {"car_positive_fraction": 1 / (1 + np.exp(-few)), "thaw_recovery_fraction": 1 / (1 + np.exp(-few - 2.2))}
    site = refit(SiteBatches(tuple("ABCDE"), np.arange(2, 7), columns), "a simulated site")
    figures = {
        "attributes": attributes_figure(effects),
        "control-chart": chart_figure(
            chart,
            chart.signals(WESTERN_ELECTRIC),
            "log-odds of viability",
            "34 simulated batches; the last ten are worse",
        ),
        "refit": refit_figure(site),
    }
    for name, figure in figures.items():
        (IMAGES / f"{name}.svg").write_text(svg(figure), encoding="utf-8")


if __name__ == "__main__":
    main()
