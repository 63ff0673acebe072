"""`python -m crawlerd` is the `crawlerd` command."""

from crawlerd.cli.main import main

main()
