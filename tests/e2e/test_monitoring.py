"""A real Prometheus scrapes a real daemon in trouble: each query has data, each trouble its alert."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import apsw
import yaml
from support.constants import Constant
from support.installation import NO_LIMITS, until
from support.prometheus import Prometheus, hurried
from support.rest_api import Answer, Request, RestApi
from support.shops import serve, shop
from support.troubled_imports import NAMES, troubled

if TYPE_CHECKING:
    from collections.abc import Callable

    from support.installation import Installation

CONFIG = Path(__file__).parents[2] / "config"
DASHBOARD = json.loads((CONFIG / "grafana/crawlerd.json").read_text())
RULES = (CONFIG / "prometheus/crawlerd.rules.yml").read_text()
SELECTOR = re.compile(r"\b(?:crawlerd|process)[_:][a-z0-9_:]+(?:\{[^}]*\})?")
# The alerts of the troubles that the imports have.
OURS = {
    "CrawlerdImportStale",
    "CrawlerdImportFailing",
    "CrawlerdDeadLetters",
    "CrawlerdThrottled",
    "CrawlerdApiDown",
    "CrawlerdCredentialsRefused",
    "CrawlerdQuotaNearlyUsed",
    "CrawlerdConfigRefused",
}
# Those of the machine.
OF_MACHINE = {"CrawlerdHeldUp", "CrawlerdImportRefused", "CrawlerdWorkersRestart", "CrawlerdNotImporting"}


def chosen(expr: str) -> str:
    """As Grafana asks, with all daemons chosen."""
    for name, value in {"$job": ".+", "$instance": ".+", "$__rate_interval": "1m"}.items():
        expr = expr.replace(name, value)
    return expr


def queries() -> dict[str, str]:
    """By where each stands: those of panels and annotations, records, and what alerts read."""
    found = {
        f"{panel['title']} {target['refId']}": chosen(target["expr"])
        for panel in DASHBOARD["panels"]
        for target in panel.get("targets", ())
    }
    for each in DASHBOARD["annotations"]["list"]:
        found[each["name"]] = chosen(each["expr"]).removesuffix(" > 0")  # the daemon was not restarted
    for rule in (rule for group in yaml.safe_load(RULES)["groups"] for rule in group["rules"]):
        if "record" in rule:
            found[rule["record"]] = rule["record"]
        else:
            found |= {f"{rule['alert']} {each}": each for each in SELECTOR.findall(rule["expr"])}
    return found


def test_every_query_has_data_and_each_trouble_its_alert(install: Callable[..., Installation], tmp_path: Path) -> None:
    with RestApi() as api, socket.create_server(("127.0.0.1", 0)) as closed:
        address = f"http://127.0.0.1:{closed.getsockname()[1]}"
        closed.close()
        here = troubled(install, api, address)
        assert len(NAMES) == len(here.config["imports"]) == 20
        assert here.run("pause", "import", "paused", "--reason", "theirs").code == 0
        daemon = here.start("run")
        target = daemon.says(r"http://(\S+)/metrics")[1]
        with Prometheus(tmp_path / "prometheus", [target], hurried(RULES)) as prometheus:
            assert here.run("frontier", "backup", str(tmp_path / "copy.db")).code == 0
            (here.folder / "crawlerd.toml").write_text("[daemon\n")
            daemon.send(signal.SIGHUP)
            wanted = queries()
            prometheus.until(lambda: {name for name, expr in wanted.items() if not prometheus.values(expr)})
            prometheus.until(lambda: OURS - prometheus.firing())
            assert prometheus.firing() == OURS
            paused = prometheus.values("crawlerd_import_paused == 1")
            assert [labels["import"] for labels, _ in paused] == ["paused"]
            reasons = {"down": "outage", "quota": "quota", "refused": "refused", "throttled": "throttled"}
            prometheus.until(
                lambda: {
                    f"{name} waits for {reason}"
                    for name, reason in reasons.items()
                    if not prometheus.values(f'crawlerd_import_waits{{import="{name}",reason="{reason}"}} == 1')
                }
            )
            dead = prometheus.values("crawlerd_import_dead_letters > 0")
            assert {labels["import"] for labels, _ in dead} == {"dead", "fails"}
            health = [rule["health"] for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
            assert set(health) == {"ok"}
            stale = prometheus.values('ALERTS{alertname="CrawlerdImportStale",alertstate="firing"}')
            assert {labels["import"] for labels, _ in stale} == {"fails"}
            drawn = tmp_path / "drawn.svg"
            command = [sys.executable, CONFIG / "grafana/draw.py", prometheus.url, "1", drawn]
            subprocess.run(command, check=True, timeout=60)
            shown = {"".join(each.itertext()) for each in ElementTree.parse(drawn).findall(".//{*}text")}  # noqa: S314
            assert shown >= {panel["title"] for panel in DASHBOARD["panels"]} | {"failed", "quota 3/hour", "slow"}
            daemon.kill()
            prometheus.until(lambda: {"CrawlerdDown"} - prometheus.firing())


def test_troubles_of_the_machine_have_their_alerts(install: Callable[..., Installation], tmp_path: Path) -> None:
    """One daemon waits for an API that hangs. The other has a sink that is locked and one that is none, loses workers,
    and is restarted."""
    hanging = threading.Event()

    def hang(_: Request) -> Answer:
        hanging.wait(60)
        return Answer([])

    with RestApi(hang) as silent, RestApi() as api:
        waits = shop(install, silent, {"orders": ["orders"]}, **NO_LIMITS)
        waits.config["imports"]["orders"]["schedule"] = "1d"
        serve(api, 2000)
        here = shop(install, api, {"orders": ["orders", "lines"], "new": ["orders"]}, limits=["20/second"])
        here.constants = {Constant.WORKER_RESTART_SECONDS: 0.1, Constant.SQLITE_SINK_BUSY_SECONDS: 0.05}
        (here.folder / "taken").write_text("no database")
        here.config["sinks"]["broken"] = {"type": "sqlite", "path": "taken"}
        here.config["imports"]["orders"]["schedule"] = "1d"
        here.config["imports"]["new"] |= {"sink": "broken", "schedule": "1d"}
        daemon = here.start("run")
        targets = [each.says(r"http://(\S+)/metrics")[1] for each in (waits.start("run"), daemon)]
        try:
            with Prometheus(tmp_path / "prometheus", targets, hurried(RULES)) as prometheus:
                until(lambda: here.sink_path.exists() and len(api.requests) > 20)
                other = f'instance="{targets[1]}"'
                prometheus.until(
                    lambda: set() if prometheus.values(f"crawlerd_workers{{{other}}} == 1") else {"worker"}
                )
                with closing(apsw.Connection(str(here.sink_path))) as reader:
                    reader.set_busy_timeout(10_000)
                    reader.execute("BEGIN EXCLUSIVE")
                    gone: set[int] = set()
                    for _ in range(6):
                        worker = until(lambda: next((each for each in daemon.workers() if each.pid not in gone), None))
                        gone.add(worker.pid)
                        worker.kill()
                    wanted = {
                        "CrawlerdHeldUp",
                        "CrawlerdImportRefused",
                        "CrawlerdWorkersRestart",
                        "CrawlerdNotImporting",
                    }
                    prometheus.until(lambda: wanted - prometheus.firing())
                    of_waiting = prometheus.values('ALERTS{alertname="CrawlerdNotImporting",alertstate="firing"}')
                    assert {labels["instance"] for labels, _ in of_waiting} == {targets[0]}
                here.config["daemon"]["listen"] = targets[1]
                started = f"process_start_time_seconds{{{other}}}"
                for _ in range(4):
                    before = prometheus.values(started)
                    daemon.kill()
                    daemon = here.start("run")
                    prometheus.until(
                        lambda before=before: set() if prometheus.values(f"{started} > {before[0][1]}") else {"start"}
                    )
                prometheus.until(lambda: {"CrawlerdRestarting"} - prometheus.firing())
        finally:
            hanging.set()
