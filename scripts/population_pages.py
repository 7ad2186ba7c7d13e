"""Write the generated parts of docs/population.md and docs/products.md from the declarations.

Run ``python scripts/population_pages.py``; with ``--check`` it says whether the pages are current.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from livingdrug.exports.markdown import table as table_lines
from livingdrug.population.diseases import BURDENS, COLUMNS, DISEASES, disease
from livingdrug.population.effects import effects
from livingdrug.population.free import between, free_parameters
from livingdrug.population.products import PRODUCTS, DoseRule, Indication, Part, product
from livingdrug.therapy.stated import Stated

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGIN, END = "<!-- written by scripts/population_pages.py -->", "<!-- end -->"


def table(heads: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """Return a Markdown table."""
    return "\n".join(table_lines(heads, rows))


def _origin(stated: Stated) -> str:
    words = ": ".join(filter(None, (f"`{stated.source}`" if stated.source else "", stated.note)))
    return f"{stated.mark}; {words}" if words else stated.mark


def _columns(name: str) -> str:
    found = disease(name)
    held = {**COLUMNS, **BURDENS}
    rows = [(f"`{key}`", held[key][3], value.describe(), _origin(value)) for key, value in found.columns.items()]
    rows.append(("low expanders", "share of patients", found.low_expanders.describe(), _origin(found.low_expanders)))
    rows += [(f"`{key}`", "of the body", value.describe(), _origin(value)) for key, value in found.body_values.items()]
    together = "; ".join(f"{' and '.join(pair.between)} {pair.value:g}" for pair in found.correlations)
    return "\n\n".join(
        (
            f"### {found.title} (`{name}`)",
            " ".join((*found.assumptions, f"Calibrated with `{found.group}`.")),
            table(("column", "what", "distribution", "known how"), rows),
            f"Correlations (on the normal scale, assumed): {together}.",
        )
    )


def _powers(on: dict[str, float]) -> str:
    return ", ".join(f"`{name}`" if power == 1 else f"`{name}` to the {power:g}" for name, power in on.items())


def population() -> str:
    """Return the generated part of docs/population.md."""
    known = effects()
    acting = [
        (f"`{n}`", e.title, _powers(e.on), e.spread.describe().removesuffix(" 1"), _origin(e.spread))
        for n, e in known.effects.items()
    ]
    covariates = [(f"`{n}`", _powers(c.on), f"{c.mark}; {c.note}") for n, c in known.covariates.items()]
    covariates += [(f"`{column}`", f"is `{parameter}`", "as it is") for column, parameter in known.direct.items()]
    free = [
        (f"`{f.name}`", f.level, f"{f.prior_median:g}", f"{f.prior_log_sd:g}", f.informed_by, f.note)
        for f in free_parameters()
    ]
    new = ", ".join(f"`{name.split(':')[0]}` {sd:g}" for name, sd in between("mcl", "axi_cel").items())
    also = ", ".join(f"`{name.split(':')[0]}` {sd:g}" for name, sd in between("lbcl", "brexu_cel").items())
    return "\n\n".join(
        (
            "## Effects",
            table(("effect", "what", "multiplies", "SD of the logarithm between patients", "known how"), acting),
            "## Covariates that act on the course",
            table(("covariate", "acts on, relative to the median", "known how"), covariates),
            f"## The {len(free)} free parameters",
            table(("name", "level", "prior median", "prior log SD", "informed by", "note"), free),
            f"A disease without a calibrated trial varies by a log SD of {new}; a product by {also} (assumed).",
            "## Diseases",
            *(_columns(name) for name in DISEASES),
        )
    )


def _parts(parts: tuple[Part, ...]) -> str:
    return " and ".join(f"{part.cells:.3g} on day {part.day:g}" for part in parts)


def _dose(rule: DoseRule) -> str:
    if rule.split is not None:
        above, others = _parts(rule.split.above), _parts(rule.split.others)
        return f"{rule.split.by} above {rule.split.threshold:g}: {above}; else {others}"
    if rule.levels:
        return ", ".join(f"{level.cells:.3g} ({level.weight:g})" for level in rule.levels)
    said = []
    for band in rule.bands:
        stated = band.per_kg or band.flat
        assert stated is not None
        ends = f"{band.from_kg:.3g} to {band.below_kg:.3g} kg: " if len(rule.bands) > 1 else ""
        cap = f", at most {band.most_cells:.3g}" if band.most_cells else ""
        said.append(f"{ends}{stated.describe()}{cap} ({_origin(stated)})")
    parts = (
        "; in parts of " + ", ".join(f"{f.share:g} on day {f.day:g}" for f in rule.fractions) if rule.fractions else ""
    )
    return "; ".join(said) + parts


def _depletion(given: Indication) -> str:
    if isinstance(given.lymphodepletion, str):
        return given.lymphodepletion
    return ", ".join(
        f"{row.drug} {row.mg_per_m2:g} mg/m2 x {row.days} from day {row.first_day:g}" for row in given.lymphodepletion
    )


def products() -> str:
    """Return the generated part of docs/products.md."""
    heads = (
        "product",
        "target",
        "binder",
        "hinge, transmembrane",
        "costimulation",
        "vector",
        "composition",
        "recalled",
    )
    parts = []
    for name in PRODUCTS:
        drug, cell = product(name), product(name).receptor
        region = f"{cell.hinge}, {cell.transmembrane}"
        who = f"`{name}` {drug.generic}" + (f" ({drug.brand})" if drug.brand else "")
        row = (who, cell.target, cell.binder, region, cell.costimulation, drug.process.vector, drug.process.composition)
        parts.append((*row, ", ".join(cell.recalled)))
    doses = [
        (f"`{name}`", f"`{key}`", given.lines, _dose(given.dose), _depletion(given), given.note)
        for name in PRODUCTS
        for key, given in product(name).indications.items()
    ]
    return "\n\n".join(
        (
            "## Receptors and processes",
            table(heads, parts),
            "## Doses and lymphodepletion",
            table(("product", "indication", "after", "CAR T cells", "lymphodepletion", "known how"), doses),
        )
    )


PAGES: dict[Path, Callable[[], str]] = {DOCS / "population.md": population, DOCS / "products.md": products}


def page(path: Path) -> str:
    """Return a whole page with its generated part renewed."""
    before, _, rest = path.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{PAGES[path]()}\n\n{END}{after}"


def main(check: bool) -> int:
    """Write the pages, or say which are not current."""
    stale = [path for path in PAGES if path.read_text(encoding="utf-8") != page(path)]
    for path in stale:
        if check:
            print(f"{path.name} is not current: run python scripts/population_pages.py")
        else:
            path.write_text(page(path), encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main("--check" in sys.argv[1:]))
