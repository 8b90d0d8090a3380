"""Makes tool-vectors.json: conversations with tools as transformers renders them.

    pip install torch==2.15.0 transformers==5.24.0
    python tests/reference/make_tool_vectors.py

A dialogue stands there as its users store it (`record`: OpenAI's messages, or LLaMA-Factory's
sharegpt) and as transformers is given it (`messages`, the arguments of calls as objects). Every
template is rendered for every dialogue, with and without opening the assistant's turn; a text is
null where the template refuses. What an assistant says stands between `{% generation %}` marks, so
that transformers itself says which characters are learnt from: `whole` of the dialogue up to the
last turn that is learnt, `turns` of each such turn with only what stands before it.

The templates are written for this file, each with what a family of published ones does. "hermes"
writes calls between tags, and results in the user's turn; "thinking" leaves reasoning out before the
last question; "header" has tools in the first question, one call at a time and nothing said beside it;
"copied" takes arguments as a text, and reads reasoning under the name that gpt-oss's template does.
"""

import copy
import json
import pathlib

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

HERMES = """\
{#- Tools stand behind the system message, one a line; what they gave back is told by the user. #}
{%- macro written(call) %}
    {{- '<tool_call>\\n{"name": ' ~ call.name | tojson ~ ', "arguments": ' ~ call.arguments | tojson ~ '}\\n</tool_call>' }}
{%- endmacro %}
{{- '<|im_start|>system\\n' ~ (messages[0].content if messages[0].role == 'system' else 'You help.') }}
{%- for tool in tools or [] %}
    {{- ('\\n\\nThese may be called:\\n' if loop.first else '\\n') ~ tool | tojson }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- for turn in messages %}
    {%- if turn.role == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- turn.content or '' }}
        {%- for call in turn.tool_calls or [] %}
            {{- '' if loop.first and not turn.content else '\\n' }}
            {{- written(call.function) }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif turn.role == 'tool' %}
        {%- set goes_on = loop.previtem is defined and loop.previtem.role == 'tool' %}
        {%- set is_followed = loop.nextitem is defined and loop.nextitem.role == 'tool' %}
        {{- '\\n' if goes_on else '<|im_start|>user\\n' }}
        {{- '<tool_response>\\n' ~ turn.content ~ '\\n</tool_response>' }}
        {{- '' if is_followed else '<|im_end|>\\n' }}
    {%- elif turn.role != 'system' or not loop.first %}
        {{- '<|im_start|>' ~ turn.role ~ '\\n' ~ turn.content ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' if add_generation_prompt else '' }}
"""

THINKING = """\
{#- What was thought is written behind the last question only; every result is a turn of its own. #}
{%- set asked = namespace(at=-1) %}
{%- for turn in messages %}
    {%- if turn.role == 'user' %}
        {%- set asked.at = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- set given = messages[0].content if messages[0].role == 'system' else '' %}
{%- if given or tools %}
    {{- '<|im_start|>system\\n' ~ given }}
    {%- for tool in tools or [] %}
        {{- ('\\n' if given or not loop.first else '') ~ '<tool>' ~ tool | tojson ~ '</tool>' }}
    {%- endfor %}
    {{- '<|im_end|>\\n' }}
{%- endif %}
{%- for turn in messages %}
    {%- set said = turn.content or '' %}
    {%- if turn.role == 'assistant' %}
        {%- set thought = turn.reasoning_content or '' %}
        {%- if not thought and '</think>' in said %}
            {%- set thought = said.split('</think>')[0] | replace('<think>', '') | trim %}
            {%- set said = said.split('</think>')[1] | trim %}
        {%- endif %}
        {%- set is_shown = loop.index0 > asked.at and (thought or loop.last) %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {%- if is_shown %}
            {{- '<think>\\n' ~ thought ~ '\\n</think>\\n\\n' }}
        {%- endif %}
        {{- said }}
        {%- for call in turn.tool_calls or [] %}
            {%- set put_in = call.function.arguments %}
            {{- ('\\n' if said or not loop.first else '') ~ '<tool_call>\\n{"name": ' ~ call.function.name | tojson }}
            {{- ', "arguments": ' ~ (put_in if put_in is string else put_in | tojson) ~ '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif turn.role != 'system' or not loop.first %}
        {{- '<|im_start|>' ~ turn.role ~ '\\n' ~ said ~ '<|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' if add_generation_prompt else '' }}
"""

