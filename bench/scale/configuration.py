"""What reading a configuration of many accounts and imports takes: seconds and memory, beside the parsers alone."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bench.rig.report import about, parsed, table

HEAD = '[daemon]\nstate_dir = "state"\n[sinks.w]\ntype = "sqlite"\npath = "w.db"\n'
KEY = 'api_key = { env = "BENCH_KEY" }\n'
CSV = f"""[[accounts_csv]]
file = "accounts.csv"
source = "stripe"
{KEY}[[imports_csv]]
file = "imports.csv"
sink = "w"
"""
# Each is run in a process of its own, so that the peak of memory is its alone.
ALONE = {
    "toml": "import tomli; tomli.loads(open(path).read())",
    "csv": "import csv; [list(csv.reader(open(path[:-8] + each))) for each in ('accounts.csv', 'imports.csv')]",
    "own": "import csv; [list(csv.reader(open(path[:-8] + each))) for each in ('own.csv', 'imports.csv')]",
}
NAMES = {"toml": "TOML", "csv": "CSV", "own": "CSV, a key file an account"}
HEADS = ("from", "parser alone, s", "CPU, s", "read, s", "CPU, s", "peak, MiB")
READ = """
from pathlib import Path
from crawlerd.config.load import load
from crawlerd.sources import registry
load(Path(path), registry=registry)
"""
MEASURED = """
import gc, resource, sys, time
path, work = sys.argv[1:]
code = compile(work, "work", "exec")
gc.disable()
start = time.perf_counter()
exec(code)
print(time.perf_counter() - start, time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def write(place: Path, count: int) -> dict[str, Path]:
    """Configurations of the same accounts and imports: in TOML, with CSV files, with a key file an account."""
    accounts = [(f"a{number}", f"{5 + number % 3}/second") for number in range(count)]
    with (place / "toml.toml").open("w") as file:
        file.write(HEAD)
        for name, limits in accounts:
            key = 'source = "stripe"\napi_key = { env = "BENCH_KEY" }'
            file.write(f'[accounts.{name}]\n{key}\nlimits = "{limits}"\n')
            file.write(f'[imports.i-{name}]\naccount = "{name}"\nsink = "w"\nstreams = ["*"]\nschedule = "1h"\n')
    (place / "csv.toml").write_text(HEAD + CSV)
    (place / "accounts.csv").write_text("name,limits\n" + "".join(f"{name},{limits}\n" for name, limits in accounts))
    (place / "imports.csv").write_text(
        "name,account,streams,schedule\n" + "".join(f"i-{name},{name},*,1h\n" for name, _ in accounts)
    )
    (place / "own.toml").write_text(HEAD + CSV.replace("accounts.csv", "own.csv").replace(KEY, ""))
    (place / "keys").mkdir()
    with (place / "own.csv").open("w") as file:
        file.write("name,limits,api_key.file\n")
        for name, limits in accounts:
            file.write(f"{name},{limits},keys/{name}\n")
            (place / "keys" / name).write_text(f"sk_{name}")
            (place / "keys" / name).chmod(0o600)
    return {kind: place / f"{kind}.toml" for kind in ALONE}


def measure(path: Path, work: str) -> tuple[float, float, float]:
    """Seconds, seconds of CPU with the start of Python, and the peak of resident memory in MiB."""
    environment = os.environ | {"BENCH_KEY": "sk_test"}
    command = [sys.executable, "-c", MEASURED, str(path), work]
    done = subprocess.run(command, env=environment, check=True, capture_output=True, text=True)
    seconds, cpu, memory = map(float, done.stdout.split())
    return seconds, cpu, memory


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--accounts", type=int, default=100_000)
    options = parsed(parser, accounts=200)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for kind, path in write(Path(place), options.accounts).items():
            alone = measure(path, ALONE[kind])
            whole = measure(path, READ)
            rows.append((NAMES[kind], *(f"{each:.2f}" for each in (*alone[:2], *whole[:2])), f"{whole[2]:.0f}"))
    sys.stdout.write(about("pydantic", "tomli") + "\n")
    sys.stdout.write(table(HEADS, rows) + "\n")


if __name__ == "__main__":
    main()
