"""What every modeller does with a model: which parameters matter, which can be estimated, and what may come of it.

Each function takes any declared model and returns a frozen result with ``table``, ``figure()`` and ``save(path)``.
Quantities of interest are written in words, such as ``"max car_t_blood"``; see :func:`quantity`.

Example:
    >>> from livingdrug.analysis import tornado
    >>> from livingdrug.library import load_model
    >>> result = tornado(load_model("stein2019"), "car_t_transgene_blood at 28", "10%")
    >>> result.table["parameter"].iloc[0]
    'contraction'
"""

from livingdrug.analysis.global_sensitivity import Sobol, sobol
from livingdrug.analysis.likelihood import Fit, fit, read_data, simulate_data
from livingdrug.analysis.local_sensitivity import LocalSensitivities, local_sensitivities
from livingdrug.analysis.measuring import Measured, measure
from livingdrug.analysis.planes import OutcomeRules, Plane, outcome_plane, quantity_plane
from livingdrug.analysis.profiles import Profiles, profiles
from livingdrug.analysis.quantities import Quantity, quantity
from livingdrug.analysis.ranges import Range, make_ranges
from livingdrug.analysis.tornado_chart import Tornado, tornado

__all__ = [
    "Fit",
    "LocalSensitivities",
    "Measured",
    "OutcomeRules",
    "Plane",
    "Profiles",
    "Quantity",
    "Range",
    "Sobol",
    "Tornado",
    "fit",
    "local_sensitivities",
    "make_ranges",
    "measure",
    "outcome_plane",
    "profiles",
    "quantity",
    "quantity_plane",
    "read_data",
    "simulate_data",
    "sobol",
    "tornado",
]
