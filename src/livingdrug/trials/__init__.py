"""Clinical trials: trials of the twin, and trials of a paper's model beside what was published."""

from livingdrug.trials.design import Trial, trial_names
from livingdrug.trials.outcome import Outcome
from livingdrug.trials.outcomes import Outcomes
from livingdrug.trials.protocol import Protocol, protocol_names

__all__ = ["Outcome", "Outcomes", "Protocol", "Trial", "protocol_names", "trial_names"]
