"""The committed dashboard: generated as it is, by the rules of Grafana's dashboard-linter, and of Grafana's types."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from crawlerd.service.metric_families import FAMILIES

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/grafana"
TEXT = (CONFIG / "crawlerd.json").read_text()
DASHBOARD: dict[str, Any] = json.loads(TEXT)
PANELS = [each for each in DASHBOARD["panels"] if each["type"] != "row"]
QUERIES = [(panel["title"], target["expr"]) for panel in PANELS for target in panel["targets"]]
ANNOTATIONS = [(each["name"], each["expr"]) for each in DASHBOARD["annotations"]["list"]]
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SELECTOR = re.compile(r"\b([a-zA-Z_:]+)\{([^}]*)\}(\[[^\]]*\])?")
# Of Grafana's list of units, those that are used here.
UNITS = {"Bps", "bytes", "none", "ops", "percentunit", "reqps", "s", "short"}


def selectors() -> Iterator[tuple[str, str, str, str]]:
    """Name of a metric, matchers, range, and what stands before."""
    for _, expr in QUERIES + ANNOTATIONS:
        for found in SELECTOR.finditer(expr):
            yield found[1], found[2], found[3] or "", expr[: found.start()]


def test_it_is_what_the_generator_writes(tmp_path: Path) -> None:
    written = tmp_path / "crawlerd.json"
    subprocess.run([sys.executable, CONFIG / "generate.py", written], check=True, timeout=60)
    assert written.read_text() == TEXT, "run python config/grafana/generate.py"


def test_its_variables_choose_data_source_job_and_instance() -> None:
    source, job, instance = DASHBOARD["templating"]["list"]
    assert (source["name"], source["type"], source["query"]) == ("datasource", "datasource", "prometheus")
    for variable, name in ((job, "job"), (instance, "instance")):
        assert (variable["name"], variable["label"], variable["type"]) == (name, name.title(), "query")
        assert variable["datasource"] == SOURCE
        assert (variable["multi"], variable["includeAll"], variable["allValue"]) == (True, True, ".+")
        assert variable["refresh"] == 2  # when the time range changes
        assert re.fullmatch(r"label_values\(crawlerd_build_info(\{.*\})?, \w+\)", variable["query"])


def test_nobody_edits_what_is_provisioned() -> None:
    assert DASHBOARD["editable"] is False
    assert (DASHBOARD["title"], DASHBOARD["uid"]) == ("crawlerd", "crawlerd")


@pytest.mark.parametrize("panel", PANELS, ids=[each["title"] for each in PANELS])
def test_each_panel_says_what_it_shows(panel: dict[str, Any]) -> None:
    assert panel["title"]
    assert panel["description"].endswith(".")
    assert panel["fieldConfig"]["defaults"]["unit"] in UNITS
    assert panel["datasource"] == SOURCE
    assert panel["targets"]
    for target in panel["targets"]:
        assert target["datasource"] == SOURCE
        assert target["legendFormat"]
    refs = [target["refId"] for target in panel["targets"]]
    assert refs == sorted(set(refs))


def test_titles_and_places_are_unique() -> None:
    assert len({panel["title"] for panel in PANELS}) == len(PANELS) >= 20
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    fields = [
        (x, y)
        for panel in DASHBOARD["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(fields) == len(set(fields))
    assert max(x for x, _ in fields) < 24


def test_each_selector_is_of_the_chosen_daemons() -> None:
    for name, matchers, _, _ in selectors():
        assert 'job=~"$job"' in matchers.split(","), name
        assert 'instance=~"$instance"' in matchers.split(","), name
    for title, expr in QUERIES + ANNOTATIONS:  # and nothing is selected without braces
        bare = SELECTOR.sub("", expr)
        assert not re.search(r"\b(crawlerd|process|python)_", bare), title


def test_counters_are_rates_over_the_interval_that_grafana_chooses() -> None:
    for name, _, range_, before in selectors():
        if name.endswith(("_total", "_bucket")):
            function = re.search(r"(\w+)\($", before)
            assert function, name
            assert function[1] in ("rate", "increase"), name
            assert range_ == {"rate": "[$__rate_interval]", "increase": "[1h]"}[function[1]], name
        else:
            assert not range_ or name == "process_start_time_seconds"


def test_it_asks_for_metrics_that_there_are() -> None:
    families = {each.name: each for each in FAMILIES}
    for name, matchers, _, _ in selectors():
        if not name.startswith("crawlerd_"):
            assert name.startswith("process_") or name == "ALERTS"
            continue
        family = families[re.sub(r"_(total|bucket)$", "", name)]
        assert name.endswith("_total") == (family.type == "counter")
        assert name.endswith("_bucket") == (family.type == "histogram")
        labels = set(re.findall(r"(\w+)\s*[=!]", matchers)) - {"job", "instance"}
        assert labels <= set(family.labels)
    for title, expr in QUERIES:
        grouped = {label for by in re.findall(r"by \(([^)]*)\)", expr) for label in by.split(", ")}
        known = {label for name in SELECTOR.findall(expr) for label in _labels(name[0])}
        assert grouped - {"job", "instance", "le"} <= known, title


def _labels(name: str) -> tuple[str, ...]:
    found = re.sub(r"_(total|bucket)$", "", name)
    return next((each.labels for each in FAMILIES if each.name == found), ())


def test_provisioning_finds_it() -> None:
    dashboards = (CONFIG / "provisioning/dashboards/crawlerd.yml").read_text()
    assert "path: /var/lib/grafana/dashboards" in dashboards
    assert "allowUiUpdates: false" in dashboards
    source = (CONFIG / "provisioning/datasources/prometheus.yml").read_text()
    assert "type: prometheus" in source


def test_grafanas_types_accept_it(tmp_path: Path) -> None:
    here = Path(__file__).parent
    assert shutil.which("npm"), "install Node.js and npm: the types of the dashboard come from there"
    if not (here / "node_modules/@grafana/schema").exists():
        command = ["npm", "ci", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        subprocess.run(command, cwd=here, check=True, timeout=100)

    for name, dashboard in (("right", TEXT), ("wrong", TEXT.replace('"title": "Memory"', '"titles": "Memory"'))):
        (tmp_path / f"{name}.ts").write_text(
            f'import type {{ WrittenDashboard }} from "{here}/written";\n'
            f"export const dashboard: WrittenDashboard = {dashboard};\n"
        )
    options = ["--noEmit", "--strict", "--target", "es2022", "--module", "esnext", "--moduleResolution", "bundler"]
    command = [str(here / "node_modules/.bin/tsc"), *options, "right.ts", "wrong.ts"]
    checked = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=100)
    errors = re.findall(r"^(\S+)\(\d+,\d+\): (error \w+)", checked.stdout, re.MULTILINE)
    assert errors == [("wrong.ts", "error TS2353")], checked.stdout[:2000]
