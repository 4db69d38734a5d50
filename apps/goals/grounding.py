"""What a plan stands on, read from the repository's mirror: its paths, and the text of the files that matter.

Whatever agents have pushed may be in there, so everything has a bound: paths, files, bytes, time. Files are looked
through here and not by `git grep`, which knows no bound on what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from apps.goals import relevance
from apps.goals.relevance import Document, Ground
from apps.repos import mirror, trusted
from apps.repos.trusted import GitFailed, valid_commit

MOST_PATHS = 100_000
LISTING_BYTES = 32 * 1024 * 1024
SEARCHED_FILES = 3_000
SEARCHED_BYTES = 24 * 1024 * 1024
SEARCHED_FILE_BYTES = 256 * 1024
"""A file with more is not looked through: nobody wrote it by hand."""
READ_BYTES = 24 * 1024
"""Of one document; more of it never fits into a prompt."""
MOST_DOCUMENTS = 16
MOST_RANKED = 300
SECONDS = 20.0
_FILES = (b"100644", b"100755")


@dataclass(frozen=True, slots=True)
class _File:
    path: str
    blob: str
    size: int


def ground(repo_mirror: Path, commit: str, *, words: str, hints: Sequence[str] = ()) -> Ground:
    """What the commit holds that has to do with `words`; `hints` are paths that were named outright.

    Raises MirrorMissing without a mirror, GitFailed when git does.
    """
    if not mirror.exists(repo_mirror):
        raise mirror.MirrorMissing("mirror_missing", name=repo_mirror.stem)
    files, truncated = _files(repo_mirror, valid_commit(commit))
    known = {file.path: file for file in files}
    wanted = relevance.terms(words)
    named = relevance.by_name(known, wanted, hints)
    texts = dict(_texts(repo_mirror, _worth_a_look(files, named)))
    counts = {path: found for path, text in texts.items() if (found := relevance.counts(text, wanted))}
    ranked = relevance.ranked(named, relevance.by_content(counts, len(texts)))[:MOST_RANKED]
    chosen = [*relevance.essential(known), *(path for path in ranked if relevance.is_text(path))]
    documents = _documents(repo_mirror, [known[path] for path in dict.fromkeys(chosen)], texts)
    return Ground(paths=tuple(known), truncated=truncated, ranked=ranked, documents=tuple(documents))


def _files(repo_mirror: Path, commit: str) -> tuple[list[_File], bool]:
    """The regular files of the commit, links and submodules left out, and whether there are more."""
    listed = b"".join(
        trusted.chunks(repo_mirror, "ls-tree", "-r", "-l", "-z", "--full-tree", commit, max_bytes=LISTING_BYTES)
    )
    cut = len(listed) >= LISTING_BYTES
    entries = listed.split(b"\0", MOST_PATHS + 1)
    rest = entries.pop()  # nothing after the last name; else what was cut off, or is too much
    files = []
    for entry in entries[:MOST_PATHS]:
        facts, _, path = entry.partition(b"\t")
        mode, _, blob, size = facts.split()
        if mode in _FILES:
            files.append(_File(path.decode("utf-8", "backslashreplace"), blob.decode(), int(size)))
    return files, cut or bool(rest) or len(entries) > MOST_PATHS


def _worth_a_look(files: Sequence[_File], named: Mapping[str, float]) -> list[_File]:
    """The files to look through, those with a fitting name first, within the bounds."""
    fitting = [file for file in files if 0 < file.size <= SEARCHED_FILE_BYTES and relevance.is_text(file.path)]
    fitting.sort(key=lambda file: (-named.get(file.path, 0.0), file.path.count("/"), file.path))
    chosen, left = [], SEARCHED_BYTES
    for file in fitting[:SEARCHED_FILES]:
        if file.size <= left:
            chosen.append(file)
            left -= file.size
    return chosen


def _documents(repo_mirror: Path, files: Sequence[_File], texts: Mapping[str, str]) -> list[Document]:
    chosen = files[: 2 * MOST_DOCUMENTS]  # some may turn out to be binary
    missing = [file for file in chosen if file.path not in texts and 0 < file.size <= SEARCHED_FILE_BYTES]
    more = dict(_texts(repo_mirror, missing))
    documents = []
    for file in chosen:
        text = texts.get(file.path) or more.get(file.path) or _beginning(repo_mirror, file)
        if text.strip():
            documents.append(Document(file.path, text[:READ_BYTES], cut=len(text) > READ_BYTES or _is_large(file)))
    return documents[:MOST_DOCUMENTS]


def _is_large(file: _File) -> bool:
    return file.size > SEARCHED_FILE_BYTES


def _beginning(repo_mirror: Path, file: _File) -> str:
    """Of a file that is too large to be read whole; nothing of any other, which was read and is no text."""
    if not _is_large(file):
        return ""
    return _text(b"".join(trusted.chunks(repo_mirror, "cat-file", "blob", file.blob, max_bytes=READ_BYTES)))


def _texts(repo_mirror: Path, files: Sequence[_File]) -> Iterator[tuple[str, str]]:
    """The text of each file that has one; all in one go, so their sizes must have been looked at."""
    if not files:
        return
    asked = "".join(f"{file.blob}\n" for file in files).encode()
    answer = trusted.git(repo_mirror, "cat-file", "--batch", stdin=asked, timeout=SECONDS)
    at = 0
    for file in files:
        header, start = answer[at : (end := answer.index(b"\n", at))], end + 1
        if header != f"{file.blob} blob {file.size}".encode():  # from here on nothing would be where it is looked for
            raise GitFailed("cat-file", 0, f"{file.blob} is not in the mirror as its tree says")
        at = start + file.size + 1
        if text := _text(answer[start : start + file.size]):
            yield file.path, text


def _text(content: bytes) -> str:
    """The content as text, nothing when it is binary."""
    return "" if b"\0" in content else content.decode("utf-8", "replace")
