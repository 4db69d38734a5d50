"""What announces a call, ends one, or is only spoken of: the expressions that `read` goes by. (pure)

Where two repeated parts could share the same spaces, the first takes them for good (`*+`): otherwise a long run of
spaces is gone through once for each of its characters.
"""

from __future__ import annotations

import re

NAME = r"[A-Za-z_][\w.\-/]{0,80}"
EVENT = re.compile(
    rf"""
      (?P<fence>^[ ]{{0,3}}(?P<ticks>`{{3,}}|~{{3,}})[ \t]*+(?P<info>[^`\n]*)$)
    | (?P<comment><!--)
    | (?P<think><(?:think|thinking|thought|reasoning)>)
    | (?P<unthink></(?:think|thinking|thought|reasoning)>)
    | (?P<analysis><\|channel\|>analysis\s*<\|message\|>)
    | (?P<keyed><tool_call>\s*{NAME}\s*(?=<arg_key>))
    | (?P<function><(?:function|invoke|tool|function_call|tool_call)(?:=|\s+name\s*=))
    | (?P<named>
        \bto=(?P<harmony>{NAME})(?:<\|channel\|>\w+)?(?:\s|<\|constrain\|>|<\|message\|>|\b(?:json|code)\b)*(?=\{{)
      | \[TOOL_CALLS\]\s*(?P<mistral>{NAME})(?:\s|\[CALL_ID\]\w+|\[ARGS\])*(?=\{{)
      | <\|tool_call_begin\|>\s*(?P<kimi>{NAME}(?::\d+)?)\s*<\|tool_call_argument_begin\|>\s*(?=\{{)
      | <\uff5ctool▁call▁begin\uff5c>(?:function)?(?:<\uff5ctool▁sep\uff5c>)?(?P<deepseek>{NAME})
            (?:\s|<\uff5ctool▁sep\uff5c>|```(?:json)?)*(?=\{{)
      | <tool_call>\s*(?P<bare>{NAME})\s*(?=\{{)
      | ^[ ]{{0,3}}(?:\*\*)?Action:(?:\*\*)?[ \t]*`?(?P<react>{NAME})`?[ \t]*\n+
            [ ]{{0,3}}(?:\*\*)?Action\ Input:(?:\*\*)?\s*(?:```(?:json)?\s*)?(?=\{{)
      )
    | (?P<marked><tool_calls?>|<function_calls?>|<\|tool_calls?\|>|<tools>|\[TOOL_CALLS?\]|<\|python_tag\|>|<tool_use>)
    | (?P<response><tool_response>|<tool_result>|<function_results?>|^Observation:|^Tool[ ]result:)
    | (?P<stray></(?:parameter|function|invoke|arg_value|tool_call)>)
    | (?P<element>^[ \t]*<[a-zA-Z][\w-]{{2,60}}>[ \t]*(?=\r?\n|<))
    | (?P<json>^[ \t]*(?=[{{\[]))
    | (?P<code>`+)
    """,
    re.MULTILINE | re.VERBOSE,
)
CALLS_FENCED = frozenset(
    (
        "json",
        "jsonc",
        "json5",
        "tool_call",
        "tool_calls",
        "tool",
        "tools",
        "tool_use",
        "tool_code",
        "function",
        "function_call",
        "call",
        "action",
    )
)
PYTHON_FENCED = frozenset(("tool_code", "tool_call", "tool_calls"))
LOOKS_LIKE_CALL = re.compile(
    r"[\s\[{]{0,200}[\"']?(?:name|tool|tool_name|function|function_name|action|tool_calls)[\"']?\s*:", re.IGNORECASE
)
CALL_ON_A_LINE = re.compile(r"\n[^\S\n]*+(?:<(?:tool_call|function|invoke)|\[TOOL_CALLS|<\||```|\{)")
EMPTY_LINES = re.compile(r"[ \t\r]*\n\s*?(?=\S)")
BEFORE_TO = re.compile(r"(?:<\|start\|>)?(?:assistant)?(?:<\|channel\|>)?(?:commentary|analysis|final)?\s{0,3}\Z")
CALL_ENDS = re.compile(r"</tool_call|<\|(?:call|end|tool_call_end)\|>")
CALL_ENDS_OR_BEGINS = re.compile(rf"(?P<ends>{CALL_ENDS.pattern})|<tool_call>|<function|\[TOOL_CALLS\]|<\|channel")
TICKS = re.compile(r"`+")
PARAGRAPH = re.compile(r"\n\n")
SPACE = re.compile(r"\s*")
GOES_ON = ("<", "[", "{", "`", ",")
BETWEEN = re.compile(r"[\s,;]*")
MARK_ENDS = re.compile(
    r"[\s\]}]*(?:</(?:tool_calls?|function_calls?|tools|tool_use)>|<\|/?(?:call|end|eot_id|eom_id|im_end|tool_calls?"
    r"|tool_call_end|tool_calls_section_end)\|>|<\uff5ctool▁calls?▁end\uff5c>|\[/TOOL_CALLS?\])"
)
