"""XML documents: how a plain value becomes one, and how one that a stranger sends is read.

A `Shape` says what an element holds: scalars are its attributes, texts and lists its children. Names are `snake_case`
in values and `kebab-case` in documents; what is empty is left out of both. Each document has an XSD in the room that
owns it: `xsd/<root>.xsd`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from xml.parsers import expat

from django.apps import apps
from lxml import etree

from apps.events.refused import Refused

MOST_BYTES = 256 * 1024
DEEPEST = 12
MOST_ELEMENTS = 20_000
LONGEST_ATTRIBUTE = 10_000
UNWRITABLE = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 has no way to write."""

Value = dict[str, Any]


class Unreadable(Refused):
    """This is not a {root} document: {why}"""

    status = 400

    def __init__(self, root: str, why: str) -> None:
        super().__init__("unreadable_document", root=root, why=why[:500])


@dataclass(frozen=True, kw_only=True)
class Shape:
    """What one kind of element holds.

    `attributes` name the type of each: str, int, float, bool or datetime. `texts` are children with text alone. `lists`
    are children that hold a row of others: elements of a shape, or with a plain name texts. `parts` are children of a
    shape that come at most once. `text` names the element's own text.
    """

    name: str
    attributes: Mapping[str, type] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    lists: Mapping[str, Shape | str] = field(default_factory=dict)
    parts: Mapping[str, Shape] = field(default_factory=dict)
    text: str = ""


def write(value: Mapping[str, Any], shape: Shape) -> bytes:
    """`value` as a document in UTF-8. What XML cannot hold, such as control characters, becomes U+FFFD."""
    return etree.tostring(_element(value, shape), xml_declaration=True, encoding="UTF-8", pretty_print=True)


def _element(value: Mapping[str, Any], shape: Shape, name: str = "") -> etree._Element:
    made = etree.Element(name or shape.name)
    for key in shape.attributes:
        if _is_there(value.get(key)):
            made.set(_kebab(key), _spelled(value[key]))
    if shape.text:
        made.text = _writable(value.get(shape.text) or "")
    for key in shape.texts:
        if value.get(key):
            etree.SubElement(made, _kebab(key)).text = _writable(value[key])
    for key, inner in shape.lists.items():
        if value.get(key):
            etree.SubElement(made, _kebab(key)).extend([_member(each, inner) for each in value[key]])
    for key, part in shape.parts.items():
        if value.get(key):
            made.append(_element(value[key], part, _kebab(key)))
    return made


def _member(value: Any, inner: Shape | str) -> etree._Element:
    if isinstance(inner, Shape):
        return _element(value, inner)
    made = etree.Element(inner)
    made.text = _writable(value)
    return made


def _is_there(value: Any) -> bool:
    return value is not None and value != ""


def _kebab(key: str) -> str:
    return key.replace("_", "-")


def _writable(text: Any) -> str:
    return UNWRITABLE.sub("\ufffd", str(text))


