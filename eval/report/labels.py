"""How a system is shown everywhere in the report: by its title, and by a marker whose shape and colour are its own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from markupsafe import Markup

from adapters.methods import METHODS
from adapters.naming import AdapterName
from common.systems import TWIN, is_twin
from eval.report.charts import marker_svg


@dataclass(frozen=True)
class SystemLabel:
    """style: the class of colour and shape in charts, such as `s1`; marker: the shape alone, beside the title."""

    name: str
    title: str
    style: str
    marker: Markup


Labels = dict[str, SystemLabel]


def system_title(name: str) -> str:
    """ "Base", or the method's title with the seed of a further training; of the twin it says so."""
    if name == "base":
        return "Base"
    if is_twin(name):
        return f"Autoregressive {system_title(name.removeprefix(TWIN)).replace('Base', 'base')}"
    adapter = AdapterName.parse(name)
    title = METHODS[adapter.method].title
    return title if adapter.seed is None else f"{title}, seed {adapter.seed}"


def labels_of(names: Iterable[str]) -> Labels:
    """A label per system, styles in the order given."""
    return {
        name: SystemLabel(name, system_title(name), f"s{index}", marker_svg(f"s{index}"))
        for index, name in enumerate(names)
    }
