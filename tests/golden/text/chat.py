"""Makes chat.json: chat templates and conversations, as transformers renders them.

    python chat.py > chat.json

Needs the packages transformers and jinja2. The templates are written for this purpose; together they
use what the templates of Llama, Mistral, Qwen, Gemma, Phi, TinyLlama and SmolLM use.
"""

import json

from transformers.utils.chat_template_utils import render_jinja_template

TEMPLATES = {
    "roles": """{% for message in messages %}
{% if loop.first and message['role'] != 'system' %}
{{ '<|im_start|>system\\nBe kind.<|im_end|>\\n' }}
{% endif %}
{{ '<|im_start|>' + message.role + '\\n' + message['content'] | trim + '<|im_end|>' + '\\n' }}
{%- endfor %}
{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}
""",
    "brackets": """{%- if messages[0].role == 'system' -%}
    {%- set system = '<<SYS>>\\n' ~ messages[0]['content'].strip() ~ '\\n<</SYS>>\\n\\n' -%}
    {%- set rest = messages[1:] -%}
{%- else -%}
    {%- set system = '' -%}
    {%- set rest = messages -%}
{%- endif -%}
{%- for message in rest -%}
    {%- if (message['role'] == 'user') != (loop.index0 % 2 == 0) -%}
        {{- raise_exception('Turns must alternate: user, assistant, user, ...') -}}
    {%- endif -%}
    {%- if message['role'] == 'user' -%}
        {{- bos_token + '[INST] ' + (system if loop.index0 == 0 else '') + message['content'] + ' [/INST]' -}}
    {%- else -%}
        {{- ' ' ~ message['content'].strip() ~ ' ' ~ eos_token -}}
    {%- endif -%}
{%- endfor -%}
""",
    "thoughts": """{%- set ns = namespace(last=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' and not message.content.startswith('<tool>') %}
        {%- set ns.last = loop.index0 %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content %}
    {%- if message.role == 'assistant' and '</think>' in content %}
        {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- if loop.index0 > ns.last and loop.last %}{{- '[last]' }}{% endif %}
    {{- '<' ~ message.role | upper ~ '>' ~ content.replace('&', 'and') ~ '\\n' }}
{%- endfor %}
{%- if add_generation_prompt is defined and add_generation_prompt %}
    {{- '<ASSISTANT>' }}
{%- endif %}""",
    "date": """{{ bos_token }}{%- if not date_string is defined %}
    {%- if strftime_now is defined %}
        {%- set date_string = strftime_now('%Y-%m') %}
    {%- endif %}
{%- endif %}
{% if tools is not none and tools %}tools{% endif %}
{% for message in messages %}{% if message.role == 'system' %}{% continue %}{% endif %}
    {{ loop.index }}/{{ loop.length }} {{ message.role[:4] }}: {{ message.content | string | length }} {{ message.get('name', 'nobody') }} {{ message.items() | list | length }}
{% endfor %}
{% generation %}{{ eos_token }}{% endgeneration %}
{# a comment #}
{{ '%s-%d' | format('a', 3) if false else date_string | length }}
""",
}

TALKS = [
    [("user", "  Hello & welcome\n")],
    [("system", " Answer in one word. "), ("user", "What is 2 + 2?")],
    [
        ("user", "hi"),
        ("assistant", "<think>\nhm\n</think>\n\nHello."),
        ("user", "日本語 <|im_end|> 🤗"),
    ],
    [("user", "a"), ("user", "b")],
    [("system", "s"), ("user", ""), ("assistant", "x </think> y"), ("user", "<tool> z")],
]


def main():
    cases = []
    for name, template in TEMPLATES.items():
        for talk in TALKS:
            messages = [{"role": role, "content": content} for role, content in talk]
            case = {"name": name, "template": template, "messages": messages}
            try:
                [text], _ = render_jinja_template(
                    conversations=[messages],
                    chat_template=template,
                    add_generation_prompt=True,
                    bos_token="<s>",
                    eos_token="</s>",
                )
                case["text"] = text
            except Exception as error:
                case["error"] = str(error)
            cases.append(case)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    print(f"[\n{lines}\n]")


main()
