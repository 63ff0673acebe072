"""What Prometheus scrapes of a real daemon: all families, all their children from the start, in order for promtool."""

from __future__ import annotations

import shutil
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING

import psutil
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families
from support.installation import NO_LIMITS, Installation, Running, fetch, metrics_of, tasks_of, total_of, until

from crawlerd.demo.objects import STREAMS, count
from crawlerd.service.metric_families import DEPRECATED, FAMILIES

if TYPE_CHECKING:
    from collections.abc import Callable

    from crawlerd.demo.server import Server

CUSTOMERS = 40  # of the local API
OF_PROCESS = ("process_", "python_")
# These have a series only once there is something that they can tell of.
LATER = {
    "crawlerd_account_backlog_tasks",
    "crawlerd_quota_used_ratio",
    "crawlerd_backup_last_success_timestamp_seconds",
    "crawlerd_import_interval_seconds",  # on demand
    "crawlerd_import_last_success_timestamp_seconds",
    "crawlerd_import_last_run_duration_seconds",
    "crawlerd_import_open_tasks",
    "crawlerd_import_eta_seconds",
    "crawlerd_import_waits",
    "crawlerd_import_dead_letters",
    "crawlerd_import_last_full_run_seen_records",
}


def asked(daemon: Running, path: str, accept: str = "") -> tuple[str, str]:
    """Content type and body."""
    found = daemon.says(r"http://(\S+)/metrics")
    connection = HTTPConnection(found[1], timeout=10)
    try:
        connection.request("GET", path, headers={"Accept": accept} if accept else {})
        response = connection.getresponse()
        assert response.status == 200
        return response.getheader("Content-Type", ""), response.read().decode()
    finally:
        connection.close()


def children(daemon: Running) -> set[str]:
    return {name for name in metrics_of(daemon) if not name.startswith(OF_PROCESS)}


def complaints(promtool: str, text: str) -> str:
    done = subprocess.run([promtool, "check", "metrics"], input=text, text=True, capture_output=True, timeout=20)
    return f"{done.returncode or ''}{done.stdout}{done.stderr}"


@pytest.fixture
def promtool() -> str:
    found = shutil.which("promtool")
    assert found, "install the Debian package prometheus: promtool is part of it"
    return found


def test_all_there_is_from_the_start_to_the_end_of_a_run(
    api: Server, install: Callable[..., Installation], promtool: str
) -> None:
    here = install(url=api.url, accounts=2, account=NO_LIMITS, daemon={"worker_processes": 2})
    daemon = here.start("run")
    until(lambda: metrics_of(daemon)["crawlerd_workers"] == 2)
    until(lambda: 'crawlerd_file_size_bytes{file="sinks.sink"}' in metrics_of(daemon))  # it is made at the start
    before = children(daemon)
    _, text = asked(daemon, "/metrics")
    families = {each.name: each for each in text_string_to_metric_families(text)}
    declared = {each.name: each for each in FAMILIES + DEPRECATED}
    assert {name for name in families if not name.startswith(OF_PROCESS)} == declared.keys()
    assert {name for name in declared if not families[name].samples} == LATER
    assert all(families[name].type == each.type for name, each in declared.items())
    assert 'crawlerd_attempts_total{outcome="bury",source="stripe"}' in before
    assert 'crawlerd_imports{state="never"}' in before
    assert complaints(promtool, text) == ""

    assert here.run("import", "--all").code == 0  # the daemon does it
    until(lambda: metrics_of(daemon)["crawlerd_leases"] == 0)
    found = metrics_of(daemon)
    grown = {name.partition("{")[0] for name in children(daemon) - before}
    assert grown == LATER & {
        "crawlerd_import_dead_letters",
        "crawlerd_import_last_success_timestamp_seconds",
        "crawlerd_import_last_run_duration_seconds",
        "crawlerd_import_last_full_run_seen_records",
    }
    tasks, records = 2 * tasks_of(CUSTOMERS), 2 * sum(count(stream, CUSTOMERS) for stream in STREAMS)
    assert found['crawlerd_attempts_total{outcome="complete",source="stripe"}'] == tasks + 2  # checks of credentials
    assert found["crawlerd_committed_outcomes_total"] == tasks
    assert found['crawlerd_tasks_enqueued_total{source="stripe"}'] == tasks
    assert found['crawlerd_records_total{change="new",source="stripe"}'] == records
    assert total_of(found, "crawlerd_records_total") == records
    assert found['crawlerd_runs_total{result="completed",source="stripe"}'] == 2
    assert found['crawlerd_imports{state="idle"}'] == 2
    served = api.stats()
    requests = sum(each.requests for each in served.accounts.values())
    assert total_of(found, "crawlerd_requests_total") == requests
    assert found['crawlerd_requests_total{source="stripe",status="2xx"}'] == requests
    assert found['crawlerd_request_duration_seconds_count{source="stripe"}'] == requests
    assert found['crawlerd_request_duration_seconds_bucket{le="+Inf",source="stripe"}'] == requests
    assert found['crawlerd_permitted_requests_total{source="stripe"}'] == requests  # there is no limit
    assert found['crawlerd_received_bytes_total{source="stripe"}'] > records * 100
    assert found['crawlerd_import_last_full_run_seen_records{import="a1"}'] == records / 2
    assert found['crawlerd_sink_write_duration_seconds_count{sink="sink"}'] > 0
    assert all(
        found[f'crawlerd_task_stage_seconds_total{{stage="{stage}"}}'] > 0
        for stage in ("worker", "request", "handler", "sink", "store")
    )
    stages = total_of(found, "crawlerd_task_stage_seconds_total")
    assert found['crawlerd_request_duration_seconds_sum{source="stripe"}'] < stages
    for number, worker in enumerate(sorted(daemon.workers(), key=lambda each: each.pid), start=1):
        memory = found[f'crawlerd_worker_resident_memory_bytes{{worker="{number}"}}']
        assert memory == pytest.approx(psutil.Process(worker.pid).memory_info().rss, rel=0.5)
        assert found[f'crawlerd_worker_cpu_seconds_total{{worker="{number}"}}'] > 0
    assert complaints(promtool, asked(daemon, "/metrics")[1]) == ""
    content_type, text = asked(daemon, "/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8")
    assert content_type.startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n")
    assert {each.name for each in open_metrics(text)} >= declared.keys()

    assert here.run("frontier", "backup", str(here.folder / "copy.db")).code == 0
    assert "crawlerd_backup_last_success_timestamp_seconds" in metrics_of(daemon)


def test_the_figures_of_many_imports_have_a_page_of_their_own(
    api: Server, install: Callable[..., Installation]
) -> None:
    here = install(url=api.url, accounts=2, daemon={"worker_processes": 1, "metrics_imports": 1})
    daemon = here.start("run")
    of_imports = {each.name for each in FAMILIES if each.of_import}
    assert len(of_imports) == 10
    names = {each.name for each in text_string_to_metric_families(asked(daemon, "/metrics")[1])}
    assert names & of_imports == set()
    assert metrics_of(daemon)['crawlerd_imports{state="never"}'] == 2
    _, text = asked(daemon, "/metrics/imports")
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert families.keys() == of_imports
    failures = [(each.labels, each.value) for each in families["crawlerd_import_consecutive_failures"].samples]
    assert failures == [({"import": "a1"}, 0), ({"import": "a2"}, 0)]
    here.config["daemon"]["metrics_imports"] = 2
    here.write()
    assert here.run("reload").code == 0
    until(lambda: of_imports <= {each.name for each in text_string_to_metric_families(fetch(daemon, "/metrics")[1])})
