import pytest

from tests.trials import stand_in


@pytest.fixture
def small(monkeypatch):
    """ZUMA-1 on the stand-in model and solver."""
    monkeypatch.setattr("livingdrug.therapy.infusion.library_model", lambda name: stand_in.MODEL)
    monkeypatch.setattr("livingdrug.therapy.infusion._solve", stand_in.solve)
    return stand_in.trial()
