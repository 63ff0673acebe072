"""Takes pictures of the page of a daemon in trouble, as the tests see it: `python docs/pictures/page.py`, a minute."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parents[1] / "tests"))

from support.chromium import DESK, PHONE, Chromium  # noqa: E402 - found there only now
from support.faulty_daemon import FaultyDaemon  # noqa: E402

KNOWN = "about "  # the run can say how long it takes


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        FaultyDaemon(Path(folder) / "i", hostile=False) as daemon,
        Chromium(Path(folder)) as chromium,
    ):
        daemon.settle()
        chromium.fresh(daemon.url)
        run = f"/runs/{daemon.run_of('slow')}"
        chromium.open(run)
        chromium.sees(KNOWN, seconds=60)
        for name, path, size, scheme in (
            ("page-light", "/", DESK, "light"),
            ("page-dark", "/", DESK, "dark"),
            ("page-run", run, DESK, "light"),
            ("page-phone", "/", PHONE, "light"),
        ):
            chromium.size(*size)
            chromium.scheme(scheme)
            chromium.open(path)
            chromium.picture(HERE / f"{name}.png")


if __name__ == "__main__":
    main()