def _spelled(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _writable(value)


def read(data: bytes, shape: Shape) -> Value:
    """What the document `data` says. Raises Unreadable for anything that is not such a document.

    It has to be UTF-8 of at most 256 KiB without a document type, so that there are no entities to expand or fetch, and
    to hold against its schema.
    """
    _look_over(data, shape.name)
    try:
        root = etree.fromstring(data, _parser())
        schema(shape.name).assertValid(root)
    except etree.XMLSyntaxError as error:  # expat knows no namespaces, and no limit of names
        what = error.msg.partition(", line ")[0]
        raise Unreadable(shape.name, f"line {error.lineno}: {what}.") from error
    except etree.DocumentInvalid as invalid:
        raise Unreadable(shape.name, str(invalid)) from invalid
    return _value(root, shape)


def _look_over(data: bytes, root: str) -> None:
    """Go through the document once without making anything of it, and refuse what could do harm."""
    if len(data) > MOST_BYTES:
        raise Unreadable(root, f"it has more than {MOST_BYTES} bytes.")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Unreadable(root, "it is not in UTF-8.") from error
    guard = _Guard(root)
    scanner = expat.ParserCreate("utf-8")
    scanner.XmlDeclHandler = guard.declared
    scanner.StartDoctypeDeclHandler = guard.doctype
    scanner.StartElementHandler = guard.start
    scanner.EndElementHandler = guard.end
    try:
        scanner.Parse(data, True)
    except expat.ExpatError as error:
        why = f"line {error.lineno}: {expat.errors.messages[error.code]}."
        raise Unreadable(root, why) from error


class _Guard:
    """Counts how deep and how much; ends the scan where it finds what no document of ours has."""

    def __init__(self, root: str) -> None:
        self.root, self.depth, self.elements = root, 0, 0

    def declared(self, version: str, encoding: str | None, standalone: int) -> None:
        if version != "1.0" or (encoding or "utf-8").lower() != "utf-8":
            raise Unreadable(self.root, "it has to be XML 1.0 in UTF-8.")

    def doctype(self, *_: Any) -> None:
        raise Unreadable(self.root, "a document type is not allowed.")

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self.depth += 1
        self.elements += 1
        if self.depth == 1 and name != self.root:
            raise Unreadable(self.root, f"its root is {name[:100]}.")
        if self.depth > DEEPEST or self.elements > MOST_ELEMENTS:
            raise Unreadable(self.root, f"at most {DEEPEST} levels and {MOST_ELEMENTS} elements are allowed.")
        if any(len(value) > LONGEST_ATTRIBUTE for value in attributes.values()):
            raise Unreadable(self.root, f"an attribute has more than {LONGEST_ATTRIBUTE} characters.")

    def end(self, name: str) -> None:
        self.depth -= 1


def _parser() -> etree.XMLParser:
    return etree.XMLParser(
        encoding="utf-8",
        resolve_entities=False,
        load_dtd=False,
        no_network=True,
        huge_tree=False,
        remove_comments=True,
        remove_pis=True,
    )


def _value(element: etree._Element, shape: Shape) -> Value:
    found: Value = {}
    for key, kind in shape.attributes.items():
        if (spelled := element.get(_kebab(key))) is not None:
            found[key] = _meant(spelled, kind, shape.name)
    if shape.text and element.text:
        found[shape.text] = element.text
    children = {str(child.tag): child for child in element}
    for key in shape.texts:
        if (child := children.get(_kebab(key))) is not None and child.text:
            found[key] = child.text
    for key, inner in shape.lists.items():
        if (row := children.get(_kebab(key))) is not None and len(row):
            found[key] = [_value(each, inner) if isinstance(inner, Shape) else each.text or "" for each in row]
    for key, part in shape.parts.items():
        if (child := children.get(_kebab(key))) is not None and (inside := _value(child, part)):
            found[key] = inside
    return found


def _meant(spelled: str, kind: type, root: str) -> Any:
    if kind is bool:
        return spelled.strip() in {"true", "1"}
    if kind is datetime:
        return _moment(spelled.strip(), root)
    return kind(spelled)


def _moment(spelled: str, root: str) -> datetime:
    """XML Schema knows moments that Python does not, such as the year 0 or 24:00."""
    try:
        moment = datetime.fromisoformat(spelled)
    except ValueError as error:
        raise Unreadable(root, f"{spelled[:100]} is not a moment.") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def schemas() -> dict[str, Path]:
    """The schemas of all rooms, by file name."""
    found: dict[str, Path] = {}
    for room in apps.get_app_configs():
        found |= {file.name: file for file in sorted(Path(room.path).glob("xsd/*.xsd"))}
    return found


@cache
def schema(root: str) -> etree.XMLSchema:
    """The schema of documents with this root."""
    return etree.XMLSchema(etree.parse(str(schemas()[f"{root}.xsd"])))
