"""A declared source against a REST server that others wrote: json-server, from npm."""

from __future__ import annotations

import json
import random
import shutil
import socket
import subprocess
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Any

import pytest
from support.installation import QUICK, Installation, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PACKAGE = "json-server@0.17.4"

DESCRIPTION = """
name = "blog"
[endpoints.posts]
path = "/posts"
parameters = { _page = 1, _limit = 7, _sort = "id" }
paginator = { type = "link_header" }
incremental = { field = "updated_at", parameter = "updated_at_gte" }
[endpoints.comments]
parent = "posts"
path = "/posts/{parent.id}/comments"
from_parent = { post_title = "title" }
[endpoints.comments.paginator]
type = "offset"
parameter = "_start"
size_parameter = "_limit"
size = 2
total_header = "X-Total-Count"
[endpoints.tags]
path = "/tags"
parameters = { _sort = "name" }
paginator = { type = "page_number", parameter = "_page", size_parameter = "_limit", size = 10 }
primary_key = "name"
[endpoints.profile]
path = "/profile"
records = "[@]"
primary_key = "name"
"""


@pytest.fixture(scope="module")
def command(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("DECLARED SOURCES ARE NOT TESTED AGAINST JSON-SERVER: there is no npm here")
    folder = tmp_path_factory.mktemp("npm")
    done = subprocess.run(
        [npm, "install", "--prefix", str(folder), "--no-audit", "--no-fund", PACKAGE],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"DECLARED SOURCES ARE NOT TESTED AGAINST JSON-SERVER: npm install failed: {done.stderr[-300:]}")
    return [str(folder / "node_modules/.bin/json-server")]


def data() -> dict[str, Any]:
    posts = [
        {"id": number, "title": f"post {number}", "updated_at": f"2024-01-{1 + number // 2:02}T00:00:00Z"}
        for number in range(1, 41)
    ]
    comments = [{"id": 100 * post + n, "postId": post, "text": "ü"} for post in range(1, 41) for n in range(post % 6)]
    tags = [{"id": n, "name": f"tag {n:03}"} for n in range(30)]
    return {"posts": posts, "comments": comments, "tags": tags, "profile": {"name": "me"}}


@pytest.fixture
def server(command: list[str], tmp_path: Path) -> Iterator[int]:
    """Its port."""
    file = tmp_path / "db.json"
    file.write_text(json.dumps(data()))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [*command, "--host", "127.0.0.1", "--port", str(port), "--quiet", str(file)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        until(lambda: answers(port))
        yield port
    finally:
        process.kill()
        process.wait()


def answers(port: int) -> bool:
    try:
        return ask(port, "GET", "/profile") == {"name": "me"}
    except OSError:
        return False


def ask(port: int, method: str, path: str, body: Any = None) -> Any:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        sent = None if body is None else json.dumps(body)
        connection.request(method, path, sent, {"Content-Type": "application/json"})
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


def assert_exact(here: Installation, content: dict[str, Any]) -> None:
    titles = {each["id"]: each["title"] for each in content["posts"]}
    assert here.imported("a", "posts", "blog") == {str(each["id"]): each for each in content["posts"]}
    assert here.imported("a", "comments", "blog") == {
        str(each["id"]): {**each, "post_title": titles[each["postId"]]} for each in content["comments"]
    }
    assert here.imported("a", "tags", "blog") == {each["name"]: each for each in content["tags"]}
    assert here.imported("a", "profile", "blog") == {"me": {"name": "me"}}
    here.assert_conserved()


def test_json_server(server: int, install: Callable[..., Installation]) -> None:
    dice = random.Random()
    here = install(accounts=0)
    (here.folder / "blog.toml").write_text(DESCRIPTION)
    here.config["accounts"]["a"] = {
        "source": "rest", "description": "blog.toml", "base_url": f"http://127.0.0.1:{server}",
        **QUICK, "limits": ["60/second"],
    }  # fmt: skip
    here.config["imports"]["a"] = {"account": "a", "sink": "sink", "streams": ["*"]}
    for _ in range(3):
        command = here.start("import", "--all")
        wanted = dice.randint(1, 30)
        until(
            lambda command=command, wanted=wanted: (
                not command.running or (here.states() and here.select("SELECT sum(done) FROM run")[0][0] >= wanted)
            )
        )
        command.kill()
    assert here.run("import", "--all").code == 0
    content = data()
    assert_exact(here, content)
    content["posts"][4] |= ask(server, "PATCH", "/posts/5", {"title": "new", "updated_at": "2024-02-01T00:00:00Z"})
    content["posts"].append(ask(server, "POST", "/posts", {"title": "last", "updated_at": "2024-02-01T00:01:00Z"}))
    done = here.run("import", "--all", "--json")
    assert done.code == 0
    assert_exact(here, content)
    (run,) = done.json["imports"]["a"]
    assert run["streams"]["posts"]["records"] == 3  # those changed, and the one within the overlap
