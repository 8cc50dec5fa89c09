"""Numbers, cells of tables, lists and facts as the report prints them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from eval.metrics import Metric
from eval.metrics.statistics import SIGNIFICANT


def number(value: float, metric: Metric) -> str:
    """A value of the metric as printed: a percentage for shares, otherwise with the metric's decimals."""
    if metric.share:
        return f"{100 * value:.0f}%"
    return f"{value:.{metric.decimals}f}"


def signed(value: float, metric: Metric) -> str:
    text = number(abs(value), metric)
    return text if float(text.rstrip("%")) == 0 else f"{'+' if value > 0 else '−'}{text}"


def interval_text(entry: Mapping[str, Any], metric: Metric) -> str:
    """ "low to high" of an entry of metrics.json, empty where it has no interval."""
    if entry["low"] is None:
        return ""
    return f"{number(entry['low'], metric).rstrip('%')} to {number(entry['high'], metric)}"


@dataclass(frozen=True)
class TableCell:
    """The value, and the interval below it where there is one."""

    text: str
    interval: str = ""


def interval_cell(entry: Mapping[str, Any] | None, metric: Metric) -> TableCell:
    """Value and interval of one entry of metrics.json, with its standard error where it has one."""
    if entry is None:
        return TableCell("–")
    interval = interval_text(entry, metric)
    if "standard_error" in entry:
        interval += f", SE {number(entry['standard_error'], metric)}"
    return TableCell(number(entry["value"], metric), interval)


def p_value(value: float) -> str:
    if SIGNIFICANT < value < 0.0505:  # 0.050 would look like a rejection
        return f"{value:.4f}"
    return "below 0.001" if value < 0.001 else f"{value:.3f}" if value < 0.1 else f"{value:.2f}"


def percent(share: float) -> str:
    return f"{100 * share:.0f}%"


def rate_text(rate: float) -> str:
    """A learning rate as people write it, to three digits: 3e-3, 7.5e-4."""
    digits, power = f"{rate:.2e}".split("e")
    return f"{float(digits):g}e{int(power)}"


def listed(names: Iterable[str], word: str = "and") -> str:
    """ "a", "a and b", "a, b and c"."""
    *first, last = names
    return f"{', '.join(first)} {word} {last}" if first else last


def flatten(facts: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested facts as lines of (dotted name, text); long lists are counted instead of spelt out."""
    lines: list[tuple[str, str]] = []
    for key, value in facts.items():
        name = f"{prefix}{str(key).replace('_', ' ')}"
        if isinstance(value, Mapping):
            lines += flatten(value, f"{name} · ")
        elif isinstance(value, list) and (len(value) > 8 or any(isinstance(one, dict | list) for one in value)):
            lines.append((name, f"{len(value)} entries"))
        elif isinstance(value, list):
            lines.append((name, ", ".join(fact_text(one) for one in value) or "none"))
        else:
            lines.append((name, fact_text(value)))
    return lines


def fact_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}" if abs(value) >= 10_000 else str(value)
    if isinstance(value, float):
        return f"{value:,.4g}" if abs(value) < 10_000 else f"{value:,.0f}"
    return str(value)
