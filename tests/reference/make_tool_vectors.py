"""Makes tool-vectors.json: conversations with tools as transformers renders them.

    pip install torch==2.15.0 transformers==5.24.0
    python tests/reference/make_tool_vectors.py

A dialogue stands there as its users store it (`record`: OpenAI's messages, or LLaMA-Factory's
sharegpt) and as transformers is given it (`messages`, the arguments of calls as objects). Every
template is rendered for every dialogue, with and without opening the assistant's turn; a text is
null where the template refuses. What an assistant says stands between `{% generation %}` marks, so
that transformers itself says which characters are learnt from: `whole` of the dialogue up to the
last turn that is learnt, `turns` of each such turn with only what stands before it.

The templates are written for this file. "hermes" is built as Qwen 2.5's is, "thinking" as Qwen 3's
(reasoning is left out before the last question), "header" as Llama 3.1's (tools in the first
question, one call at a time, nothing said beside it), "copied" takes arguments as a text, as
DeepSeek's does, and reads reasoning under the name that gpt-oss's does.
"""

import copy
import json
import pathlib

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

HERMES = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0]['role'] == 'system' %}
        {{- messages[0]['content'] }}
    {%- else %}
        {{- 'You help.' }}
    {%- endif %}
    {{- "\\n\\n# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools>\\nCall one: <tool_call>\\n{\\"name\\": <its name>, \\"arguments\\": <an object>}\\n</tool_call><|im_end|>\\n" }}
{%- else %}
    {%- if messages[0]['role'] == 'system' %}
        {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
    {%- else %}
        {{- '<|im_start|>system\\nYou help.<|im_end|>\\n' }}
    {%- endif %}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- generation %}
        {%- if message.content %}
            {{- message.content }}
        {%- endif %}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if tool_call.function is defined %}
                {%- set tool_call = tool_call.function %}
            {%- endif %}
            {%- if not loop.first or message.content %}
                {{- '\\n' }}
            {%- endif %}
            {{- '<tool_call>\\n{"name": "' }}
            {{- tool_call.name }}
            {{- '", "arguments": ' }}
            {{- tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if (loop.index0 == 0) or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' }}
        {{- message.content }}
        {{- '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

THINKING = """\
{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(searching=true, last_query=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.searching and message.role == "user" and message.content is string and not (message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.searching = false %}
        {%- set ns.last_query = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- if message.content is string %}
        {%- set content = message.content %}
    {%- else %}
        {%- set content = '' %}
    {%- endif %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning_content is string %}
            {%- set reasoning = message.reasoning_content %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- set thinks = loop.index0 > ns.last_query and (loop.last or reasoning) %}
        {{- '<|im_start|>' + message.role + '\\n' }}
        {%- generation %}
        {%- if thinks %}
            {{- '<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- content }}
        {%- endif %}
        {%- if message.tool_calls %}
            {%- for tool_call in message.tool_calls %}
                {%- if (loop.first and content) or (not loop.first) %}
                    {{- '\\n' }}
                {%- endif %}
                {%- if tool_call.function %}
                    {%- set tool_call = tool_call.function %}
                {%- endif %}
                {{- '<tool_call>\\n{"name": "' }}
                {{- tool_call.name }}
                {{- '", "arguments": ' }}
                {%- if tool_call.arguments is string %}
                    {{- tool_call.arguments }}
                {%- else %}
                    {{- tool_call.arguments | tojson }}
                {%- endif %}
                {{- '}\\n</tool_call>' }}
            {%- endfor %}
        {%- endif %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
        {{- '\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\\n<tool_response>\\n' + content + '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}
            {{- '<|im_end|>\\n' }}
        {%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

HEADER = """\
{{- bos_token }}
{%- if messages[0]['role'] == 'system' %}
    {%- set system = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system = "" %}
{%- endif %}
{{- "<|im_start|>system\\n" }}
{%- if tools is not none %}
    {{- "Environment: ipython\\n" }}
{%- endif %}
{{- system + "<|im_end|>" }}
{%- if tools is not none %}
    {%- set first = messages[0]['content'] | trim %}
    {%- set messages = messages[1:] %}
    {{- '<|im_start|>user\\nAnswer with a call of one of these functions.\\n\\n' }}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
    {{- first + "<|im_end|>" }}
{%- endif %}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|im_start|>' + message['role'] + '\\n' }}
        {%- generation %}
        {{- message['content'] | trim + '<|im_end|>' }}
        {%- endgeneration %}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}
            {{- raise_exception("One call at a time.") }}
        {%- endif %}
        {%- set call = message.tool_calls[0].function %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- '{"name": "' + call.name + '", "parameters": ' }}
        {{- call.arguments | tojson }}
        {{- "}<|im_end|>" }}
        {%- endgeneration %}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|im_start|>ipython\\n" }}
        {%- if message.content is mapping or message.content is iterable %}
            {{- message.content | tojson }}
        {%- else %}
            {{- message.content }}
        {%- endif %}
        {{- "<|im_end|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

COPIED = """\
{%- for tool in tools or [] %}{{ tool.function.name + ': ' + tool.function.description + '\\n' }}{% endfor %}
{%- for message in messages %}
    {%- if message['role'] == 'assistant' and message['content'] is none %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {%- for tool in message['tool_calls'] %}
            {{- tool['function']['name'] + '\\n```json\\n' + tool['function']['arguments'] + '\\n```\\n' }}
        {%- endfor %}
        {{- '<|im_end|>' }}
        {%- endgeneration %}
    {%- elif message['role'] == 'assistant' %}
        {{- '<|im_start|>assistant\\n' }}
        {%- generation %}
        {{- ('(' + message['thinking'] + ') ' if message['thinking'] is defined else '') + message['content'] + '<|im_end|>' }}
        {%- endgeneration %}
    {%- else %}
        {{- '<|im_start|>' + message['role'] + (' ' + message['name'] if message['name'] is defined else '') + (' ' + message['tool_call_id'] if message['tool_call_id'] is defined else '') + '\\n' + message['content'] + '<|im_end|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
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
