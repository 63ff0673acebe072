"""Laws of links: what a server wrote stays as it is, but for what must not be there."""

from __future__ import annotations

from urllib.parse import parse_qsl, quote, urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crawlerd.core.urls import joined, of_header, on_host_of, target, without

PAGE = "https://api.example:8443/v2/items/list?page=1"
BYTES = st.text(st.sampled_from("aZ09-._~!$'()*+,;:@/%&=[]{}|^`"), max_size=20)
QUERIES = st.lists(st.tuples(st.sampled_from(["a", "b", "key", "k%65y", "ke+y", ""]), BYTES), max_size=6)


@pytest.mark.parametrize(
    ("link", "full"),
    [
        ("https://api.example:8443/x?a=%2f", "https://api.example:8443/x?a=%2f"),
        ("http://other/a/../b?", "http://other/a/../b?"),
        ("//other/x?y", "https://other/x?y"),
        ("/x//y?a=+%20&a=1", "https://api.example:8443/x//y?a=+%20&a=1"),
        ("?p=%7e#top", "https://api.example:8443/v2/items/list?p=%7e"),
        ("next?p=http://h/../x", "https://api.example:8443/v2/items/next?p=http://h/../x"),
        ("../next", "https://api.example:8443/v2/next"),
        (" /x\n", "https://api.example:8443/x"),
        ("", PAGE),
        ("#", PAGE),
    ],
)
def test_a_link_in_full(link: str, full: str) -> None:
    assert joined(PAGE, link) == full


@given(st.sampled_from(["", "/", "?", "//h/", "https://api.example:8443/", "x/"]), BYTES, BYTES)
def test_a_link_ends_with_what_the_server_wrote(start: str, path: str, query: str) -> None:
    said = f"{path.translate(dict.fromkeys(map(ord, '/:.')))}?{query}"
    full = joined(PAGE, start + said)
    assert full.endswith(said)
    assert urlsplit(full).netloc == ("h" if start == "//h/" else "api.example:8443")


@given(st.lists(st.sampled_from(["a", "b", "..", "."]), min_size=1, max_size=6))
def test_a_relative_path_is_resolved_as_others_do(segments: list[str]) -> None:
    path = "/".join(segments)
    assert joined(PAGE, path) == urljoin(PAGE, path)


@given(QUERIES)
def test_only_the_credential_s_parameter_is_cut_out(pairs: list[tuple[str, str]]) -> None:
    parts = [f"{name}={value.replace('&', '')}" for name, value in pairs]
    kept = [part for part, (name, _) in zip(parts, pairs, strict=True) if name not in ("key", "k%65y")]
    url = f"{PAGE.partition('?')[0]}?{'&'.join(parts)}"
    assert without("key", url) == (
        PAGE.partition("?")[0] + ("?" + "&".join(kept) if kept else "") if parts != kept else url
    )


@given(st.text(max_size=8), st.text(max_size=8))
def test_the_credential_is_found_however_its_name_is_encoded(name: str, value: str) -> None:
    try:
        encoded = "".join(f"%{byte:02x}" for byte in name.encode())
        url = f"{PAGE}&{encoded}={quote(value)}&z=1"
    except UnicodeEncodeError:  # half a surrogate pair
        return
    left = without(name, url)
    assert name not in dict(parse_qsl(urlsplit(left).query, keep_blank_values=True)) or name in ("page", "z")


@given(BYTES, st.sampled_from(["http://10.0.0.7", "https://inner:8080", "HTTP://u:p@inner", "http://[::1]:9"]))
def test_the_own_host_takes_the_place_of_another_and_nothing_else_changes(path: str, inner: str) -> None:
    found = on_host_of(PAGE, f"{inner}/{path}")
    assert found == f"https://api.example:8443/{path}"
    assert on_host_of(PAGE, found) == found


@pytest.mark.parametrize("link", ["mailto:a@b", "ftp://h/x", "javascript:1", "x"])
def test_what_is_not_http_gets_no_host(link: str) -> None:
    assert on_host_of(PAGE, link) == link


@given(st.text(max_size=30))
def test_a_target_can_always_be_sent(text: str) -> None:
    try:
        found = target(f"http://h/{text}")
    except UnicodeEncodeError:  # half a surrogate pair
        return
    assert found.startswith("/")
    assert all("!" <= each <= "~" for each in found)


def test_the_bytes_of_a_header_are_kept() -> None:
    assert of_header("/ä?q=€".encode().decode("latin-1")) == "/%C3%A4?q=%E2%82%AC"
