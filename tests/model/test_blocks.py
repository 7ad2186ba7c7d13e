"""A model made of blocks is the model written in one body; what does not fit is refused."""

import pytest

from livingdrug.engine.solve import solve
from livingdrug.errors import DeclarationError
from livingdrug.model import Block, Model, birth_death, ddt, parameter, state


def blocks():
    class Cells(Block):
        death = parameter(0.1, "1/day", "rate of death", source="assumed: a test")
        cells = state("cell", "CAR T cells", initial=1e6)
        _dying = death * cells
        equations = {ddt(cells): -_dying}

    class Tumour(Block):
        growth = parameter(0.2, "1/day", "rate of growth", source="assumed: a test")
        tumour = state("cell", "tumour cells", initial=1e6)
        born = growth * tumour
        killed = Cells.death * tumour * Cells.cells / (Cells.cells + tumour)
        equations = {ddt(tumour): born - killed}
        jumps = [birth_death(tumour, birth=born, death=killed)]

    return Cells, Tumour


def test_a_model_of_blocks_is_the_model_in_one_body():
    first, second = blocks()

    class Both(Model):
        """Two blocks."""

        name = "same"
        blocks = [first, second]
        outputs = {"car_t_total": first.cells, "tumour_cells": second.tumour}

    class Whole(Model):
        """One body."""

        name = "same"
        death = parameter(0.1, "1/day", "rate of death", source="assumed: a test")
        cells = state("cell", "CAR T cells", initial=1e6)
        growth = parameter(0.2, "1/day", "rate of growth", source="assumed: a test")
        tumour = state("cell", "tumour cells", initial=1e6)
        born = growth * tumour
        killed = death * tumour * cells / (cells + tumour)
        equations = {ddt(cells): -(death * cells), ddt(tumour): born - killed}
        jumps = [birth_death(tumour, birth=born, death=killed)]
        outputs = {"car_t_total": cells, "tumour_cells": tumour}

    assert Both.fingerprint == Whole.fingerprint
    assert [list(m.definitions) for m in (Both, Whole)] == [["born", "killed"]] * 2
    one, other = (solve(m, {"death": 0.3}, [0.0, 9.0]) for m in (Both, Whole))
    assert (one.values == other.values).all()


def test_a_name_stands_once():
    first, second = blocks()
    with pytest.raises(DeclarationError, match="'growth' is declared in Tumour and again in Twice"):

        class Twice(Model):
            """A parameter named as in a block."""

            blocks = [first, second]
            growth = parameter(0.2, "1/day", "rate of growth", source="assumed: a test")
            outputs = {"car_t_total": first.cells}


def test_blocks_are_blocks():
    with pytest.raises(DeclarationError, match="blocks must hold classes made as class Name"):

        class Wrong(Model):
            """A number instead of a block."""

            blocks = [7]


def test_a_block_belongs_to_one_model():
    first, second = blocks()

    class One(Model):
        """The first owner."""

        blocks = [first, second]
        outputs = {"car_t_total": first.cells}

    with pytest.raises(DeclarationError, match="is already named 'death'"):

        class Two(Model):
            """The second owner."""

            blocks = [first, second]
            outputs = {"car_t_total": first.cells}


def test_a_block_holds_no_other_keyword():
    class Odd(Block):
        cells = state("cell", "CAR T cells", initial=1e6)
        outputs = {"car_t_total": cells}
        equations = {ddt(cells): 0}

    with pytest.raises(DeclarationError, match="outputs"):

        class Holder(Model):
            """A block with outputs of its own, which would never be seen."""

            blocks = [Odd]
