"""Texts with fields of an account's variables: what is filled in, what is text, what is refused as nearly a field."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.sources.rest import texts

VARIABLES = {"tenant": "ten/1", "shop": "acme"}


@pytest.mark.parametrize(
    "text",
    [
        "{variables.tenant}",
        "a{variables.tenant}b{variables.shop}",
        '{"id": 1, "since": 2, "parent": {"id": 3}}',
        '{"audience":{"variables":["x"]},"tenant":"{variables.tenant}"}',
        "{}",
        "{ }",
        "{0}",
        "{7f1c7a3e-0b0f-4c7e-9f3e-0a4a5f6b7c8d}",
        "{json}",
        "{print}",
        "a } b { c",
        "no braces: variables.tenant, since",
    ],
)
def test_fields_of_ours_and_other_braces_are_taken(text: str) -> None:
    assert texts.checked(text, VARIABLES) == text
    assert texts.filled(text, VARIABLES) == text.replace("{variables.tenant}", "ten/1").replace(
        "{variables.shop}", "acme"
    )


NEARLY = [
    "{variables.other}", "{variable.tenant}", "{Variables.tenant}", "{variables.Tenant}", "{variables}",
    "{variables.}", "{variables.tenant.id}", "{variables.tenant!r}", "{variables.tenant:>8}", "{variables[tenant]}",
    '{variables["tenant"]}', "{ variables.tenant }", "{variables .tenant}", "{variables.ten-ant}",
    "{{variables.tenant}}", "{{ variables.tenant }}", "{variables.tenant", "{varaibles.tenant}", "{variables_tenant}",
    "{variablesTenant}", "{var.tenant}", "{vars.tenant}", "{$variables.tenant}", "{VARIABLES.TENANT}",
    "{tenant}", "{Tenant}", "${TENANT}", "{{tenant}}", "{tennant}",
    "{parent.id}", "{parents.id}", "{parent id}", "{parent_id}", "{parentId}", "{Parent.id}", "{parnet.id}", "{parent}",
    "{since}", "{Since}", "{since:unix}", "{ since }", "{sinse}", "{since.date}",
    "{account.id}", "{api_key}", "{apiKey}", "{env.TOKEN}", "{cursor}", "{page}",
]  # fmt: skip


@pytest.mark.parametrize("near", NEARLY)
@pytest.mark.parametrize("around", ["@", "Token @:x", '{"a": "@"}', "{variables.shop}@{variables.shop}"])
def test_what_is_nearly_a_field_is_refused(near: str, around: str) -> None:
    text = around.replace("@", near)
    with pytest.raises(ValueError, match=r"would be sent unchanged|there is no variable"):
        texts.checked(text, VARIABLES)


@pytest.mark.parametrize("text", ["/{id}/token", "/{TenantId}", "https://{region}.example.com", "/{organization-id}"])
def test_any_name_in_the_braces_of_a_url_is_a_field_that_is_missing(text: str) -> None:
    assert texts.checked(text, ()) == text
    with pytest.raises(ValueError, match="would be sent unchanged"):
        texts.checked(text, (), url=True)


@given(st.text(st.sampled_from("{}$ .:!aprentvilsucTENANT\"'[]-_0"), max_size=30))
def test_no_field_outlives_the_check(text: str) -> None:
    try:
        texts.checked(text, VARIABLES)
    except ValueError:
        return
    assert not re.search(
        r"\{\s*(variables?|parents?|since|tenant|shop)\b", texts.filled(text, VARIABLES), re.IGNORECASE
    )


def test_a_name_takes_no_field_at_all() -> None:
    assert texts.fixed("filter[{a}]", VARIABLES) == "filter[{a}]"
    with pytest.raises(ValueError, match="no field is filled in here"):
        texts.fixed("filter[{variables.tenant}]", VARIABLES)


@pytest.mark.parametrize(
    ("url", "filled"),
    [
        ("https://{variables.shop}.example.com/{variables.tenant}/v1", "https://acme.example.com/ten%2F1/v1"),
        ("https://example.com:{variables.port}/", "https://example.com:8443"),
        ("http://127.0.0.1:{variables.port}/x{variables.shop}", "http://127.0.0.1:8443/xacme"),
    ],
)
def test_a_url_is_filled_in_and_stays_one(url: str, filled: str) -> None:
    variables = {**VARIABLES, "port": "8443"}
    assert texts.filled_url(texts.checked_url(url, variables), variables) == filled


@pytest.mark.parametrize(
    ("text", "value", "problem"),
    [
        ("https://{variables.x}.example.com", "evil.com/", '"x" is "evil.com/", which no host can have'),
        ("https://{variables.x}.example.com", "user@evil.com", "which no host can have"),
        ("https://{variables.x}.example.com", "evil.com#", "which no host can have"),
        ("https://example.com:{variables.x}", "port", "must be an address"),
        ("https://example.com/{variables.x}/v1", "..", "which leads elsewhere"),
    ],
)
def test_a_variable_leads_nowhere_else(text: str, value: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        texts.filled_url(text, {"x": value})


@pytest.mark.parametrize("value", ["a\r\nb: c", "ä", " a", "a\t"])
def test_a_variable_makes_no_header_that_cannot_be_sent(value: str) -> None:
    with pytest.raises(ValueError, match="make the header"):
        texts.filled_header("{variables.x}", {"x": value})


@pytest.mark.parametrize(
    "url", ["http://{variables.x}", "{variables.x}", "https://u:{variables.x}@h", "https://h?{variables.x}"]
)
def test_an_address_is_checked_with_its_fields(url: str) -> None:
    with pytest.raises(ValueError, match="must "):
        texts.checked_url(url, ("x",))
