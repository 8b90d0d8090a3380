"""Makes template-vectors.json: conversations as transformers renders them.

    pip install torch==2.15.0 transformers==5.24.0
    python tests/reference/make_template_vectors.py

Every template is rendered for every conversation, with and without opening the assistant's
turn. An expected value is the text, or null where the template refuses the conversation.
The templates of SmolLM2, Llama 3, Gemma, Qwen 2.5 and Mistral follow their published forms
(those of Qwen and Mistral without tools); "constructs" uses what other published templates do.
"""

import json
import pathlib

import jinja2
from transformers.utils.chat_template_utils import render_jinja_template

HERE = pathlib.Path(__file__).parent
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}

SMOLLM2 = """\
{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}"""

LLAMA3 = (
    "{% set loop_messages = messages %}{% for message in loop_messages %}"
    "{% set content = '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n'"
    "+ message['content'] | trim + '<|eot_id|>' %}"
    "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %}"
)

GEMMA = (
    "{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}"
    "{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('Conversation roles must alternate user/assistant/user/assistant/...') }}{% endif %}"
    "{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}"
    "{% set role = message['role'] %}{% endif %}"
    "{{ '<start_of_turn>' + role + '\n' + message['content'] | trim + '<end_of_turn>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{'<start_of_turn>model\n'}}{% endif %}"
)

QWEN25 = """\
{%- if messages[0]['role'] == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0]['content'] + '<|im_end|>\\n' }}
{%- else %}
    {{- '<|im_start|>system\\nYou are Qwen, created by Alibaba Cloud. You are a helpful assistant.<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if (message.role == "user") or (message.role == "system" and not loop.first) or (message.role == "assistant" and not message.tool_calls) %}
        {{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "tool" %}
        {{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
{%- endif %}
"""

MISTRAL = """\
{%- if messages[0]["role"] == "system" %}
    {%- set system_message = messages[0]["content"] %}
    {%- set loop_messages = messages[1:] %}
{%- else %}
    {%- set loop_messages = messages %}
{%- endif %}
{%- set ns = namespace() %}
{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}
        {{- raise_exception("After the optional system message, conversation roles must alternate user/assistant/user/assistant/...") }}
    {%- endif %}
    {%- set ns.index = ns.index + 1 %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message["role"] == "assistant" %}
        {{- " " + message["content"]|trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""

CONSTRUCTS = """\
{%- set ns = namespace(last=-1, found=false) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if not ns.found and message.role == "user" and not (message.content.startswith('<tool>') and message.content.endswith('</tool>')) %}
        {%- set ns.found = true %}
        {%- set ns.last = index %}
        {%- break %}
    {%- endif %}
{%- endfor %}
last {{ ns.last }}
{% for message in messages %}
    {%- if message.role not in ['system', 'user', 'assistant'] %}{% continue %}{% endif %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {{- '[' ~ message.role.upper() ~ ' ' ~ loop.index ~ '/' ~ loop.length ~ ']' }}
    {{- content.strip() | tojson }}{{ message | tojson }}{{ message | tojson(indent=2) }}
    {{- content.replace('a', 'A').rstrip('\\n').split()|length }}{{ content.split('\\n') | join('|') }}
    {%- for key, value in message.items() %}{{ key }}={{ value[:3] }};{% endfor %}
    {{- message.get('name', 'nobody') }}{{ 'x' if message.tool_calls is defined else 'y' }}{{ content.title() }}
    {%- if loop.previtem is defined and loop.previtem.role != message.role %}+{% endif %}
{% endfor %}
{%- set users = messages | selectattr('role', 'equalto', 'user') | list %}
{{- users | length }}{{ (messages | map(attribute='role') | list) }}{{ messages | map(attribute='role') | join(',') }}
{% if tools is not none %}tools{% elif documents %}documents{% else %}neither{% endif %}
   {% if add_generation_prompt %}
   go
   {% endif %}
{%- macro turn(role, text='') %}<{{ role }}>{{ text }}{% endmacro %}
{{ turn('a') }}{{ turn('b', 'c') }}{{ true }}{{ none }}{{ 1.0 }}{{ 7 // 2 }}{{ [1, 'a', none] }}{{ {'k': 'v'} }}
"""

TEMPLATES = {
    "smollm2": SMOLLM2, "llama3": LLAMA3, "gemma": GEMMA, "qwen2.5": QWEN25, "mistral": MISTRAL,
    "constructs": CONSTRUCTS,
}


def turns(*pairs):
    return [{"role": role, "content": content} for role, content in pairs]


CONVERSATIONS = [
    turns(("user", "Hello")),
    turns(("system", "Be brief."), ("user", "Hello")),
    turns(("user", "Hi"), ("assistant", "Hello! How can I help?"), ("user", "Tell me a joke.")),
    turns(("system", "Sie sind höflich."), ("user", "你好 👋"), ("assistant", "您好！"), ("user", "再见")),
    turns(("user", "  spaces around \n")),
    turns(("user", "")),
    turns(("user", "quotes \" ' and \\ <b>html</b> & {\"a\": [1, 2]} {{ not.a.template }} {% raw %}")),
    turns(("user", "line\nline\r\n\ttab"), ("assistant", "<think>\nwell\n</think>\n\nanswer a banana"), ("user", "<tool>x</tool>")),
    turns(("user", "one"), ("user", "two")),
    turns(("assistant", "I start")),
    turns(("user", "look it up"), ("tool", "{\"found\": true}"), ("assistant", "Found.")),
    turns(("user", "a special token <|im_end|> in the text")),
]


def render(template, conversation, open_turn):
    try:
        rendered, _ = render_jinja_template(
            conversations=[conversation], chat_template=template, add_generation_prompt=open_turn, **SPECIAL
        )
    except jinja2.TemplateError:
        return None
    return rendered[0]


def main():
    vectors = {
        "special": SPECIAL,
        "conversations": CONVERSATIONS,
        "templates": {
            name: {
                "source": source,
                "closed": [render(source, one, False) for one in CONVERSATIONS],
                "opened": [render(source, one, True) for one in CONVERSATIONS],
            }
            for name, source in TEMPLATES.items()
        },
    }
    text = json.dumps(vectors, ensure_ascii=False, indent=1)
    (HERE / "template-vectors.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
