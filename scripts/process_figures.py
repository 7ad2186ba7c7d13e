"""Draw docs/images/processes.svg and print the numbers of docs/journey/processes.md; same seed, same picture."""

from pathlib import Path

import vl_convert

from livingdrug.reports import charts, making_figures
from livingdrug.reports.making import comparison_table, shortening
from livingdrug.therapy.processes import process, process_names

IMAGE = Path(__file__).parents[1] / "docs" / "images" / "processes.svg"
PATIENTS, SEED = 20_000, 1


def main() -> None:
    """Run all processes, draw the days by kind, print the table and the words."""
    made = [process(name).run(PATIENTS, seed=SEED) for name in process_names()]
    chart = making_figures._stack_chart(making_figures.kind_rows(made), charts.WIDE)
    spec = charts._specification(chart, background="white")
    IMAGE.write_text(vl_convert.vegalite_to_svg(spec) + "\n", encoding="utf-8")
    found = comparison_table(made)
    for row in (found.headings, *found.rows):
        print(" | ".join(row))
    for batches in made:
        print(batches.process.name, making_figures.days_by_kind(batches))
    print("\n".join(shortening(made)))


if __name__ == "__main__":
    main()
