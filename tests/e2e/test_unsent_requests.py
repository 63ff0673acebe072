"""Requests that never left, since nobody listens, use up no quota."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest
from support.installation import QUICK, Installation, until
from support.rest_api import RestApi
from support.shops import serve, shop

if TYPE_CHECKING:
    from collections.abc import Callable


def charged(here: Installation) -> int:
    ((count,),) = here.select("SELECT coalesce(sum(count), 0) FROM quota")
    return int(count)


@pytest.mark.parametrize("limits", [{"limits": ["5/day"]}, {"bucket_limits": ["5/day"]}], ids=["account", "bucket"])
def test_connections_that_are_refused_use_up_no_quota(
    install: Callable[..., Installation], limits: dict[str, list[str]]
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # and does not listen
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
        with RestApi() as api:
            serve(api, 3)
            here = shop(install, api, {"orders": ["orders", "lines"]}, **{**QUICK, **limits})
            here.config["accounts"]["acme"]["base_url"] = url
            assert here.run("import", "orders", "--wait", "3s").code == 69
            ((tries,),) = here.select("SELECT coalesce(sum(retried), 0) FROM run")
            assert tries > 0
            until(lambda: charged(here) == 0)
            here.config["accounts"]["acme"]["base_url"] = api.url
            assert here.run("import", "orders").code == 0
            assert len(api.requests) == 4
            assert charged(here) == 4
