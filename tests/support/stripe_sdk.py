"""Stripe's API as the installed SDK describes it: its requests with their parameters, its objects, its events.

The SDK is generated from Stripe's own description of the API. It is read as text, since most of it is annotations.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import stripe
from stripe._api_version import _ApiVersion
from stripe._object_classes import OBJECT_CLASSES, V2_OBJECT_CLASSES

ROOT = Path(stripe.__file__).parent
VERSION = _ApiVersion.CURRENT

# Fields that come only when they are asked for, which the SDK does not tell from others: "This field is not included
# by default" in https://docs.stripe.com/api. Of each object by its type.
INCLUDABLE = {
    "account": {"external_accounts.none"},
    "checkout.session": {"line_items", "total_details.breakdown"},
    "coupon": {"applies_to", "currency_options"},
    "customer": {"cash_balance", "invoice_credit_balance", "sources", "subscriptions", "tax", "tax_ids"},
    "issuing.card": {"cvc", "number"},
    "item": {"discounts", "taxes"},
    "payment_link": {"line_items"},
    "plan": {"tiers"},
    "price": {"currency_options", "tiers"},
    "product": set(),
    "quote": {"line_items"},
    "shipping_rate": {"fixed_amount.currency_options"},
    "v2.core.account": {"configuration", "defaults", "future_requirements", "identity", "requirements"},
}


@dataclass(frozen=True)
class Parameter:
    """One of a request's parameters.

    kind: "int", "bool", "str", or what of a Literal is permitted.
    """

    name: str
    required: bool
    kind: str | frozenset[str]


@dataclass(frozen=True)
class Request:
    """A GET. path: with {names}. returns: the classes of what it returns, or of what the list holds."""

    path: str
    is_list: bool
    parameters: dict[str, Parameter]
    returns: tuple[Class, ...]


@dataclass(frozen=True)
class Class:
    """A class of an object of the API, or of one inside of it."""

    module: str
    names: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The `object` of its objects, "" inside of others."""
        return _kinds().get((self.module, self.names), "")


@dataclass(frozen=True)
class Field:
    """annotation: without Optional. doc: what the SDK says of it."""

    annotation: ast.expr
    text: str
    optional: bool
    classes: tuple[Class, ...] = field(default=())

    @property
    def is_list(self) -> bool:
        return "ListObject" in self.text

    @property
    def is_reference(self) -> bool:
        """Whether it is an id unless it is expanded."""
        return "ExpandableField" in self.text


@cache
def requests() -> dict[str, Request]:
    """All GETs, by their path."""
    found = {}
    for file in sorted(ROOT.rglob("*_service.py")):
        module = _module(file)
        for service in [each for each in _tree(module).body if isinstance(each, ast.ClassDef)]:
            for function in [each for each in service.body if isinstance(each, ast.FunctionDef)]:
                if path := _path(function):
                    found[path] = _request(module, function, path)
    return found


@cache
def changes() -> dict[tuple[str, str], bool]:
    """The methods and paths, without the names in {}, by which one object can be edited or deleted."""
    found = {}
    for file in sorted(ROOT.rglob("*_service.py")):
        for node in ast.walk(_tree(_module(file))):
            if isinstance(node, ast.FunctionDef) and node.name in ("update", "delete"):
                method = "post" if node.name == "update" else "delete"
                if path := _path(node, method):
                    found[method, re.sub(r"\{\w+\}", "{}", path)] = True
    return found


def lists() -> dict[str, Request]:
    return {path: each for path, each in requests().items() if each.is_list}


@cache
def event_types() -> frozenset[str]:
    """The types of all events of the first API."""
    text = (ROOT / "_event.py").read_text()
    found = re.search(r"\n    type: (.*?)\n    \"\"\"", text, re.DOTALL)
    assert found
    return frozenset(re.findall(r'"([a-z0-9_.]+)"', found[1]))


