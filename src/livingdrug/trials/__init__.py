"""Clinical trials: designs, runs and outcomes beside what was published."""

from livingdrug.trials.design import Trial, trial_names
from livingdrug.trials.outcome import Outcome

__all__ = ["Outcome", "Trial", "trial_names"]