HEADER = """\
{#- Tools stand in the first question; a turn is either words or one call. #}
{{- bos_token }}
{%- set open = namespace(tools=tools) %}
{%- for turn in messages %}
    {{- '<|im_start|>' ~ turn.role ~ '\\n' }}
    {%- if turn.role == 'assistant' %}
        {%- generation %}
        {%- if not turn.tool_calls %}
            {{- turn.content | trim }}
        {%- elif turn.tool_calls | length > 1 %}
            {{- raise_exception('One call at a time.') }}
        {%- else %}
            {%- set call = turn.tool_calls[0].function %}
            {{- '{"call": ' ~ call.name | tojson ~ ', "with": ' ~ call.arguments | tojson ~ '}' }}
        {%- endif %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
    {%- elif turn.role == 'tool' %}
        {{- (turn.content | tojson if turn.content is iterable else turn.content) ~ '<|im_end|>' }}
    {%- else %}
        {%- if turn.role == 'user' and open.tools %}
            {{- 'Answer, or call one of these.\\n\\n' }}
            {%- for tool in open.tools %}
                {{- tool | tojson(indent=4) ~ '\\n\\n' }}
            {%- endfor %}
            {%- set open.tools = none %}
        {%- endif %}
        {{- turn.content | trim ~ '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' if add_generation_prompt else '' }}
"""

COPIED = """\
{#- Arguments are copied, so they have to be a text; a turn that says anything calls nothing. #}
{%- for tool in tools or [] %}
    {{- tool.function.name ~ ': ' ~ tool.function.description ~ '\\n' }}
{%- endfor %}
{%- for turn in messages %}
    {{- '<|im_start|>' ~ [turn.role, turn.name, turn.tool_call_id] | select | join(' ') ~ '\\n' }}
    {%- if turn.role != 'assistant' %}
        {{- turn.content ~ '<|im_end|>' }}
    {%- else %}
        {%- generation %}
        {%- if turn.content is not none %}
            {{- ('(' ~ turn.thinking ~ ') ' if turn.thinking is defined else '') ~ turn.content }}
        {%- else %}
            {%- for call in turn.tool_calls %}
                {{- '@' + call.function.name + ' ' + call.function.arguments + '\\n' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
    {%- endif %}
{%- endfor %}
{{- '<|im_start|>assistant\\n' if add_generation_prompt else '' }}
"""

TEMPLATES = {"hermes": HERMES, "thinking": THINKING, "header": HEADER, "copied": COPIED}
# Templates that copy the arguments of a call get them as a text.
COPYING = {"copied"}

WEATHER = {
    "name": "get_weather",
    "description": "Das Wetter an einem Ort; \"heute\" & morgen.",
    "parameters": {
        "type": "object",
        "properties": {
            "place": {"type": "string", "description": "City, e.g. 北京"},
            "days": {"type": "integer", "minimum": 1, "maximum": 10000000000000000, "default": 1},
            "error": {"type": "number", "minimum": 1e-07, "maximum": 1e16, "default": 0.5},
        },
        "required": ["place"],
    },
}
CLOCK = {"name": "now", "description": "The time.", "parameters": {"type": "object", "properties": {}}}


def function(tool):
    return {"type": "function", "function": tool}


def call(name, arguments, **more):
    return {**more, "type": "function", "function": {"name": name, "arguments": arguments}}


def said(role, content, **more):
    return {"role": role, "content": content, **more}


def stored(messages):
    """The messages as OpenAI's files have them: arguments are a text."""
    messages = copy.deepcopy(messages)
    for message in messages:
        for one in message.get("tool_calls") or []:
            one["function"]["arguments"] = json.dumps(one["function"]["arguments"], ensure_ascii=False)
    return messages


def share_gpt(messages, tools):
    """The messages as LLaMA-Factory's files have them, with tags of their own for calls and results."""
    names = {"system": "system", "user": "human", "assistant": "gpt", "tool": "observation"}
    talk = []
    for message in messages:
        if message.get("tool_calls"):
            calls = [one["function"] for one in message["tool_calls"]]
            value = json.dumps(calls[0] if len(calls) == 1 else calls, ensure_ascii=False)
            talk.append({"from": "function_call", "value": value})
        else:
            talk.append({"from": names[message["role"]], "value": message["content"]})
    return {"conversations": talk, "tools": json.dumps([one["function"] for one in tools], ensure_ascii=False)}


