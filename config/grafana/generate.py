"""Writes crawlerd.json, the dashboard, from panels.py: python config/grafana/generate.py [FILE]

Needs crawlerd[grafana]. The tests generate it again and compare.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from grafana_foundation_sdk.builders import bargauge, common, dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common as common_models
from grafana_foundation_sdk.models import dashboard as models
from panels import CHOSEN, ROWS, STEP, Panel

SOURCE = models.DataSourceRef(type_val="prometheus", uid="${datasource}")
KINDS = {"stat": stat.Panel, "timeseries": timeseries.Panel, "bargauge": bargauge.Panel, "table": table.Panel}
SIZES = {"stat": (8, 4), "timeseries": (8, 8), "bargauge": (8, 8), "table": (8, 8)}  # of 24 columns; height
REFS = "ABCDEFGH"
# The SDK writes these although the kind of variable, panel or annotation has no such field.
NO_FIELDS = {"auto", "auto_min", "auto_count", "id"}


def main() -> None:
    path = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("crawlerd.json")
    path.write_text(generated())


def generated() -> str:
    built = _without_nulls(json.loads(json.dumps(_dashboard().build(), cls=JSONEncoder)))
    for variable in built["templating"]["list"]:
        for name in NO_FIELDS:
            variable.pop(name, None)
    for number, each in enumerate(built["panels"], start=1):
        each["id"] = number
    return json.dumps(built, indent=1, sort_keys=True) + "\n"


def _dashboard() -> dashboard.Dashboard:
    made = (
        dashboard.Dashboard("crawlerd")
        .uid("crawlerd")
        .description("Is it importing, is it at the limit, what is wrong, why is it slow?")
        .tags(["crawlerd"])
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .readonly()
        .with_variable(dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus"))
        .with_variable(_variable("job", "Job", "label_values(crawlerd_build_info, job)"))
        .with_variable(_variable("instance", "Instance", 'label_values(crawlerd_build_info{job=~"$job"}, instance)'))
        .annotation(_annotation("Restarts", "blue", f"changes(process_start_time_seconds{{{CHOSEN}}}[{STEP}]) > 0"))
        .annotation(_annotation("Alerts", "red", f'ALERTS{{alertname=~"Crawlerd.+",alertstate="firing",{CHOSEN}}}'))
    )
    for title, panels in ROWS.items():
        made = made.with_row(dashboard.Row(title))
        for each in panels:
            made = made.with_panel(_panel(each))
    return made


def _variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".+")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def _annotation(name: str, color: str, expr: str) -> dashboard.AnnotationQuery:
    return dashboard.AnnotationQuery().name(name).datasource(SOURCE).enable(True).icon_color(color).expr(expr)


def _panel(spec: Panel) -> Any:
    width, height = SIZES[spec.kind]
    made = KINDS[spec.kind]().title(spec.title).description(spec.description).unit(spec.unit).datasource(SOURCE)
    made = made.span(width).height(height).min(0)
    if spec.most is not None:
        made = made.max(spec.most)
    steps = [models.Threshold(value=0, color="green")]
    if spec.warn is not None:
        steps.append(models.Threshold(value=spec.warn, color="orange"))
    made = made.thresholds(dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps))
    for ref, query in zip(REFS, spec.queries, strict=False):
        target = prometheus.Dataquery().ref_id(ref).expr(query.expr).legend_format(query.legend).datasource(SOURCE)
        made = made.with_target(target.instant().format("table") if spec.kind == "table" else _timed(spec, target))
        if query.dashed:
            made = made.override_by_query(
                ref, [models.DynamicConfigValue("custom.lineStyle", {"fill": "dash", "dash": [10, 10]})]
            )
    match spec.kind:
        case "timeseries":
            made = made.legend(
                common.VizLegendOptions()
                .display_mode(common_models.LegendDisplayMode.LIST)
                .placement(common_models.LegendPlacement.BOTTOM)
                .show_legend(True)
            ).tooltip(common.VizTooltipOptions().mode(common_models.TooltipDisplayMode.MULTI))
            if spec.stacked:
                made = made.fill_opacity(30).stacking(common.StackingConfig().mode(common_models.StackingMode.NORMAL))
        case "bargauge":
            made = made.orientation(common_models.VizOrientation.HORIZONTAL).reduce_options(_last())
        case "stat":
            made = made.reduce_options(_last())
        case "table":
            made = _with_columns(made, spec)
    return made


def _timed(spec: Panel, target: prometheus.Dataquery) -> prometheus.Dataquery:
    """A gauge of the worst ones asks for this moment: over time, others would be among them too."""
    return target.instant() if spec.kind == "bargauge" else target.range()


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def _with_columns(made: Any, spec: Panel) -> Any:
    """One row for each thing that is told of, with the columns in their order."""
    names = [name for name, _ in spec.columns]
    made = made.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    made = made.with_transformation(
        models.DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": names}})
    )
    made = made.with_transformation(
        models.DataTransformerConfig(
            id_val="organize",
            options={
                "indexByName": {name: place for place, name in enumerate(names)},
                "renameByName": {name: shown for name, shown in spec.columns if name != shown},
            },
        )
    )
    return made.override_by_name("tasks left", [models.DynamicConfigValue("unit", "short")])


def _without_nulls(value: Any) -> Any:
    match value:
        case dict():
            return {name: _without_nulls(each) for name, each in value.items() if each is not None}
        case list():
            return [_without_nulls(each) for each in value]
        case _:
            return value


if __name__ == "__main__":
    main()
