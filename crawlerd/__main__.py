"""`python -m crawlerd` is the `crawlerd` command."""

from crawlerd.cli import main

main()
