"""How numbers are written in reports: few digits, a percent sign, an interval in words that can be read aloud."""

from __future__ import annotations

import math

MISSING = "–"


def number(value: float | int | None, digits: int = 3) -> str:
    """Return a number with ``digits`` significant digits, thousands separated, or a dash when it is missing.

    Example:
        >>> number(31.5503), number(1234567), number(0.10444), number(float("nan"))
        ('31.6', '1,230,000', '0.104', '–')
    """
    if value is None or not math.isfinite(value):
        return MISSING
    if value == 0:
        return "0"
    size = math.floor(math.log10(abs(value)))
    if size >= 9 or size < -4:
        return scientific(value, digits)
    places = max(0, digits - 1 - size)
    rounded = round(value, digits - 1 - size)
    text = f"{rounded:,.{places}f}"
    return text.rstrip("0").rstrip(".") if "." in text and float(value).is_integer() else text


def scientific(value: float, digits: int = 3) -> str:
    """Return a very large or very small number as a product with a power of ten.

    Example:
        >>> scientific(2.5e11)
        '2.5 × 10¹¹'
    """
    mantissa, power = f"{value:.{digits - 1}e}".split("e")
    superscript = str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    mantissa = mantissa.rstrip("0").rstrip(".") if "." in mantissa else mantissa
    return f"{mantissa} × 10{superscript}"


def count(value: float | int) -> str:
    """Return a whole number with thousands separated.

    Example:
        >>> count(10_000)
        '10,000'
    """
    return f"{int(value):,}"


def percent(share: float | None, places: int = 0) -> str:
    """Return a share as a percentage, with a space at which no line breaks.

    Example:
        >>> percent(0.4239).split(), percent(float("nan"))
        (['42', '%'], '–')
    """
    if share is None or not math.isfinite(share):
        return MISSING
    return f"{100 * share:.{places}f}\u00a0%"


def interval(low: float | None, high: float | None, digits: int = 3) -> str:
    """Return an interval as ``low–high``, or a dash when neither end is known.

    Example:
        >>> interval(16.8, 58.8), interval(14.3, float("nan"))
        ('16.8–58.8', 'from 14.3')
    """
    ends = number(low, digits), number(high, digits)
    if ends == (MISSING, MISSING):
        return MISSING
    if MISSING in ends:
        return f"up to {ends[1]}" if ends[0] == MISSING else f"from {ends[0]}"
    return f"{ends[0]}–{ends[1]}"
