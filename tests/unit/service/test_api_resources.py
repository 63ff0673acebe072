"""Which resource of the API answers a request, and which parameters it has."""

from __future__ import annotations

import pytest

from crawlerd.service.web.api_resources import RESOURCES, Resource, refused_parameter, resource_at


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda each: f"{each.method} {each.path}")
def test_each_resource_is_found_at_its_own_path_and_takes_its_parameters(resource: Resource) -> None:
    path = "/".join("7" if word.startswith("{") else word for word in resource.path.split("/"))
    found = resource_at(resource.method, path)
    assert found is not None
    assert found.path == resource.path
    assert refused_parameter(resource.method, path, resource.parameters()) is None
    assert "there is no parameter 'nothing'" in str(refused_parameter(resource.method, path, ["nothing"]))


def test_a_list_is_a_parameter_too() -> None:
    assert refused_parameter("GET", "imports/shop/plan", ["streams", "full"]) is None
    assert refused_parameter("GET", "dead", ["import", "ids", "limit"]) is None


def test_what_is_not_there_says_so_itself() -> None:
    assert refused_parameter("GET", "nothing/at/all", ["x"]) is None
