"""Two examples of each command, which --help shows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 72  # of a line and what it does, so that help fits into 80 columns

# By the words of the command: lines of a shell, each with what it does.
EXAMPLES: dict[str, tuple[tuple[str, str], tuple[str, str]]] = {
    "": (
        ("crawlerd init --source stripe", "write a first configuration"),
        ("crawlerd -c prod.toml status", "what needs a look"),
    ),
    "run": (
        ("crawlerd run", "the daemon, until Ctrl-C"),
        ("crawlerd -c /etc/crawlerd/crawlerd.toml run", "of this configuration"),
    ),
    "run show": (("crawlerd run show 12", "what it brought"), ("crawlerd run show 12 --json", "for a program")),
    "run cancel": (
        ('crawlerd run cancel 12 --reason "wrong account"', "end it"),
        ("crawlerd run cancel 12 --reason tests --quiet", "say nothing"),
    ),
    "run retry": (("crawlerd run retry 12", "all its dead letters"), ("crawlerd run retry 12 --json", "how many")),
    "run drop": (
        ('crawlerd run drop 12 --reason "account is closed"', "forget it"),
        ("crawlerd run drop 12 --reason tests --json", "for a program"),
    ),
    "runs": (
        ("crawlerd runs shop --since 7d", "of one import, this week"),
        ("crawlerd runs --state failed --jsonl", "a line of JSON for each"),
    ),
    "import": (
        ("crawlerd import shop", "to its end; again to resume it"),
        ("crawlerd import shop --full --stream orders", "one stream, all of it"),
    ),
    "imports": (
        ("crawlerd imports", "last run, age, next start"),
        ("crawlerd imports --after shop --limit 20", "the next 20 names"),
    ),
    "imports rename": (
        ("crawlerd imports rename shop store", "keep its history"),
        ("crawlerd imports rename shop store --json", "for a program"),
    ),
    "status": (
        ("crawlerd status --watch", "again every 2 seconds"),
        ("crawlerd status --check", "for cron: 1 when something is wrong"),
    ),
    "top": (("crawlerd top", "until q"), ("crawlerd top --json | jq .verdict", "once, for a program")),
    "why": (("crawlerd why shop", "of an import or account"), ("crawlerd why run 12", "of a run")),
    "schedule": (
        ("crawlerd schedule", "the next start of each import"),
        ("crawlerd schedule shop --next 10", "ten starts of one"),
    ),
    "notify test": (
        ("crawlerd notify test", "does a message arrive?"),
        ("crawlerd notify test --json", "what came of it, for a program"),
    ),
    "token new": (
        ("crawlerd token new > admin.token", "admin_token = { file = … } names it"),
        ("crawlerd token new --json", "for a program"),
    ),
    "reload": (
        ("crawlerd reload", "after a change of the file"),
        ("crawlerd reload --json", "what was applied, for a program"),
    ),
    "submit": (
        ("""crawlerd submit shop.order '{"id": 7}' --import shop""", "one task"),
        ("crawlerd submit shop.order - --import shop --json", "from stdin"),
    ),
    "inbox": (
        ("crawlerd inbox", "what was no task, and why"),
        ("crawlerd inbox --limit 100 --jsonl", "a line for each"),
    ),
    "audit": (("crawlerd audit --since 7d", "of this week"), ("crawlerd audit --limit 10 --jsonl", "the last ten")),
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
        ("crawlerd accounts show acme --json", "for a program"),
    ),
    "accounts test": (
        ("crawlerd accounts test acme", "whether its key works"),
        ("crawlerd accounts test acme --quiet", "the exit code alone"),
    ),
    "accounts limit": (
        ('crawlerd accounts limit acme 5/second --for 2h --reason "sale"', "slower for a time"),
        ("crawlerd accounts limit acme --off", "as configured again"),
    ),
    "syncpoint show": (
        ("crawlerd syncpoint show shop", "how far it has come"),
        ("crawlerd syncpoint show shop --json > shop.json", "to edit, for `syncpoint set`"),
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
        ('crawlerd dead list --error "HTTP 404"', "with this in their error"),
    ),
    "dead groups": (
        ("crawlerd dead groups", "what goes wrong most"),
        ("crawlerd dead groups --import shop", "of one import"),
    ),
    "dead show": (
        ("crawlerd dead show 7", "one, whole"),
        ("crawlerd dead show 7 --json | jq .history", "its attempts"),
    ),
    "dead retry": (
        ("crawlerd dead retry 7 8", "these two"),
        ("crawlerd dead retry --import shop --dry-run", "count them"),
    ),
    "dead drop": (
        ('crawlerd dead drop 7 --reason "deleted there"', "this one"),
        ("crawlerd dead drop --group 3f9a1c --reason old --yes", "all of one failure"),
    ),
    "dead export": (
        ("crawlerd dead export letters --import shop", "of one import"),
        ("crawlerd dead export letters --all --dry-run", "count them"),
    ),
    "dead import": (
        ("crawlerd dead import letters", "take them back"),
        ("crawlerd dead import letters --json", "what was refused, for a program"),
    ),
    "operations": (("crawlerd operations", "how far they are"), ("crawlerd operations --before 40", "older ones")),
    "operations cancel": (
        ("crawlerd operations cancel 4", "end it"),
        ("crawlerd operations cancel 4 --json", "how far it had come"),
    ),
    "frontier check": (
        ("crawlerd frontier check", "the one in use"),
        ("crawlerd frontier check backup.db --full", "a backup, and its indexes"),
    ),
    "frontier vacuum": (
        ("crawlerd frontier vacuum", "while no daemon runs"),
        ("crawlerd frontier vacuum --json", "bytes before and after"),
    ),
    "frontier restore": (
        ("crawlerd frontier restore backup.db", "while no daemon runs"),
        ("crawlerd -c prod.toml frontier restore /backups/monday.db", "of this configuration"),
    ),
    "frontier new": (
        ("crawlerd frontier new", "when it cannot be used any more"),
        ("crawlerd frontier new --force", "also a usable one"),
    ),
    "backup": (
        ("crawlerd backup copy", "a new directory, with all that is kept"),
        ("crawlerd backup --keep 7 /var/backups/crawlerd", "for a timer"),
    ),
    "restore": (
        ("crawlerd restore copy", "where nothing is"),
        ("crawlerd restore copy --json", "for a program"),
    ),
    "frontier backup": (
        ("crawlerd frontier backup backup.db", "a new file"),
        ("crawlerd frontier backup backup.db --force --quiet", "for cron"),
    ),
    "sink check": (("crawlerd sink check", "all sinks"), ("crawlerd sink check warehouse", "one sink")),
    "sink forget": (
        ("crawlerd sink forget --account acme --dry-run", "how much there is of a client"),
        ("crawlerd sink forget --key cus_123", "one record, wherever it is"),
    ),
    "sink copy": (
        ("crawlerd sink copy warehouse copy.db", "for readers"),
        ("crawlerd sink copy warehouse copy.db --force", "replace the last copy"),
    ),
    "config check": (
        ("crawlerd config check", "before a start or reload"),
        ("crawlerd config check --online", "ask each account's API"),
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
    "sources": (("crawlerd sources", "what can be read"), ("crawlerd sources --json", "for a program")),
    "streams": (
        ("crawlerd streams stripe", "all its streams"),
        ("crawlerd streams mailchimp --jsonl", "for a program"),
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
        ("crawlerd new source my_shop --json", "the folder, for a program"),
    ),
    "demo": (("crawlerd demo", "under a minute"), ("crawlerd demo --kill", "killed half-way, and resumed")),
}


def add_examples(command: Any, words: tuple[str, ...]) -> None:
    """To the help of the command; a mere group shows the first ones of its commands."""
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
