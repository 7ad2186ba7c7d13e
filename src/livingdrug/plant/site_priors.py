"""What is known of sites before a site's own batches: the numbers of the plans as the middle of a population of sites.

How much sites differ is hardly published; where nothing is, it is assumed and says so.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from livingdrug.plant.posterior import SitePrior
from livingdrug.therapy.collection import CollectionPlan
from livingdrug.therapy.engineering import EngineeringPlan
from livingdrug.therapy.multiplication import MultiplicationPlan
from livingdrug.therapy.published_losses import PIVOTAL, UK_FAILED, UK_REASONS
from livingdrug.therapy.release import ReleasePlan
from livingdrug.therapy.stated import Fixed, LogitNormal, LogNormal, Stated

__all__ = ["CAR_POSITIVE", "Quantity", "failure_prior", "fit_failures", "quantities", "quantity_names"]

DOUBT = Fixed(value=0.35, note="sites' spreads differ by a factor of about 1.4")
CAR_POSITIVE = {
    "muc1transduction2021": 0.6319,
    "prodigy2018": 0.37,
    "uktisagenlecleucel2024": 0.174,
    "ari00012019": 0.397,
    "humanisedcd19india": 0.30,
}
"""CAR-positive fraction of five processes: mean, or median of all or of three batches."""
BETWEEN_COPIES = 0.60  # SD of ln(-ln(1 - share)) of these five


@dataclass(frozen=True)
class Quantity:
    """A number of the plan that batches tell of.

    Attributes:
        name: how it is called here; ``place`` is where it stands in a journey.
        title: in words.
        prior: a batch of the middle site: log-normal or logit-normal.
        between: standard deviation of the sites' medians on the scale.
        doubt: standard deviation of the logarithm of the sites' spreads.
    """

    name: str
    place: str
    title: str
    prior: Stated
    between: Fixed
    doubt: Fixed = DOUBT

    @property
    def scale(self) -> Literal["log", "logit"]:
        """Scale on which batches are normal."""
        return "logit" if isinstance(self.prior, LogitNormal) else "log"

    @property
    def unit(self) -> str:
        """Unit of the values."""
        return self.prior.unit

    @property
    def spread(self) -> float:
        """Standard deviation between batches of the middle site, on the scale."""
        return float(getattr(self.prior, f"{self.scale}_sd"))

    @property
    def site_prior(self) -> SitePrior:
        """The population of sites on the scale."""
        center = float(self.to(self.prior.median))  # type: ignore[attr-defined]
        return SitePrior(center, self.between.value, self.spread, self.doubt.value)

    def to(self, values: ArrayLike) -> Any:
        """Return values on the scale, same shape."""
        from scipy.special import logit

        return logit(np.asarray(values, float)) if self.scale == "logit" else np.log(np.asarray(values, float))

    def back(self, values: ArrayLike) -> Any:
        """Return values of the scale in the unit, same shape."""
        from scipy.special import expit

        return expit(np.asarray(values, float)) if self.scale == "logit" else np.exp(np.asarray(values, float))


def quantities(plan: MultiplicationPlan) -> tuple[Quantity, ...]:
    """Return all quantities with their priors; growth and death are those of the plan's vessel."""
    collection, engineering, release = CollectionPlan(), EngineeringPlan(), ReleasePlan()
    growth, death = plan.growth_rate or plan.device.growth_rate, plan.death_rate or plan.device.death_rate
    return (
        Quantity(
            "efficiency", "collection.efficiency", "share of the processed T cells that is collected",
            collection.efficiency, Fixed(value=0.3, note="no published spread between sites at hand"),
        ),
        Quantity(
            "recovery", "engineering.recovery", "T cells kept by the selection", _as_logit(engineering.recovery),
            Fixed(value=0.4, note="no published spread between sites at hand"),
        ),
        Quantity(
            "copies_per_cell", "engineering.copies_per_cell", "vector copies per cell", engineering.copies_per_cell,
            Fixed(
                value=BETWEEN_COPIES, source="muc1transduction2021", mark="computed",
                note=f"SD of the logarithm of the Poisson mean of the CAR-positive share in {', '.join(CAR_POSITIVE)}",
            ),
        ),
        Quantity(
            "growth_rate", "multiplication.growth_rate", "division rate just after the lag", growth,
            Fixed(value=0.18, source="tcellgrowth2019", mark="assumed", note="as between the fitted rows of its table"),
        ),
        Quantity(
            "death_rate", "multiplication.death_rate", "death rate in good medium", death,
            Fixed(value=0.3, source="tcellgrowth2019", mark="assumed", note="as between the fitted rows of its table"),
        ),
        Quantity(
            "culture_days", "multiplication.duration", "days in culture",
            LogNormal(
                median=float(plan.duration.quantile(0.5)), log_sd=0.1, unit="day", source=plan.duration.source,
                note=f"{plan.duration.note or 'the plan'}; spread between batches assumed",
            ),
            Fixed(value=0.25, note="processes of 5 to 13 days are usual"),
        ),
        Quantity(
            "t_cell_purity", "release.t_cell_purity", "T cells of all cells in the product", release.t_cell_purity,
            Fixed(value=0.7, note="no published spread between sites at hand"),
        ),
        Quantity(
            "thaw_recovery", "release.losses.thaw_recovery", "living cells after thawing over those frozen",
            LogitNormal(
                median=0.75, logit_sd=0.3, mark="recalled",
                note="60 to 85 % recalled; how much of that is between batches is assumed",
            ),
            Fixed(value=0.3, note="the other part of the recalled 60 to 85 %"),
        ),
    )  # fmt: skip


