"""An import as one step of a job in Python: a notebook, a task of Airflow, an asset of Dagster.

python nightly.py CONFIGURATION IMPORT...
"""

import sys

import crawlerd


def import_shop(config: str, *names: str) -> int:
    """Returns how many records are new or have changed. With Airflow, put `@task` on it; with Dagster, `@asset`."""
    report = crawlerd.run_import(config, *names, timeout=3600)
    changes = 0
    for runs in report.imports.values():
        for run in runs:
            for name, stream in run.streams.items():
                print(f"{run.import_name}, {name}: {stream.new} new, {stream.changed} changed, {stream.dead} dead")
                changes += stream.new + stream.changed
    if not report.complete:  # the next call resumes what was stopped; dead letters wait for `crawlerd dead retry`
        raise RuntimeError(f"the import is not complete: {report.state}")
    return changes


if __name__ == "__main__":
    print(import_shop(*sys.argv[1:]))
