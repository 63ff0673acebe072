"""A Prometheus of Debian's package, that scrapes a daemon each second with our rules."""

from __future__ import annotations

import json
import math
import re
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode
from urllib.request import urlopen

from support.installation import until

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path
    from typing import Self

SECONDS = {"m": 60, "h": 3600}


def hurried(rules: str, times: int = 60) -> str:
    """Rules whose waits and ranges are shorter by so many times; those over days stay."""

    def shorter(found: re.Match[str]) -> str:
        return f"{found[1]}{max(1, int(found[2]) * SECONDS[found[3]] // times)}s{found[4]}"

    rules = re.sub(r"(for: )(\d+)([mh])()$", shorter, rules, flags=re.MULTILINE)
    return re.sub(r"(\[)((?!6h)\d+)([mh])(\])", shorter, rules)


class Prometheus:
    """Runs from entering to leaving the context. targets: host and port of each daemon."""

    def __init__(self, folder: Path, targets: Sequence[str], rules: str) -> None:
        folder.mkdir()
        (folder / "rules.yml").write_text(rules)
        configuration = {
            "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
            "rule_files": ["rules.yml"],
            "scrape_configs": [{"job_name": "crawlerd", "static_configs": [{"targets": list(targets)}]}],
        }
        (folder / "prometheus.yml").write_text(json.dumps(configuration))  # JSON is YAML
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        self.url = f"http://{self._address}"
        self._folder = folder

    def __enter__(self) -> Self:
        command = ["prometheus", "--config.file=prometheus.yml", "--storage.tsdb.path=data"]
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, f"--web.listen-address={self._address}"], cwd=self._folder, stdout=log, stderr=log
            )
        try:
            until(self._ready)
        except AssertionError:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def _ready(self) -> bool:
        assert self._process.poll() is None, (self._folder / "log").read_text()
        try:
            with urlopen(f"{self.url}/-/ready", timeout=10) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def ask(self, path: str, **query: Any) -> Any:
        """`data` of an answer of its API."""
        with urlopen(f"{self.url}/api/v1/{path}?{urlencode(query)}", timeout=10) as answer:
            found = json.load(answer)
        assert found["status"] == "success"
        return found["data"]

    def values(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """Labels and value of each series that has a number now."""
        found = [(each["metric"], float(each["value"][1])) for each in self.ask("query", query=expr)["result"]]
        return [(labels, value) for labels, value in found if math.isfinite(value)]

    def until(self, wanted: Callable[[], set[str]], seconds: float = 30.0) -> None:
        """Waits until nothing is wanted any more; looks as often as it scrapes."""
        deadline = time.monotonic() + seconds
        while missing := wanted():
            assert time.monotonic() < deadline, f"not within {seconds:g} s: {sorted(missing)}"
            time.sleep(0.5)

    def firing(self) -> set[str]:
        """Names of the alerts that fire."""
        return {labels["alertname"] for labels, _ in self.values('ALERTS{alertstate="firing"}')}