@cache
def fields(of: Class) -> dict[str, Field]:
    """An object's fields."""
    found = {}
    for statement in _class(of).body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            name = statement.target.id
            text = ast.unparse(_parsed(statement.annotation))
            if name.isupper() or name.startswith("_") or "ClassVar" in text:
                continue
            optional = text.startswith("Optional[")
            annotation = _parsed(statement.annotation)
            if optional:
                annotation = annotation.slice  # type: ignore[attr-defined]
            found[name] = Field(annotation, ast.unparse(annotation), optional, _classes(of, annotation))
    return found


def of_kind(kind: str) -> Class:
    module, name = {**OBJECT_CLASSES, **V2_OBJECT_CLASSES}[kind]
    return Class(module, (name,))


def expandable(classes: tuple[Class, ...], path: str) -> str:
    """ "" when these objects can be asked for a field by `expand`, or why not. path: with dots."""
    if path.count(".") > 3:
        return "You cannot expand more than 4 levels of a property."
    for of in classes:
        known, names = (of,), path.split(".")
        good = bool(known)
        inside = ""
        while names and good:
            name = names.pop(0)
            if name == "data" and inside == "list":
                inside = ""
                continue
            options = [fields(each)[name] for each in known if name in fields(each)]
            whole = [each.kind for each in known if each.kind]
            if not options:
                good = False
                break
            inside = "list" if options[0].is_list else ""
            last = not names
            if last and not (options[0].is_reference or options[0].is_list):
                good = any(_includable(kind, path) for kind in whole or [of.kind])
            known = tuple(each for option in options for each in option.classes)
        if good:
            return ""
    return f"This property cannot be expanded ({path})."


def _includable(kind: str, path: str) -> bool:
    parts = path.split(".")
    return any(".".join(parts[at:]) in INCLUDABLE.get(kind, ()) for at in range(len(parts)))


def sample(of: Class, key: str, depth: int = 0) -> dict[str, Any]:
    """An object that the type permits, with as little in it as can be."""
    made: dict[str, Any] = {}
    for name, each in fields(of).items():
        if each.optional or name == "deleted":
            if not depth and not each.is_list:
                made[name] = None
            continue
        made[name] = _value(each, name, key, depth)
    made.pop("deleted", None)
    if not depth and "id" in made:
        made["id"] = key
    return made


def _value(each: Field, name: str, key: str, depth: int) -> Any:
    text = each.text
    if literal := re.search(r"Literal\['([^']*)'", text):
        return [] if text.startswith("List[") else literal[1]
    if each.is_list:
        return {"object": "list", "data": [], "has_more": False, "url": "/"}
    if text.startswith(("List[", "UntypedStripeObject[", "Dict[")):
        return [] if text.startswith("List[") else {}
    if each.is_reference or "str" in re.findall(r"\w+", text):
        return f"{name}_of_{key}"
    if each.classes and depth < 6:
        return sample(each.classes[0], key, depth + 1)
    scalars = {"int": 1, "bool": True, "float": 0.5, "datetime": "2026-01-01T00:00:00Z", "Decimal": "0.5"}
    return scalars.get(text, {})


# ---- reading it


@cache
def _tree(module: str) -> ast.Module:
    path = ROOT.parent / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return ast.parse(file.read_text())


def _module(file: Path) -> str:
    return ".".join(file.relative_to(ROOT.parent).with_suffix("").parts)


@cache
def _imports(module: str) -> dict[str, tuple[str, str]]:
    """Name to where it comes from, also of those for type checkers alone."""
    return {
        alias.asname or alias.name: (node.module or "", alias.name)
        for node in ast.walk(_tree(module))
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }


@cache
def _kinds() -> dict[tuple[str, tuple[str, ...]], str]:
    both = {**OBJECT_CLASSES, **V2_OBJECT_CLASSES}
    return {(module, (name,)): kind for kind, (module, name) in both.items() if kind != "file_upload"}


@cache
def _class(of: Class) -> ast.ClassDef:
    body: list[ast.stmt] = _tree(of.module).body
    for name in of.names:
        found = next(each for each in body if isinstance(each, ast.ClassDef) and each.name == name)
        body = found.body
    return found


