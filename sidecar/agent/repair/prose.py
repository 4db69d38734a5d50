"""Does the model make a call here, or does it only talk about one? The words around it tell."""

from __future__ import annotations

import re

_VERBS = r"(?:run|call|use|do|execute|write|invoke|carry|send|issue|make|try|edit|read|apply|be|look|have|start|go)"
_BEFORE = re.compile(
    r"""
    \bfor\ (?:example|instance)\b | \b(?:an|another|this|the\ (?:following|next))\ example\b | \bexamples?\b\W*$
    | \be\.\ ?g\.? | \bsuch\ as\b | \b(?:looks?|looking|something|written)\ like\b | \blike\ (?:this|so)\b
    | \b(?:could|might|would)\s+(?:\w+\s+){0,2}?"""
    + _VERBS
    + r"""\b
    | \b(?:you|one)\ (?:can|could|may|might|would|should)\b | \b(?:shall|should)\ (?:i|we)\b
    | \bdo\ you\ want\b | \bwould\ you\b | \bhypothetical | \bsuppose\b | \bimagine\b | \bpretend\b
    | \b(?:do\ not|don't|never|must\ not|mustn't|should\ not|shouldn't|cannot|can't|won't|will\ not
        |not\ going\ to|refuse\ to|avoid|without)\s+(?:\w+\s+){0,2}?"""
    + _VERBS
    + r"""(?:ning|ing|ting)?\b
    | \binstead\ of\b | \brather\ than\b | \b(?:format|syntax|schema)\ (?:is|of|for|would|should)\b | \bsyntax\b
    | \bformat:?\s*$ | \balternatively\b | \b(?:option|alternative|variant)\s+\w+\b | ^\W*or\b\W*$ | ^\W*or[,:]
    | \b(?:earlier|previous|previously|last|old|original)\s+(?:tool\s+)?(?:call|command|attempt|reply|step|answer)\b
    | \b(?:says?|reads?|contains?|shows?)\s*:\s*$ | ^\W*if\b | \bin\ the\ (?:docs|documentation|log|logs|readme)\b
    | \bplaceholder\b | \btemplate\b\W*$ | \bdraft\b
    | \bzum\ beispiel\b | \bz\.\ ?b\. | \bpar\ exemple\b | \b(?:por|per)\ e(?:jemplo|sempio)\b | 例如 | 例えば
    """,
    re.IGNORECASE | re.VERBOSE,
)
_OF_OTHERS = re.compile(
    r"""
    \b(?:ran|executed|called|tried|used|issued|considered|sent|wrote|thought\ of|decided\ against|should\ have
        |supposed\ to)\b
    | \b(?:says?|said|reads?|contains?|contained|quotes?|quoted|suggests?|suggested)\b(?:.*[:,]|\W*$)
    | (?:error|output|log|result|message)\ (?:is|was|reads)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_QUOTATION_OPENS = re.compile(r"(?:\"\"\"|'''|<(?:pre|code|example|samp|sample|quote|blockquote)(?:\s[^<>]*)?>)\s*$")
_AFTER = re.compile(
    r"""
    ^\W*(?:wait|actually|hmm|no)\b | \bon\ second\ thought\b | \bscratch\ that\b | \bnever\ ?mind\b
    | \bignore\ (?:that|this|the)\b | \bdisregard\b
    | \b(?:do\ not|don't|never|did\ not|didn't|have\ not|haven't|will\ not|won't|should\ not|shouldn't
        |must\ not|not\ (?:actually|really|going\ to)|not\ to)\s+(?:\w+\s+){0,2}?"""
    + _VERBS
    + r"""\b
    | \bjust\ an?\ (?:example|illustration|sample|sketch|draft)\b | \b(?:is|was)\ (?:only|just|merely|an\ example)\b
    | \b(?:shall|should)\ (?:i|we)\b | \bdo\ you\ want\b | \bwould\ you\b
    | \bif\ you\ (?:want|like|agree|approve|confirm)
    | \blet\ me\ know\b | \bplease\ (?:confirm|approve)\b | \bawait(?:ing)?\ (?:your|approval|confirmation)
    | \bwould\ (?:have|look|be|work|run|do|delete|create|write)\b | \bcould\ (?:also|be|look|work)\b
    | \bis\ (?:how|what)\ (?:you|one|i|a|the)\b | \balternatively\b | ^\W*or\b\W*$ | ^\W*or[,:]
    | \bexample\b | \bonce\ (?:you|approved|confirmed)\b
    """,
    re.IGNORECASE | re.VERBOSE,
)
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n")
_MARK = re.compile(r"</?[\w|\u2581\uff5c=]{1,40}>|\[/?TOOL_CALLS?\]")
_LEADS_ON = re.compile(r"[^\s*_#>\-:]")
_OPEN_QUOTES = "\"'\u201c\u2018\u00ab("


def hedged_before(text: str) -> bool:
    """Whether the last sentence of the words before a call says that it is an example, a thought, or of the past."""
    words = _words(text)
    if _QUOTATION_OPENS.search(text[-100:]) or (words and words.rstrip(" \t")[-1:] in _OPEN_QUOTES):
        return True
    return bool(_BEFORE.search(_last_sentence(words)))


def quoted_before(text: str) -> bool:
    """Whether that sentence speaks of what somebody did or said: reason enough not to change anything."""
    return bool(_OF_OTHERS.search(_last_sentence(_words(text))))


def _words(text: str) -> str:
    return _MARK.sub("", text[-1_000:]).replace("\u2019", "'").rstrip(" \t")


def _last_sentence(words: str) -> str:
    sentences = [part.strip() for part in _SENTENCE.split(words) if _LEADS_ON.search(part)]
    return sentences[-1] if sentences else ""


def hedged_after(text: str) -> bool:
    """Whether the words after a call take it back, ask for leave, or say what it would have done."""
    text = text.replace("\u2019", "'")
    return any(_AFTER.search(part.strip()) for part in _SENTENCE.split(text[:1_000]))
