"""How figures read: thousands separators, shares, sizes, times and measured values as short strings."""

from __future__ import annotations

import math

NO_VALUE = "no value"


def number(count: float) -> str:
    """A count with thousands separators: 1,228."""
    return f"{count:,.0f}"


def percent(part: float, whole: float) -> str:
    """A share with one decimal; never rounds something to 0% or a part to 100%. Of nothing: a dash."""
    if whole <= 0:
        return "–"
    share = 100 * part / whole
    if part == 0 or part == whole:
        return f"{share:.0f}%"
    if abs(share) < 0.1:
        return "<0.1%"
    if 99.9 < share < 100:
        return ">99.9%"
    return f"{share:.1f}%"


def size(count: int) -> str:
    """Bytes in decimal units with three figures: 38.2 MB."""
    amount, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB", "TB", "PB"):
        if amount < 999.5:
            break
        amount, unit = amount / 1000, larger
    if unit == "bytes":
        return plural(count, "byte")
    return f"{amount:.{max(0, 2 - len(str(int(amount))) + 1)}f} {unit}"


def duration(seconds: float) -> str:
    """A time: 0.42 s, 12.4 s, 3 min 12 s, 1 h 04 min, 2 d 03 h."""
    if seconds < 9.995:
        return f"{seconds:.2f} s"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes // 1440} d {minutes % 1440 // 60:02d} h"


def rate(count: float, seconds: float) -> str:
    """Documents per second with about three figures; a dash where no time was measured."""
    if seconds <= 0:
        return "–"
    speed = count / seconds
    return number(speed) if speed >= 99.5 else f"{speed:#.3g}"


def measured(value: bool | float | str | None) -> str:
    """A measured value: four significant figures, whole numbers in full; a string as it is."""
    if value is None:
        return NO_VALUE
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if math.isnan(value):
        return NO_VALUE
    if math.isinf(value):
        return "infinite" if value > 0 else "−infinite"
    if value == int(value) and abs(value) < 1e15:
        return f"{int(value):,}"
    if 1e-4 <= abs(value) < 1e6:
        digits = max(0, 3 - math.floor(math.log10(abs(value))))
        text = f"{value:,.{digits}f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return f"{value:.3g}"


def axis(value: float) -> str:
    """A tick's label, as short as it can be: 0.25, 500, 1,000, 20k, 3M."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= limit:
            return f"{value / (1e3 if unit == 'k' else limit):.3g}{unit}"
    return measured(float(f"{value:.3g}"))


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: "1 document", "1,228 documents"."""
    return f"{number(count)} {one if count == 1 else many or one + 's'}"
