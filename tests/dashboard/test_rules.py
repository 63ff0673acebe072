"""Rules and alerts: as promtool tests them, with a case that fires and one that does not, and what to do for each."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from crawlerd.core.reasons import Reason
from crawlerd.service.metric_families import FAMILIES

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config/prometheus"
GROUPS = yaml.safe_load((CONFIG / "crawlerd.rules.yml").read_text())["groups"]
RULES = [rule for group in GROUPS for rule in group["rules"]]
ALERTS: dict[str, dict[str, Any]] = {rule["alert"]: rule for rule in RULES if "alert" in rule}
CASES = [
    (case["alertname"], test, bool(case["exp_alerts"]))
    for path in CONFIG.glob("*_test.yml")
    for test in yaml.safe_load(path.read_text())["tests"]
    for case in test["alert_rule_test"]
]
RUNBOOK = (ROOT / "docs/runbook.md").read_text()


@pytest.mark.parametrize(
    "command",
    [
        ("check", "rules", "crawlerd.rules.yml"),
        ("test", "rules", "crawlerd.rules_test.yml"),
        ("test", "rules", "crawlerd.rules_days_test.yml"),
        ("check", "config", "prometheus.yml"),
    ],
    ids=" ".join,
)
def test_promtool_agrees(command: tuple[str, ...]) -> None:
    checked = subprocess.run(["promtool", *command], cwd=CONFIG, capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_has_a_case_that_fires_one_that_does_not_and_one_without_data(alert: str) -> None:
    assert any(fires for name, _, fires in CASES if name == alert)
    own = [test for name, test, fires in CASES if name == alert and not fires and len(test["input_series"]) > 1]
    assert own or alert == "CrawlerdDown"
    absent = [test for name, test, _ in CASES if name == alert and len(test["input_series"]) <= 1]
    assert absent


@pytest.mark.parametrize("alert", ALERTS)
def test_each_alert_says_how_bad_it_is_and_where_to_read_on(alert: str) -> None:
    rule = ALERTS[alert]
    assert rule["labels"]["severity"] in ("critical", "warning", "info")
    assert rule["annotations"]["summary"]
    page, anchor = rule["annotations"]["runbook_url"].split("#")
    assert page == "docs/runbook.md"
    (section,) = re.findall(rf"^## {re.escape(_title(anchor))}\n(.*?)(?=^## |\Z)", RUNBOOK, re.MULTILINE | re.DOTALL)
    assert section.startswith(f"\n`{alert}`, {rule['labels']['severity']}")
    assert [each in section for each in ("**Meaning.**", "**Why.**", "**Do.**", "**Silence.**")] == [True] * 4
    assert "`crawlerd " in section


def _title(anchor: str) -> str:
    """The heading that has this anchor."""
    titles = {title.lower().replace(" ", "-"): title for title in re.findall(r"^## (.*)$", RUNBOOK, re.MULTILINE)}
    return titles[anchor]


def test_the_runbook_has_no_alert_that_there_is_not() -> None:
    assert set(re.findall(r"^`(Crawlerd\w+)`", RUNBOOK, re.MULTILINE)) == ALERTS.keys()


def test_the_runbook_uses_the_reasons_of_why() -> None:
    reasons = re.findall(r"`waits \((\w+)\)`", RUNBOOK)
    assert len(reasons) > 5
    assert set(reasons) <= set(Reason)


def test_rules_and_panels_use_every_family() -> None:
    """A metric that nothing shows is one that nobody will look for."""
    dashboard = (ROOT / "config/grafana/crawlerd.json").read_text()
    words = set(re.findall(r"crawlerd_\w+", dashboard + " ".join(rule["expr"] for rule in RULES)))
    used = {re.sub(r"_(total|bucket)$", "", word) for word in words}
    assert {each.name for each in FAMILIES} == used & {each.name for each in FAMILIES}


def test_rules_know_only_labels_and_metrics_that_there_are() -> None:
    families = {each.name: each for each in FAMILIES}
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    for rule in RULES:
        for name, matchers in re.findall(r"\b(crawlerd[_:][a-z0-9_:]+)(?:\{([^}]*)\})?", rule["expr"]):
            if name in recorded:
                continue
            family = families[re.sub(r"_(total|bucket)$", "", name)]
            assert name.endswith("_total") == (family.type == "counter"), name
            assert set(re.findall(r"(\w+)[=!]", matchers)) <= set(family.labels), name
