"""The JSON Schema of the configuration file, made from its models and from the options that installed sources
declare."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from crawlerd.config.facts import option_names
from crawlerd.config.file import Config
from crawlerd.core.errors import ConfigurationError
from crawlerd.source import SourceFamily

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crawlerd.config.load import Registry

DRAFT = "http://json-schema.org/draft-07/schema#"  # the version that editors of TOML support
REFERENCE = "#/$defs/{name}"


def schema(registry: Registry) -> dict[str, Any]:
    """The schema of a whole file, or of a part in `config.d`, for editors. Rules across tables are left to `config
    check`: the streams of a source, and the options of an import, which depend on its account's source.

    registry: finds sources; one that cannot be loaded is left out.
    """
    whole: dict[str, Any] = _without_null(Config.model_json_schema())
    tables = whole["$defs"]
    sources = dict(_loaded(registry))
    account, import_, sink = tables["AccountTable"], tables["ImportTable"], tables["SinkTable"]
    usual = [*account["properties"], "token"]
    account["properties"]["token"] = account["properties"]["api_key"]
    options = {name: each.options for name, each in sources.items() if each.options}
    import_options = {
        name: each.import_options
        for name, each in sources.items()
        if not isinstance(each, SourceFamily) and each.import_options
    }
    kinds = [*options.values(), *import_options.values()]
    shapes, components = msgspec.json.schema_components(kinds, ref_template=REFERENCE)
    tables |= components
    for number, shape in enumerate(shapes):
        table = account if number < len(options) else import_
        _add(table["properties"], components[shape["$ref"].rpartition("/")[2]]["properties"])
    account["allOf"] = [
        {
            "if": {"properties": {"source": {"const": name}}, "required": ["source"]},
            "then": {"propertyNames": {"enum": [*usual, *option_names(options.get(name))]}},
        }
        for name in sources
    ]
    account["properties"]["source"]["examples"] = list(sources)
    import_["required"] = ["account"]  # the other required keys may depend on its options
    sink["required"] = ["type"]
    sink["if"] = {"properties": {"type": {"enum": ["stdout", "postgresql"]}}}
    sink["else"] = {"required": ["path"]}
    del tables["DaemonTable"]["required"]  # an environment variable may set them
    for kind in ("accounts", "imports"):
        row = {"type": "object", "properties": {"file": {"type": "string"}}, "required": ["file"]}
        whole["properties"][f"{kind}_csv"] = {"type": "array", "items": row}
    return {"$schema": DRAFT, **whole, "title": "crawlerd"}


def _loaded(registry: Registry) -> Iterable[tuple[str, Any]]:
    for name in registry.source_names():
        try:
            yield name, registry.load(name)
        except ConfigurationError:
            continue


def _add(properties: dict[str, Any], options: Mapping[str, Any]) -> None:
    """Adds the keys of a source's options. A key that several sources have may have any of their forms."""
    for key, shape in options.items():
        known = properties.get(key, shape)
        if known != shape:
            others = known["anyOf"] if known.keys() == {"anyOf"} else [known]
            shape = {"anyOf": [*others, *([shape] if shape not in others else [])]}
        properties[key] = shape


def _without_null(shape: Any) -> Any:
    """The shape without null, which TOML does not have: a missing key takes its place."""
    if isinstance(shape, list):
        return [_without_null(each) for each in shape if each != {"type": "null"}]
    if not isinstance(shape, dict):
        return shape
    found = {key: _without_null(value) for key, value in shape.items() if (key, value) != ("default", None)}
    return found["anyOf"][0] if len(found.get("anyOf", ())) == 1 else found
