"""The LaTeX document: nothing unescaped, every environment closed, every quantity in a table."""

import re

import pytest

from livingdrug.exports.latex import escaped, to_latex
from livingdrug.library import load_model, model_names


@pytest.mark.parametrize("name", model_names())
def test_the_document_is_whole(name):
    model = load_model(name)
    text = to_latex(model)
    opened = re.findall(r"\\(begin|end)\{(\w+\*?)\}", text)
    stack = []
    for what, environment in opened:
        if what == "begin":
            stack.append(environment)
        else:
            assert stack.pop() == environment
    assert not stack
    bare = re.sub(r"\\[{}]", "", text)
    assert bare.count("{") == bare.count("}")
    for part in [*model.states, *model.parameters, *model.outputs]:
        assert escaped(part) + " &" in text


@pytest.mark.parametrize("name", model_names())
def test_every_row_of_a_table_has_as_many_cells_as_columns(name):
    for columns, body in re.findall(
        r"\\begin\{longtable\}\{([^\n]*)\}\n(.*?)\\end\{longtable\}", to_latex(load_model(name)), re.DOTALL
    ):
        expected = len(re.findall(r"p\{[^}]*\}|l", columns))
        rows = [line for line in body.splitlines() if line.endswith(r"\\")]
        assert rows
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == expected - 1


def test_no_character_keeps_its_meaning():
    special = '\\{}$&#^_~%<>|"'
    left = re.sub(r"\\[&%$#_{}]|\\text\w+\{\}", "", escaped(special))
    assert left == ""