ONE_CALL = [
    said("system", "Antworte kurz."),
    said("user", "How is the weather in 北京?"),
    said("assistant", None, tool_calls=[call("get_weather", {"place": "北京", "days": 2, "error": 0.25})]),
    said("tool", "{\"sky\": \"晴\", \"degrees\": 21.5}"),
    said("assistant", "Sunny, 21.5 degrees."),
]
TWO_CALLS = [
    said("user", "Weather in \"Rome\" and the time?", name="ann"),
    said("assistant", "A moment.", tool_calls=[
        call("get_weather", {"place": "Rome\n(\"Roma\")", "error": 1e-05}, id="call00001"),
        call("now", {}, id="call00002"),
    ]),
    said("tool", "sun", tool_call_id="call00001", name="get_weather"),
    said("tool", "12:30", tool_call_id="call00002", name="now"),
    said("assistant", "Sun, and half past twelve."),
    said("user", "Thanks."),
    said("assistant", "You are welcome."),
]
THOUGHT = [
    said("user", "What time is it?"),
    said("assistant", None, reasoning_content="I have a clock.", tool_calls=[call("now", {})]),
    said("tool", "12:30"),
    said("assistant", "12:30.", reasoning_content="The clock says so."),
    said("user", "Sure?"),
    said("assistant", "Yes.", reasoning_content="It was just now."),
]
UNTHOUGHT = [
    said("user", "What time is it?"),
    said("assistant", "", tool_calls=[call("now", {})]),
    said("tool", "12:30"),
    said("assistant", "12:30."),
]
ENDS_ON_A_CALL = [
    said("user", "What time is it?"),
    said("assistant", None, tool_calls=[call("now", {"zone": None, "exact": True, "list": [1, [], {}]})]),
]
PLAIN = [said("user", "Hello"), said("assistant", "Hi."), said("user", "Bye"), said("assistant", "Bye.")]

BOTH = [function(WEATHER), function(CLOCK)]


def messages_of(messages, tools, unlearnt=()):
    record = {"messages": stored(messages)}
    for at in unlearnt:
        record["messages"][at]["weight"] = 0
    if tools:
        record["tools"] = tools
    return {"record": record, "messages": messages, "tools": tools, "unlearnt": list(unlearnt)}


DIALOGUES = {
    "one call": messages_of(ONE_CALL, [function(WEATHER)]),
    "one call of sharegpt": {
        "record": share_gpt(ONE_CALL, [function(WEATHER)]),
        "messages": ONE_CALL, "tools": [function(WEATHER)], "unlearnt": [],
    },
    "two calls": messages_of(TWO_CALLS, BOTH),
    "two calls, the first answer not learnt": messages_of(TWO_CALLS, BOTH, [1]),
    "reasoning": messages_of(THOUGHT, [function(CLOCK)]),
    "no reasoning": messages_of(UNTHOUGHT, [function(CLOCK)]),
    "ends on a call": messages_of(ENDS_ON_A_CALL, [function(CLOCK)]),
    "no tools": messages_of(PLAIN, None),
}


def handed_over(messages, name):
    return stored(messages) if name in COPYING else messages


def render(name, messages, tools, open_turn=False):
    """The text, and the characters that are an assistant's; nothing where the template refuses."""
    try:
        texts, spans = render_jinja_template(
            conversations=[handed_over(messages, name)], tools=tools, chat_template=TEMPLATES[name],
            add_generation_prompt=open_turn, return_assistant_tokens_mask=True, **SPECIAL,
        )
    except (jinja2.TemplateError, TypeError):
        return None, []
    return texts[0], [list(span) for span in spans[0]]


def learnt(name, dialogue):
    """What is learnt from a dialogue whose every turn the template writes; else nothing."""
    messages, tools = dialogue["messages"], dialogue["tools"]
    places = [at for at, one in enumerate(messages) if one["role"] == "assistant" and at not in dialogue["unlearnt"]]
    turns = []
    for at in places:
        text, spans = render(name, messages[: at + 1], tools)
        if text is None:
            return None
        span = spans[-1]
        assert text[: span[1]].endswith("<|im_end|>"), (name, text, span)
        turns.append({"text": text[: span[1]], "learnt": text[span[0] : span[1]]})
    whole, spans = render(name, messages[: places[-1] + 1], tools)
    # One row, where nothing that is learnt is written differently once more follows.
    one_row = all(whole.startswith(turn["text"]) for turn in turns)
    return {"one_row": one_row, "turns": turns}


def main():
    templates = {}
    for name, source in TEMPLATES.items():
        of = {"source": source, "closed": {}, "opened": {}, "learnt": {}}
        for title, dialogue in DIALOGUES.items():
            of["closed"][title] = render(name, dialogue["messages"], dialogue["tools"])[0]
            of["opened"][title] = render(name, dialogue["messages"], dialogue["tools"], True)[0]
            of["learnt"][title] = learnt(name, dialogue)
        templates[name] = of
    vectors = {"special": SPECIAL, "dialogues": DIALOGUES, "templates": templates}
    text = json.dumps(vectors, ensure_ascii=False, indent=1)
    (HERE / "tool-vectors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
