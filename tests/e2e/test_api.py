"""The API over TCP against a real daemon: what its document promises, for any request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.installation import until
from support.rest_api import RestApi
from support.shops import serve, shop

from crawlerd.service.web.openapi import document

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from support.installation import Installation, Running

EXAMPLES = 6  # of each resource
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
# A backup is written where one asks for it; a stream does not end.
LEFT_OUT = {"post_backup", "get_events"}
KNOWN = {  # what there is: a path of chance would mostly lead nowhere
    "name": ["orders", "stores", "acme", "nothing", "a/b", "%"],
    "run": [1, 2, 3, 99],
    "letter": [1, 2, 99],
    "operation": [1, 2, 99],
    "subject": ["import", "account", "run", "task"],
    "kind": ["import", "account", "bucket", "source"],
}


@pytest.fixture
def here(install: Callable[..., Installation]) -> Iterator[Installation]:
    with RestApi() as api:
        serve(api, 5)
        here = shop(install, api, {"orders": ["orders", "lines"], "stores": ["stores"]})
        newer = 'path = "/stores"\nincremental = { field = "id", parameter = "after", format = "number" }'
        source = here.folder / "source.toml"
        source.write_text(source.read_text().replace('path = "/stores"', newer))
        yield here


def port_of(daemon: Running) -> int:
    return int(daemon.says(r"http://\S+:(\d+)/metrics")[1])


def test_no_request_gets_an_answer_that_the_document_does_not_have(here: Installation) -> None:
    daemon = here.start("run")
    base = f"http://127.0.0.1:{port_of(daemon)}/api/v1"
    assert here.run("import", "orders").code == 0
    schema = schemathesis.openapi.from_dict(document())
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()
        if operation.definition.raw["operationId"] in LEFT_OUT:
            continue

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(operation.as_strategy(), st.data())
        def ask(case: Any, data: st.DataObject) -> None:
            nonlocal asked
            for word in case.path_parameters or {}:
                case.path_parameters[word] = data.draw(st.sampled_from(KNOWN[word]), word)
            response = case.call(base_url=base, timeout=20)
            asked += 1
            case.validate_response(response, checks=CHECKS)

        ask()
    assert asked > 45 * EXAMPLES / 2
    assert here.run("status").code == 0
    assert "Traceback" not in daemon.stderr


def test_resources_of_their_own(here: Installation) -> None:
    import requests

    daemon = here.start("run")
    base = f"http://127.0.0.1:{port_of(daemon)}/api/v1"

    def get(path: str) -> Any:
        answer = requests.get(f"{base}/{path}", timeout=20)
        assert answer.status_code == 200, answer.text
        return answer.json()

    assert here.run("import", "orders").code == 0
    info = get("info")
    assert (info["pid"], info["api"], info["name"]) == (daemon.pid, 1, "crawlerd")
    assert here.run("import", "stores").code == 0
    assert get("health") == {"alive": True, "ready": True, "problem": None}
    config = get("config")
    assert config["imports"] == ["orders", "stores"]
    assert config["daemon"]["admin_token"] is False
    assert get("imports/orders")["last"]["id"] == 1
    assert [each["id"] for each in get("imports/orders/runs?limit=1")["runs"]] == [1]
    assert {each["stream"] for each in get("runs/1/streams")["streams"]} == {"orders", "lines"}
    kinds = {each["kind"] for each in get("runs/1/kinds")["kinds"]}
    assert kinds == {each["kind"] for each in get("runs/1/slowest")["tasks"]}
    assert requests.get(f"{base}/runs/9/kinds", timeout=20).status_code == 404
    assert requests.get(f"{base}/imports/nothing", timeout=20).status_code in (400, 404)
    # sync points that somebody else has changed meanwhile
    points = requests.get(f"{base}/imports/stores/syncpoints", timeout=20)
    assert points.json()["sync_points"] == {"stores": "4".zfill(20)}
    tag = points.headers["ETag"]
    change = {"points": {"stores": "3".zfill(20)}}
    put = f"{base}/imports/stores/syncpoints"
    once = {"Idempotency-Key": "once"}
    changed = requests.put(put, json=change, headers={"If-Match": tag, **once}, timeout=20)
    assert changed.status_code == 200, changed.text
    again = [{"If-Match": tag}, {"If-Match": '"another"'}]
    assert [requests.put(put, json=change, headers=each | once, timeout=20).status_code for each in again] == [200, 422]
    late = requests.put(put, json=change, headers={"If-Match": tag}, timeout=20)
    assert (late.status_code, late.json()["status"]) == (412, 412)
    assert get("imports/stores/syncpoints")["sync_points"]["stores"] == "3".zfill(20)
    # what is refused says which kind of refusal it is
    pause = {"kind": "import", "names": ["stores"], "reason": "test"}
    assert requests.post(f"{base}/pauses", json=pause, timeout=20).status_code == 200
    assert requests.post(f"{base}/imports/stores/run", json={}, timeout=20).json()["code"] == "paused"
    assert requests.delete(f"{base}/pauses/import/stores", json={}, timeout=20).status_code == 200
    assert late.json()["code"] == "precondition_failed"
    assert requests.put(f"{base}/status", json={}, timeout=20).json()["code"] in {"not_found", "method_not_allowed"}
    # a misspelled filter is no filter
    wrong = requests.get(f"{base}/runs?stat=failed", timeout=20)
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid")
    assert wrong.json()["detail"].startswith("there is no parameter 'stat'; use ")
    assert requests.get(f"{base}/dead/count?import=stores", timeout=20).status_code == 200
    # a backup
    target = here.folder / "backup"
    assert requests.post(f"{base}/backup", json={"path": "backup"}, timeout=20).status_code == 400
    begun = requests.post(f"{base}/backup", json={"path": str(target)}, timeout=20)
    assert (begun.status_code, begun.json()["ended_at"]) == (202, None)
    done = until(lambda: (told := get("backup")) and told["ended_at"] and told)
    assert done["error"] is None
    assert done["made"]["sinks"] == ["sink"]
    assert (target / "frontier.db").exists()
    requests.post(f"{base}/backup", json={"path": str(target)}, timeout=20)
    assert "exists already" in until(lambda: (told := get("backup")) and told["ended_at"] and told["error"])
    assert {each["act"] for each in get("audit")["acts"]} >= {"backup"}
    # what happens
    with requests.get(f"{base}/events?kinds=run", stream=True, timeout=20) as events:
        lines = events.iter_lines()
        assert requests.post(f"{base}/imports/stores/run", json={}, timeout=20).status_code == 200
        started = next(line for line in lines if line.startswith(b"data:"))
        assert json.loads(started[5:])["fields"]["import"] == "stores"
    assert requests.get(f"{base}/events?kinds=nonsense", timeout=20).status_code == 400


def test_a_list_is_read_page_by_page(here: Installation) -> None:
    import requests

    for name in ("a", "b", "c"):
        here.config["imports"][name] = here.config["imports"]["stores"]
    here.write()
    daemon = here.start("run")
    base = f"http://127.0.0.1:{port_of(daemon)}/api/v1"
    assert here.run("import", "orders").code == 0
    assert here.run("pause", "import", "a", "b", "c", "--reason", "x").code == 0

    def pages(path: str, items: str, limit: int) -> list[list[Any]]:
        found, after = [], ""
        while after is not None:
            asked = {"limit": limit, "after": after} if after else {"limit": limit}
            page = requests.get(f"{base}/{path}", asked, timeout=20)
            assert page.status_code == 200, page.text
            assert page.json().keys() >= {items, "next"}
            found.append(page.json()[items])
            after = page.json()["next"]
        return found

    assert [[each["name"] for each in page] for page in pages("pauses", "pauses", 2)] == [["a", "b"], ["c"]]
    planned = pages("schedule", "schedules", 2)
    assert [[each["import_name"] for each in page] for page in planned] == [["a", "b"], ["c", "orders"], ["stores"]]
    assert [[each["stream"] for each in page] for page in pages("runs/1/streams", "streams", 1)] == [
        ["lines"],
        ["orders"],
    ]
    numbers = [each["id"] for page in pages("audit", "acts", 1) for each in page]
    assert len(numbers) == 3
    assert numbers == sorted(numbers, reverse=True)
    for path in ("dead", "dead/newest", "dead/groups", "operations", "runs/1/kinds", "runs/1/slowest"):
        refused = requests.get(f"{base}/{path}?limit=501", timeout=20)
        assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json"), path
        assert "1 to 500" in refused.json()["detail"]
        assert requests.get(f"{base}/{path}", timeout=20).json()["next"] is None, path
    assert len(here.run("schedule", "--json").json) == 5
