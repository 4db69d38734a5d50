"""Other people's words, made harmless for commit messages and for Markdown that a forge renders. Pure.

A forge acts on text: it calls people who are @named, closes issues after `Fixes #1`, loads images. What agents and
tasks say is data, so whatever would act is broken visibly: nothing is hidden in it, and nothing invisible is added.
"""

from __future__ import annotations

import re
import unicodedata

_MENTION = re.compile(r"@(?=[\w-])")
_REFERENCE = re.compile(r"#(?=\d)|(?<=\bGH)-(?=\d)", re.IGNORECASE)
_ADDRESS = re.compile(r"://")
_TRAILER = re.compile(r"^(\s*[A-Za-z][\w-]*):(?=\s)", re.MULTILINE)
_MARKDOWN = re.compile(r"([\\`*_{}\[\]()#+!|~-])")
_LONGEST_FENCE = re.compile(r"`+")
_ENTITIES = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def visible(text: str) -> str:
    """The text without characters that cannot be seen or that turn others around; line ends and tabs stay."""
    return "".join(
        c for c in text if c in "\n\t" or unicodedata.category(c) not in {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    )


def printable(text: str) -> str:
    """The text for a terminal: what cannot be printed, and so might steer it, is a space."""
    return "".join(c if c.isprintable() else " " for c in text)


def one_line(text: str, longest: int = 200) -> str:
    """The text on one line, its spaces collapsed, cut with an ellipsis."""
    line = " ".join(visible(text).split())
    return line if len(line) <= longest else line[: longest - 1].rstrip() + "…"


def inert(text: str) -> str:
    """The text with mentions, issue references and addresses taken apart by a space, so that no forge acts on them."""
    return _ADDRESS.sub(": //", _REFERENCE.sub(lambda found: f"{found[0]} ", _MENTION.sub("@ ", visible(text))))


def message_text(text: str, longest: int = 4_000) -> str:
    """Text for the body of a commit message: inert, and nothing in it reads as a trailer."""
    return _TRAILER.sub(r"\1 :", inert(text))[:longest].strip()


def escaped(text: str, longest: int = 500) -> str:
    """One line for Markdown in which nothing is markup, a link, a mention or a reference."""
    return _MARKDOWN.sub(r"\\\1", inert(one_line(text, longest)).translate(_ENTITIES))


def code(text: str, longest: int = 300) -> str:
    """One line as a Markdown code span, whatever backticks it holds."""
    line = inert(one_line(text, longest)) or " "
    fence = "`" * (1 + max((len(run) for run in _LONGEST_FENCE.findall(line)), default=0))
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}".replace("|", "\\|")


def code_block(text: str) -> str:
    """Lines as a Markdown code block, whatever backticks they hold. Commands stay as they are to be typed."""
    lines = visible(text).strip("\n")
    fence = "`" * max(3, 1 + max((len(run) for run in _LONGEST_FENCE.findall(lines)), default=0))
    return f"{fence}sh\n{lines}\n{fence}"