def _parsed(annotation: ast.expr) -> ast.expr:
    """With annotations in quotes in it opened."""

    class Opened(ast.NodeTransformer):
        def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
            return node if ast.unparse(node.value) == "Literal" else self.generic_visit(node)

        def visit_Constant(self, node: ast.Constant) -> ast.AST:
            return self.visit(ast.parse(node.value, mode="eval").body) if isinstance(node.value, str) else node

    parsed: ast.expr = Opened().visit(ast.parse(ast.unparse(annotation), mode="eval").body)
    return parsed


def _classes(of: Class, annotation: ast.expr) -> tuple[Class, ...]:
    """The classes that an annotation inside of another class names."""
    found = []
    for node in ast.walk(annotation):
        text = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
        if text and text not in ("ListObject", "ExpandableField", "Union", "List", "Optional", "UntypedStripeObject"):
            resolved = _resolved(of, text)
            found += [resolved] if resolved else []
    return tuple(found)


def _resolved(of: Class, text: str) -> Class | None:
    parts = tuple(text.split("."))
    for depth in range(len(of.names), -1, -1):
        tried = Class(of.module, (*of.names[:depth], *parts))
        try:
            _class(tried)
        except (StopIteration, UnboundLocalError):
            continue
        return tried
    imported = _imports(of.module).get(parts[0])
    return Class(imported[0], (imported[1], *parts[1:])) if imported and imported[0].startswith("stripe.") else None


def _path(function: ast.FunctionDef, sent: str = "get") -> str:
    """Of the request that a service's method sends, "" where it sends none of this kind."""
    for call in ast.walk(function):
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr == "_request":
            method, path = call.args[:2]
            if ast.unparse(method) == f"'{sent}'":
                template = path.func.value if isinstance(path, ast.Call) else path  # type: ignore[attr-defined]
                return str(template.value)  # type: ignore[attr-defined]
    return ""


def _request(module: str, function: ast.FunctionDef, path: str) -> Request:
    imports = _imports(module)
    arguments = [*function.args.posonlyargs, *function.args.args]
    annotation = next((each.annotation for each in arguments if each.arg == "params" and each.annotation), None)
    parameters: dict[str, Parameter] = {}
    if annotation is not None:
        name = re.findall(r"\w+Params", ast.unparse(annotation))[0]
        parameters = _parameters(imports[name][0], name)
    assert function.returns is not None
    returned = _parsed(function.returns)
    names = [each.id for each in ast.walk(returned) if isinstance(each, ast.Name)]
    classes = tuple(Class(*_pair(imports[each])) for each in names if each not in ("ListObject", "Union"))
    return Request(path, "ListObject" in names, parameters, classes)


def _pair(imported: tuple[str, str]) -> tuple[str, tuple[str, ...]]:
    return imported[0], (imported[1],)


@cache
def _parameters(module: str, name: str) -> dict[str, Parameter]:
    """As they stand in a query: created[gte], expand[]."""
    found: dict[str, Parameter] = {}
    for statement in _class(Class(module, (name,))).body:
        if not isinstance(statement, ast.AnnAssign) or not isinstance(statement.target, ast.Name):
            continue
        own, text = statement.target.id.rstrip("_"), ast.unparse(_parsed(statement.annotation))
        required = "NotRequired" not in text
        inner = [word for word in re.findall(rf"{name}\w+", text) if word != name]
        for word in inner:
            nested = _parameters(module, word)
            if "List[" in text:
                nested = {f"][{key}": each for key, each in nested.items()}
            found |= {
                _nest(own, key): replace(each, required=required and each.required) for key, each in nested.items()
            }
        literal = frozenset(re.findall(r"'([^']*)'", text)) if "Literal[" in text else None
        if literal and re.search(r"\bstr\b", text.replace("Literal", "")):
            literal = None
        words = re.findall(r"\w+", text)
        kind: str | frozenset[str] = literal or next((each for each in ("int", "bool") if each in words), "str")
        if "List[" in text:
            found[f"{own}[]"] = Parameter(own, required, kind)
        elif not inner or "int" in words or "str" in words:
            found[own] = Parameter(own, required, kind)
    return found


def _nest(own: str, key: str) -> str:
    head, bracket, rest = key.partition("[")
    return f"{own}[{head}]{bracket}{rest}"
