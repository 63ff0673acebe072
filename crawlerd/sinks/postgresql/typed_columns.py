"""Columns of views that have a type. A value that does not fit becomes NULL, and the column `drift` names its field.

A failing cast would make every query of the view fail, so each cast checks the value first.
"""

from __future__ import annotations

_ISO = (
    r"^[0-9]{4}-(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])"
    r"([Tt ]([01][0-9]|2[0-3]):[0-5][0-9](:[0-5][0-9](\.[0-9]{1,9})?)?([Zz]|[+-](0[0-9]|1[0-4]):?[0-5][0-9])?)?$"
)
_TEXT = "jsonb_typeof(v) = 'string'"
_NUMBER = (
    r"jsonb_typeof(v) = 'number' OR jsonb_typeof(v) = 'string' AND v #>> '{}' ~ '^-?[0-9]{1,100}(\.[0-9]{1,100})?$'"
)
_NUMERIC = f"CASE WHEN {_NUMBER} THEN (v #>> '{{}}')::numeric END"
# Checks the last day of the month, since the pattern accepts 31 for each.
_DAY = """CASE WHEN {iso} AND left(v #>> '{{}}', 4) <> '0000'
    THEN CASE WHEN substr(v #>> '{{}}', 9, 2)::int <= extract(day FROM
      make_date(left(v #>> '{{}}', 4)::int, substr(v #>> '{{}}', 6, 2)::int, 1) + interval '1 month - 1 day')
    THEN {value} END END"""
_IS_ISO = f"{_TEXT} AND v #>> '{{}}' ~ '{_ISO}'"
_MOMENT = r"""CASE WHEN v #>> '{}' ~ '([Zz]|[+-][0-9]{2}:?[0-9]{2})$' AND length(v #>> '{}') > 11
      THEN (v #>> '{}')::timestamptz ELSE ((v #>> '{}') || CASE WHEN length(v #>> '{}') > 10 THEN '' ELSE ' 00:00' END
        || 'Z')::timestamptz END"""

# By type: an expression that converts a jsonb value v, and gives NULL if it does not fit.
TYPES = {
    "bigint": f"""CASE WHEN {_NUMBER} THEN CASE WHEN {_NUMERIC} BETWEEN -9223372036854775808 AND 9223372036854775807
      AND trunc({_NUMERIC}) = {_NUMERIC} THEN {_NUMERIC}::bigint END END""",
    "numeric": _NUMERIC,
    "double precision": f"""CASE WHEN {_NUMBER} THEN CASE WHEN {_NUMERIC} = 0
      OR abs({_NUMERIC}) BETWEEN 1e-300 AND 1e300 THEN {_NUMERIC}::float8 END END""",
    "boolean": "CASE WHEN jsonb_typeof(v) = 'boolean' THEN (v #>> '{}')::boolean END",
    "text": "v #>> '{}'",
    "jsonb": "v",
    # Numbers are Unix seconds, in the years 1 to 9999.
    "timestamptz": f"""CASE WHEN jsonb_typeof(v) = 'number'
    THEN CASE WHEN (v #>> '{{}}')::numeric BETWEEN -62135596800 AND 253402300799
      THEN to_timestamp((v #>> '{{}}')::numeric::float8) END
    ELSE {_DAY.format(iso=_IS_ISO, value=_MOMENT)} END""",
    "date": _DAY.format(iso=_IS_ISO, value="left(v #>> '{}', 10)::date"),
}


def function_of(type_: str) -> str:
    return f"_crawlerd_{type_.replace(' ', '_')}"


def statement_for(type_: str) -> str:
    """The statement that makes the function of a type."""
    return (
        f"CREATE OR REPLACE FUNCTION {function_of(type_)}(v jsonb) RETURNS {type_} LANGUAGE sql STABLE "
        f"PARALLEL SAFE AS $$ SELECT {TYPES[type_]} $$"
    )