def quantity_names() -> tuple[str, ...]:
    """Return the names of all quantities."""
    return tuple(one.name for one in quantities(MultiplicationPlan()))


def _as_logit(stated: Stated) -> LogitNormal:
    """Return a normal fraction as a logit-normal one with the same middle and the same slope there."""
    middle = float(stated.quantile(0.5))
    sd = float(stated.quantile(0.8413447460685429)) - middle
    return LogitNormal(
        median=middle, logit_sd=float(f"{sd / (middle * (1 - middle)):.4g}"), source=stated.source, mark="computed",
        note=f"{stated.describe()}, on the log-odds",
    )  # fmt: skip


def fit_failures() -> tuple[float, float]:
    """Return middle and spread of the log-odds of a failed manufacture between the six pivotal trials.

    Maximum likelihood of binomial counts whose log-odds are normal, by Gauss-Hermite quadrature.

    Source:
        ``manufacturing2021``, table 2: 12 of 165, 7 of 92, 1 of 111, 2 of 344, 3 of 74, 1 of 140.

    Example:
        >>> [round(value, 2) for value in fit_failures()]
        [-3.77, 1.01]
    """
    from scipy.optimize import minimize
    from scipy.special import log_expit

    failed = np.array([[row.failed] for row in PIVOTAL])
    made = np.array([[row.enrolled - row.failed] for row in PIVOTAL])
    at, share = np.polynomial.hermite_e.hermegauss(60)

    def miss(unknown: Any) -> float:
        odds = unknown[0] + math.exp(unknown[1]) * at
        return -float(np.log(np.exp(failed * log_expit(odds) + made * log_expit(-odds)) @ share).sum())

    best = minimize(miss, [-3.8, 0.0], method="Nelder-Mead", options={"xatol": 1e-8, "fatol": 1e-10})
    return float(best.x[0]), math.exp(float(best.x[1]))


@lru_cache(maxsize=2)
def failure_prior(*, unexplained: bool) -> tuple[Fixed, Fixed]:
    """Return the chance of failure at the middle site and the spread of the log-odds between sites.

    Args:
        unexplained: only failures that growth, viability and purity do not explain: 28 of the 58 of ``ukpanel2025``.
    """
    center, between = fit_failures()
    chance = 1 / (1 + math.exp(-center))
    note = "middle of six pivotal trials"
    if unexplained:
        share = UK_REASONS["other"] / UK_FAILED
        chance, note = chance * share, f"{note}, times {share:.2f} (reasons of the British panel: other or not stated)"
    spread = Fixed(
        value=float(f"{between:.4g}"), source="manufacturing2021", mark="computed", note="between six trials"
    )
    value = float(f"{chance:.4g}")
    return Fixed(value=value, unit="fraction", source="manufacturing2021", mark="computed", note=note), spread
