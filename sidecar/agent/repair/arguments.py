"""Make the arguments of a call fit its tool's schema, or say what is wrong with them.

What only reads may be guessed at a little. What changes something gets exactly what the model said: an argument that we
do not know is dropped there only if the call means the same without it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from sidecar.agent.repair.loose_json import Unreadable, read_value
from sidecar.agent.talk import ToolSpec


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_WRAPPERS = frozenset(("arguments", "parameters", "args", "params", "input", "kwargs", "tool_input", "action_input"))
_ENVELOPE = frozenset(("name", "tool", "tool_name", "function", "type", "id"))

_ALIASES: Mapping[str, frozenset[str]] = {
    "path": _words(
        "file filename filepath targetfile relativepath absolutepath relativeworkspacepath dir directory dirpath"
        " directorypath folder folderpath target pathname searchpath"
    ),
    "content": _words("contents text filetext body data filecontent filecontents newcontent codecontent code"),
    "command": _words("cmd shellcommand commandline bashcommand script shell bash input"),
    "old": _words("oldstr oldstring oldtext oldcontent search find original before oldcode searchtext"),
    "new": _words(
        "newstr newstring newtext newcontent replace replacement updated after newcode replacetext replacewith"
    ),
    "pattern": _words("query regex search text term q searchterm keyword needle regexp searchpattern string"),
    "summary": _words("message result text answer finalanswer response description output content explanation"),
    "start": _words("line offset from startline linestart begin firstline startlineoneindexed fromline"),
    "count": _words("limit lines n numlines maxlines linecount nlines length"),
    "timeout_seconds": _words("timeoutsecs timeouts timeoutsec"),
}
_LAST_LINE = _words("end endline lineend to toline lastline endlineoneindexed endlineoneindexedinclusive")

_SAYS_WHY = _words(
    "description explanation reason reasoning thought thoughts thinking rationale purpose title instruction"
    " instructions comment why taskprogress timeout timeoutms justification intent securityrisk risk"
)
"""Words to a reader, and limits that are ours to set: a call does the same without them."""
_SAYS_NOTHING: Mapping[str, tuple[Any, ...]] = {
    "replaceall": (False,),
    "isbackground": (False,),
    "background": (False,),
    "runinbackground": (False,),
    "requiresapproval": (False,),
    "append": (False,),
    "overwrite": (True,),
    "encoding": ("utf-8", "utf8", "UTF-8"),
    "mode": ("w", "write", "overwrite"),
    "cwd": (".", "./"),
    "workdir": (".", "./"),
    "workingdirectory": (".", "./"),
    "expectedreplacements": (1,),
    "createdirs": (True,),
    "restart": (False,),
}
"""Values that only say what is done anyway."""

_TRUE, _FALSE = frozenset(("true", "yes", "1", "on")), frozenset(("false", "no", "0", "off"))
_NOTHING = frozenset(("", "null", "none", "nil", "undefined"))
_LARGEST = 10**15
_EMPTY_PLACE = re.compile(r"^(?:\.\.\.|…|<[^<>\n]{1,60}>|your_\w{1,40}|/?path/to/.{0,60})$")


class Misfit(Exception):
    """The arguments do not fit; the message says why, for the model."""


@dataclass
class Fitted:
    """Arguments on their way into a call. `doubts` say why a tool that changes something must not be given them."""

    spec: ToolSpec
    arguments: dict[str, Any] = field(default_factory=dict)
    repairs: set[str] = field(default_factory=set)
    doubts: list[str] = field(default_factory=list)

    @property
    def properties(self) -> Mapping[str, Mapping[str, Any]]:
        """What the tool takes, by name."""
        return dict(self.spec.parameters.get("properties", {}))


def fit(spec: ToolSpec, given: Any, *, literal: bool = False) -> Fitted:
    """The arguments of a call of `spec`. Raises Misfit. `literal` when a placeholder can be meant as it stands."""
    fitted = Fitted(spec=spec)
    given = _unwrapped(_object(given, fitted), fitted)
    _assign(given, fitted)
    _coerce(fitted)
    _complete(fitted, literal or not spec.changes)
    if spec.changes and fitted.doubts:
        raise Misfit(fitted.doubts[0])
    order = list(fitted.properties)
    fitted.arguments = dict(sorted(fitted.arguments.items(), key=lambda member: order.index(member[0])))
    return fitted


# --- an object to begin with ------------------------------------------------------------------------------------------


def _object(given: Any, fitted: Fitted) -> dict[str, Any]:
    """Arguments may come as text that holds the object, or as text that holds such text."""
    for _ in range(3):
        if given is None:
            return {}
        if isinstance(given, Mapping):
            return {str(key): value for key, value in given.items()}
        if isinstance(given, list) and len(given) == 1:
            given = given[0]
        elif isinstance(given, str):
            given = _parsed(given, fitted)
        else:
            break
    if isinstance(given, Mapping):
        return {str(key): value for key, value in given.items()}
    raise Misfit("the arguments are no JSON object")


def _parsed(text: str, fitted: Fitted) -> Any:
    if not text.strip():
        return None
    fitted.repairs.add("string_arguments")
    only = _only_string(fitted.spec)
    if not text.lstrip().startswith(("{", "[", '"')) and only and not fitted.spec.changes:
        fitted.repairs.add("coerced")
        return {only: text.strip()}
    try:
        loose = read_value(text)
    except Unreadable as problem:
        raise Misfit(f"the arguments are no valid JSON: {problem}") from None
    if text[loose.end :].strip():
        raise Misfit("the arguments are no valid JSON: something follows the object")
    if loose.repaired:
        fitted.repairs.add("json")
    if loose.cut:
        fitted.doubts.append("the JSON of the arguments breaks off before its end")
    if loose.doubt:
        fitted.doubts.append(loose.doubt)
    return loose.value


def _only_string(spec: ToolSpec) -> str:
    """The one argument that the tool needs, if it is a text; else nothing."""
    properties = spec.parameters.get("properties", {})
    if len(spec.required) == 1 and properties.get(spec.required[0], {}).get("type") == "string":
        return spec.required[0]
    return ""


def _unwrapped(given: dict[str, Any], fitted: Fitted) -> dict[str, Any]:
    """The arguments inside of an envelope that was put around them once more."""
    inside = [key for key in given if key in _WRAPPERS and key not in fitted.properties]
    if len(inside) != 1 or not set(given) <= {inside[0], *_ENVELOPE}:
        return given
    if not isinstance(given[inside[0]], Mapping | str) or (len(given) > 1 and given.get("name") != fitted.spec.name):
        return given
    if isinstance(given[inside[0]], str) and not given[inside[0]].lstrip().startswith("{"):
        return given
    fitted.repairs.add("nested")
    return _object(given[inside[0]], fitted)


# --- which argument is which ------------------------------------------------------------------------------------------


def _assign(given: Mapping[str, Any], fitted: Fitted) -> None:
    others: dict[str, Any] = {}
    for key, value in given.items():
        if key in fitted.properties:
            fitted.arguments[key] = value
        else:
            others[key] = value
    for key, value in others.items():
        name = _meant(key, fitted)
        if name:
            _put(name, key, value, fitted)
        else:
            _drop(key, value, fitted)


def _put(name: str, key: str, value: Any, fitted: Fitted) -> None:
    if name not in fitted.arguments:
        fitted.arguments[name] = value
        fitted.repairs.add("argument")
    elif fitted.arguments[name] != value:
        raise Misfit(f"“{name}” and “{_short(key)}” say different things")


def _meant(key: str, fitted: Fitted) -> str:
    """The argument that `key` is another word for; nothing when it is none, or could be one of two."""
    folded = _folded(key)
    spelled = [name for name in fitted.properties if _folded(name) == folded]
    if len(spelled) == 1:
        return spelled[0]
    fitting = [name for name in fitted.properties if folded in _ALIASES.get(name, ())]
    open_ones = [name for name in fitting if name not in fitted.arguments]
    if fitted.spec.changes and not open_ones and folded in _SAYS_WHY:
        return ""
    fitting = open_ones or fitting
    return fitting[0] if len(fitting) == 1 else ""


def _drop(key: str, value: Any, fitted: Fitted) -> None:
    folded = _folded(key)
    if not fitted.spec.changes:
        _as_range(folded, value, fitted)
    elif not (value is None or folded in _SAYS_WHY or _says_nothing(folded, value)):
        known = ", ".join(fitted.properties)
        raise Misfit(f"there is no argument “{_short(key)}”; the tool has only: {known}")
    fitted.repairs.add("unknown_dropped")


def _says_nothing(folded: str, value: Any) -> bool:
    usual = _SAYS_NOTHING.get(folded, ())
    return value in usual or (isinstance(value, str) and value.strip().lower() in map(str.lower, map(str, usual)))


def _as_range(folded: str, value: Any, fitted: Fitted) -> None:
    """Others say where to stop, or both ends at once; ours say where to start and how many."""
    if not {"start", "count"} <= set(fitted.properties) or "count" in fitted.arguments:
        return
    first: Any = fitted.arguments.get("start", 1)
    if folded in {"viewrange", "range", "linerange"} and isinstance(value, list) and len(value) == 2:
        first, value = value
        fitted.arguments.setdefault("start", first)
    elif folded not in _LAST_LINE:
        return
    first, last = _integer(first), _integer(value)
    if first is not None and last is not None and last >= first:
        fitted.arguments["count"] = last - first + 1


# --- of which type ----------------------------------------------------------------------------------------------------


def _coerce(fitted: Fitted) -> None:
    for name, value in list(fitted.arguments.items()):
        schema = fitted.properties[name]
        if name not in fitted.spec.required and _is_nothing(value, schema):
            del fitted.arguments[name]
            fitted.repairs.add("unknown_dropped")
            continue
        made = _of_type(value, schema, fitted.spec, name)
        if type(made) is not type(value) or made != value:
            fitted.repairs.add("coerced")
        fitted.arguments[name] = made
        if "enum" in schema and made not in schema["enum"]:
            raise Misfit(f"“{name}” must be one of {', '.join(map(str, schema['enum']))}")


def _is_nothing(value: Any, schema: Mapping[str, Any]) -> bool:
    if isinstance(value, str) and schema.get("type") != "string":
        return value.strip().lower() in _NOTHING
    return value is None or value == ""


def _of_type(value: Any, schema: Mapping[str, Any], spec: ToolSpec, name: str) -> Any:
    wanted = schema.get("type")
    made = value
    match wanted:
        case "string":
            made = _string(value, spec, name)
        case "integer":
            made = _integer(value)
        case "number":
            made = _number(value)
        case "boolean":
            made = _boolean(value)
        case "array":
            made = _list(value, schema, spec, name)
        case "object":
            made = value if isinstance(value, Mapping) else None
    if made is None:
        raise Misfit(f"“{name}” must be of type {wanted}, not {_kind(value)}")
    return made


def _string(value: Any, spec: ToolSpec, name: str) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(item, str) for item in value):
        if name == "command":
            return _command(value)
        if len(value) == 1 and not spec.changes:
            return str(value[0])
    if isinstance(value, int | float) and not isinstance(value, bool) and not spec.changes:
        return str(value)
    return None


def _command(words: list[str]) -> str | None:
    """A program and its arguments as one line that means just that; lines of shell are not joined for anybody."""
    if len(words) == 1:
        return words[0]
    return None if re.search(r"\s", words[0]) else shlex.join(words)


def _integer(value: Any) -> int | None:
    number = _number(value)
    return int(number) if number is not None and float(number).is_integer() else None


def _number(value: Any) -> int | float | None:
    """As many digits as text may have; Python refuses to write out an integer that is much longer."""
    if isinstance(value, str) and re.fullmatch(r"\s*-?\d{1,15}(\.\d{1,15})?\s*", value):
        value = float(value) if "." in value else int(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if abs(value) <= _LARGEST else None  # nor what is no number, which is never less than anything


def _boolean(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower() if isinstance(value, str | int) else ""
    return True if word in _TRUE else False if word in _FALSE else None


def _list(value: Any, schema: Mapping[str, Any], spec: ToolSpec, name: str) -> list[Any] | None:
    items = value if isinstance(value, list) else [value]
    inner = schema.get("items", {})
    return [_of_type(item, inner, spec, name) for item in items] if inner else items


def _kind(value: Any) -> str:
    names = {bool: "boolean", int: "number", float: "number", list: "array", dict: "object", str: "string"}
    return "null" if value is None else names.get(type(value), "something else")


# --- all of them ------------------------------------------------------------------------------------------------------


def _complete(fitted: Fitted, literal: bool) -> None:
    for name in fitted.spec.required:
        if name not in fitted.arguments:
            raise Misfit(f"“{name}” is missing")
    for name, value in fitted.arguments.items():
        if any(not _is_text(text) for text in _texts(value)):
            raise Misfit(f"“{name}” holds half a character (a lone surrogate)")
        if name in fitted.spec.required and isinstance(value, str) and _stands_for(value, name, literal):
            raise Misfit(f"“{name}” is a placeholder: write what you mean")


def _stands_for(value: str, name: str, literal: bool) -> bool:
    return value.strip() == f"<{name}>" or (not literal and bool(_EMPTY_PLACE.match(value.strip())))


def _texts(value: Any) -> Iterable[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner)


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _folded(key: str) -> str:
    return re.sub(r"[\s_\-.]", "", key).lower()


def _short(key: str) -> str:
    return key[:40]
