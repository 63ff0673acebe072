"""Checks the source tickets against an API with 45 tickets."""

import json

import responses
from crawlerd_tickets import source

from crawlerd.testing import check

TICKETS = [{"id": f"t{number}", "changed_at": 1000 + number} for number in range(45)]


def tickets(request):
    found = [each for each in TICKETS if each["changed_at"] >= int(request.params["changed_since"])]
    ids = [each["id"] for each in found]
    begin = ids.index(request.params["after"]) + 1 if "after" in request.params else 0
    return 200, {}, json.dumps({"tickets": found[begin : begin + 20], "more": begin + 20 < len(found)})


@responses.activate
def test_everything_is_imported_whatever_happens():
    api = "https://tickets.example.com/v1"
    responses.add_callback("GET", f"{api}/tickets", tickets)
    for ticket in TICKETS:
        responses.get(f"{api}/tickets/{ticket['id']}/comments", json={"comments": [{"id": f"c{ticket['id']}"}]})
    found = check(source, streams=["tickets", "comments"])
    assert found["tickets"] == {each["id"]: each for each in TICKETS}
    assert found["comments"].keys() == {f"c{each['id']}" for each in TICKETS}
