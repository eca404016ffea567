"""A report as one page that needs no other file, no script and no network."""

from __future__ import annotations

from functools import cache
from typing import Final

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from benchmarks.report.document import Report
from benchmarks.report.facts import arm_facts, facts, failures, title
from benchmarks.report.peer_tables import peer_table
from benchmarks.report.plots.draw import Plot, Section, draw
from benchmarks.report.plots.panels import arm_styles
from benchmarks.report.plots.svg import LINES, THEME, css_variables
from benchmarks.report.tables import (
    crossover_table,
    equality_table,
    figures_table,
    further_table,
    resources_table,
    speedup_table,
    workload_table,
)
from benchmarks.report.wording import FORMULAS

_VARIABLES: Final = {light: f"var(--{name})" for name, light, _ in THEME}


def to_html(report: Report) -> str:
    """The whole page. The same report gives the same bytes."""
    plots = draw(report)
    styles = arm_styles(report)

    def of(section: Section) -> list[Plot]:
        return [plot for plot in plots if plot.section == section]

    return _template().render(
        report=report,
        title=title(report),
        theme=Markup(css_variables(":root") + LINES),  # noqa: S704 - ours, and constant
        facts=facts(report),
        arms=[(arm, Markup(_VARIABLES[styles[arm.name].colour])) for arm in arm_facts(report)],  # noqa: S704 - ours
        of=of,
        svg=lambda plot: Markup(plot.svg),  # noqa: S704 - matplotlib's, which escapes text
        workloads=workload_table(report),
        speedups=speedup_table(report),
        further=further_table(report),
        crossovers=crossover_table(report),
        figures=[figures_table(report, name) for name in report.workload_names()],
        resources=resources_table(report),
        equality=equality_table(report),
        peers=peer_table(report),
        failures=failures(report),
        formulas=FORMULAS,
    )


@cache
def _template() -> Template:
    environment = Environment(
        loader=PackageLoader("benchmarks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("report.html.j2")
