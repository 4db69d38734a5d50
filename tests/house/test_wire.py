"""The wire, its page and its samples say the same."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import get_args

import pytest

from sidecar.wire import MAX_FRAME_BYTES, VERSION, decode_from_hub, decode_from_sidecar, encode, messages

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "wire.md").read_text()
SAMPLES = ROOT / "fixtures" / "wire"


def types(union):
    return {kind.model_fields["type"].default: kind for kind in get_args(get_args(union)[0])}


FROM_SIDECAR = types(messages.FromSidecar)
FROM_HUB = types(messages.FromHub)
ALL = {**FROM_SIDECAR, **FROM_HUB}


def section(title):
    return PAGE.partition(f"## {title}\n")[2].partition("\n## ")[0]


@pytest.mark.parametrize(
    ("title", "frames"), [("Frames from the agent", FROM_SIDECAR), ("Frames from the hub", FROM_HUB)]
)
def test_every_frame_is_explained_in_the_table_of_its_direction_and_no_other_is(title, frames):
    explained = set(re.findall(r"^\| `([a-z.]+)` \|", section(title), re.MULTILINE))

    assert set(frames) == explained


def test_there_is_a_sample_of_every_frame_and_of_nothing_else():
    assert set(ALL) == {path.stem for path in SAMPLES.glob("*.json")}


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_sample_reads_and_writes_back_as_it_is(name):
    sample = json.loads((SAMPLES / f"{name}.json").read_text())
    decode = decode_from_sidecar if name in FROM_SIDECAR else decode_from_hub

    frame = decode(json.dumps(sample))

    assert type(frame) is ALL[name]
    assert sample == json.loads(encode(frame))


@pytest.mark.parametrize("name", sorted(ALL))
def test_a_sample_shows_what_the_frame_is_about(name):
    """A sample at its defaults would prove nothing: every required field and one more is said."""
    frame = ALL[name]
    sample = json.loads((SAMPLES / f"{name}.json").read_text())

    assert set(sample) <= set(frame.model_fields)
    assert {field for field, about in frame.model_fields.items() if about.is_required()} <= set(sample)


def test_the_page_tells_the_version_and_the_size_of_a_frame():
    assert f"`version` is {VERSION}." in PAGE
    assert f"{MAX_FRAME_BYTES:,} bytes" in PAGE


def test_the_page_lists_every_close_code_that_the_link_knows():
    from sidecar.link import SENTENCES

    assert {str(code) for code in SENTENCES} == set(re.findall(r"^\| (\d{4}) \|", PAGE, re.MULTILINE))


def test_the_foreign_agent_is_short_and_imports_nothing_of_ours():
    text = (ROOT / "docs" / "foreign_agent.py").read_text()
    imports = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = [node.module or "" if isinstance(node, ast.ImportFrom) else node.names[0].name for node in imports]

    assert len(text.splitlines()) <= 100
    assert {"asyncio", "json", "os", "random", "websockets"} == {name.partition(".")[0] for name in names}
