"""Two examples of each command, shown by --help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 72  # of a command line and its comment, so that help fits into 80 columns

# By the words of the command: each a shell command and what it does.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "": (
        ("crawlerd init --source stripe", "write a first configuration"),
        ("crawlerd -c prod.toml status", "what needs a look"),
    ),
    "run": (
        ("crawlerd run", "the daemon, until Ctrl-C"),
        ("crawlerd -c /etc/crawlerd/crawlerd.toml run", "with this configuration"),
    ),
    "run show": (("crawlerd run show 12", "what it imported"), ("crawlerd run show 12 --json", "as JSON")),
    "run cancel": (
        ('crawlerd run cancel 12 --reason "wrong account"', "end it"),
        ("crawlerd run cancel 12 --reason tests --quiet", "say nothing"),
    ),
    "run retry": (
        ("crawlerd run retry 12", "all its dead letters"),
        ("crawlerd run retry 12 --json", "the count, as JSON"),
    ),
    "run drop": (
        ('crawlerd run drop 12 --reason "account is closed"', "forget it"),
        ("crawlerd run drop 12 --reason tests --json", "as JSON"),
    ),
    "runs": (
        ("crawlerd runs shop --since 7d", "of one import, last 7 days"),
        ("crawlerd runs --state failed --jsonl", "a line of JSON for each"),
    ),
    "import": (
        ("crawlerd import shop", "run it to its end; repeat to resume"),
        ("crawlerd import shop --full --stream orders", "all records of one stream"),
    ),
    "imports": (
        ("crawlerd imports", "last run, age, next start"),
        ("crawlerd imports --after shop --limit 20", "the next 20 names"),
    ),
    "imports rename": (
        ("crawlerd imports rename shop store", "keep its history"),
        ("crawlerd imports rename shop store --json", "as JSON"),
    ),
    "status": (
        ("crawlerd status --watch", "again every 2 seconds"),
        ("crawlerd status --check", "for cron: 1 when something is wrong"),
    ),
    "top": (("crawlerd top", "until q"), ("crawlerd top --json | jq .verdict", "once, as JSON")),
    "why": (("crawlerd why shop", "of an import or account"), ("crawlerd why run 12", "of a run")),
    "schedule": (
        ("crawlerd schedule", "the next start of each import"),
        ("crawlerd schedule shop --next 10", "ten starts of one"),
    ),
    "notify test": (
        ("crawlerd notify test", "does a message arrive?"),
        ("crawlerd notify test --json", "the results, as JSON"),
    ),
    "token new": (
        ("crawlerd token new | install -m 0600 /dev/stdin admin.token", "admin_token = { file = … } names it"),
        ("crawlerd token new --json", "as JSON"),
    ),
    "reload": (
        ("crawlerd reload", "after a change of the file"),
        ("crawlerd reload --json", "what was applied, as JSON"),
    ),
    "submit": (
        ("""crawlerd submit shop.order '{"id": 7}' --import shop""", "one task"),
        ("crawlerd submit shop.order - --import shop --json", "from stdin"),
    ),
    "inbox": (
        ("crawlerd inbox", "rejected items, and why"),
        ("crawlerd inbox --limit 100 --jsonl", "a line for each"),
    ),
    "audit": (
        ("crawlerd audit --since 7d", "of the last 7 days"),
        ("crawlerd audit --limit 10 --jsonl", "the last ten"),
    ),
    "pause": (
        ('crawlerd pause import shop --reason "sale" --for 2h', "for two hours"),
        ('crawlerd pause account acme --reason "new key"', "until it is resumed"),
    ),
    "resume": (("crawlerd resume import shop", "one import"), ("crawlerd resume source stripe", "all its accounts")),
    "accounts": (
        ("crawlerd accounts --needs-a-look", "refused, throttled, paused"),
        ("crawlerd accounts --after acme --limit 20", "the next 20 names"),
    ),
    "accounts show": (
        ("crawlerd accounts show acme", "its limits and errors"),
        ("crawlerd accounts show acme --json", "as JSON"),
    ),
    "accounts test": (
        ("crawlerd accounts test acme", "check its key"),
        ("crawlerd accounts test acme --quiet", "only the exit code"),
    ),
    "accounts limit": (
        ('crawlerd accounts limit acme 5/second --for 2h --reason "sale"', "slower for two hours"),
        ("crawlerd accounts limit acme --off", "back to the configured limits"),
    ),
    "syncpoint show": (
        ("crawlerd syncpoint show shop", "up to where it has read"),
        ("crawlerd syncpoint show shop --json > shop.json", "to edit for `syncpoint set`"),
    ),
    "syncpoint set": (
        ("crawlerd syncpoint set shop shop.json", "what `show --json` printed"),
        ("crawlerd syncpoint set shop --back 2d", "read two days again"),
    ),
    "syncpoint clear": (
        ("crawlerd syncpoint clear shop", "the next run reads all"),
        ("crawlerd syncpoint clear shop --stream orders", "of one stream"),
    ),
    "syncpoint copy": (
        ("crawlerd syncpoint copy shop store", "all streams of both"),
        ("crawlerd syncpoint copy shop store --stream orders", "of one stream"),
    ),
    "dead list": (
        ("crawlerd dead list --import shop --since 2d", "of one import, lately"),
        ('crawlerd dead list --error "HTTP 404"', "with this text in the error"),
    ),
    "dead groups": (
        ("crawlerd dead groups", "the most frequent failures"),
        ("crawlerd dead groups --import shop", "of one import"),
    ),
    "dead show": (
        ("crawlerd dead show 7", "all about one letter"),
        ("crawlerd dead show 7 --json | jq .history", "its attempts"),
    ),
    "dead retry": (
        ("crawlerd dead retry 7 8", "these two"),
        ("crawlerd dead retry --import shop --dry-run", "count them"),
    ),
    "dead drop": (
        ('crawlerd dead drop 7 --reason "deleted there"', "this one"),
        ("crawlerd dead drop --group 3f9a1c --reason old --yes", "all with the same failure"),
    ),
    "dead export": (
        ("crawlerd dead export letters --import shop", "of one import"),
        ("crawlerd dead export letters --all --dry-run", "count them"),
    ),
    "dead import": (
        ("crawlerd dead import letters", "take them back"),
        ("crawlerd dead import letters --json", "as JSON, with refused items"),
    ),
    "operations": (("crawlerd operations", "their progress"), ("crawlerd operations --before 40", "older ones")),
    "operations cancel": (
        ("crawlerd operations cancel 4", "end it"),
        ("crawlerd operations cancel 4 --json", "how much was done, as JSON"),
    ),
    "frontier check": (
        ("crawlerd frontier check", "the frontier in use"),
        ("crawlerd frontier check backup.db --full", "a backup, and its indexes"),
    ),
    "frontier copy": (
        ("crawlerd frontier copy --to postgresql", "into the database of daemon.frontier"),
        ("crawlerd frontier copy --to file", "back into the state directory"),
    ),
    "frontier vacuum": (
        ("crawlerd frontier vacuum", "while no daemon runs"),
        ("crawlerd frontier vacuum --json", "bytes before and after"),
    ),
    "frontier restore": (
        ("crawlerd frontier restore backup.db", "while no daemon runs"),
        ("crawlerd -c prod.toml frontier restore /backups/monday.db", "with this configuration"),
    ),
    "frontier new": (
        ("crawlerd frontier new", "when it cannot be used any more"),
        ("crawlerd frontier new --force", "even if the old one is usable"),
    ),
    "backup": (
        ("crawlerd backup copy", "a new directory, with all that is kept"),
        ("crawlerd backup --keep 7 /var/backups/crawlerd", "for a timer"),
    ),
    "restore": (
        ("crawlerd restore copy", "where no files exist yet"),
        ("crawlerd restore copy --json", "as JSON"),
    ),
    "frontier backup": (
        ("crawlerd frontier backup backup.db", "a new file"),
        ("crawlerd frontier backup backup.db --force --quiet", "for cron"),
    ),
    "sink check": (("crawlerd sink check", "all sinks"), ("crawlerd sink check warehouse", "one sink")),
    "sink forget": (
        ("crawlerd sink forget --account acme --dry-run", "how much is stored of a client"),
        ("crawlerd sink forget --key cus_123", "one record, in every file"),
    ),
    "sink copy": (
        ("crawlerd sink copy warehouse copy.db", "a copy to read from"),
        ("crawlerd sink copy warehouse copy.db --force", "replace the last copy"),
    ),
    "config check": (
        ("crawlerd config check", "before a start or reload"),
        ("crawlerd config check --online", "also ask the APIs of all accounts"),
    ),
    "config show": (
        ("crawlerd config show accounts.acme --origin", "where each value is from"),
        ("crawlerd config show daemon.listen", "one setting"),
    ),
    "config schema": (
        ("crawlerd config schema > crawlerd.schema.json", "for an editor"),
        ("crawlerd config schema | jq .properties", "its tables"),
    ),
    "source test": (
        ("crawlerd source test shop.toml orders", "with its configured account"),
        ("crawlerd source test shop.toml orders --key-env SHOP_KEY", "without one"),
    ),
    "source schema": (
        ("crawlerd source schema > source.schema.json", "for an editor"),
        ("crawlerd source schema | jq .properties", "its tables"),
    ),
    "sources": (("crawlerd sources", "installed sources"), ("crawlerd sources --json", "as JSON")),
    "streams": (
        ("crawlerd streams stripe", "all its streams"),
        ("crawlerd streams mailchimp --jsonl", "as JSON"),
    ),
    "show tree": (
        ("crawlerd show tree", "of the only organization"),
        ("crawlerd show tree org --dot | dot -Tsvg", "a picture"),
    ),
    "init": (
        ("crawlerd init --source stripe --key-env STRIPE_KEY", "the key in a variable"),
        ("crawlerd init --source mailchimp --key-file key", "the key in a file"),
    ),
    "new source": (
        ("crawlerd new source my_shop", "in ./crawlerd-my_shop"),
        ("crawlerd new source my_shop --json", "the folder, as JSON"),
    ),
    "demo": (("crawlerd demo", "under a minute"), ("crawlerd demo --kill", "killed halfway, then resumed")),
}


def add_examples(command: Any, words: tuple[str, ...]) -> None:
    """Adds its examples to the help of a command. A group shows the first examples of its commands."""
    children = getattr(command, "commands", {})
    own = EXAMPLES.get(" ".join(words))
    below = [EXAMPLES[path][0] for name in children if (path := " ".join((*words, name))) in EXAMPLES]
    if examples := list(own or below[:2]):
        command.epilog = "\b\nExamples:\n" + "\n".join(_lines(examples))


def _lines(examples: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(line) for line, _ in examples)
    if width + max(len(what) for _, what in examples) <= WIDTH:
        yield from (f"  {line:{width}}  # {what}" for line, what in examples)
        return
    for line, what in examples:
        yield from (f"  # {what}", f"  {line}")
