"""Makes chat.json: chat templates and conversations, as transformers renders them.

    python chat.py > chat.json

Needs the packages transformers and jinja2. The templates are written for this purpose; together they
use what the templates of Llama, Mistral, Qwen, Gemma, Phi, TinyLlama and SmolLM use.
"""

import json

from jinja2 import TemplateError

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

# Templates of one thing each, for one conversation. "fails" stands for an error of Python's own.
PARTS = r"""
{{ tools is iterable }} {{ tools is sequence }} {{ 'x' is sequence }} {{ {} is sequence }} {{ none is none }} {{ nothing is iterable }} {{ nothing is sequence }} {{ 1 is iterable }} {{ true is iterable }} {{ range(3) is sequence }}
{% for x in tools %}x{% endfor %}
{% for x in nothing %}x{% else %}none{% endfor %}
{{ tools | length }}
{{ tools | list }}
{{ tools | map('upper') | list }}
{{ none | join }}
{{ messages | tojson }}
{{ messages | tojson(indent=2) }}
{{ {'b': [], 'a': {}, 'ü': '<&\'"\\\n\x1f\x7f>'} | tojson }}
{{ {'b': [1, 2.5, 1e30, 1e-7, true, none], 'a': {'z': 1, 'y': []}} | tojson(sort_keys=true, indent=1) }}
{{ {'b': 'é🤗', 'a': (1, 2)} | tojson(ensure_ascii=true, separators=(',', ':')) }}
{{ [1, [2, {'a': 3}]] | tojson(indent=4, separators=(', ', ' = ')) }}
{{ {1: 2, none: 3, true: 4, 2.5: 5} | tojson }} {{ [1, 2] | tojson(indent='--') }} {{ [] | tojson(indent=2) }}
{{ nothing | tojson }}
{{ messages }} {{ (1,) }} {{ () }} {{ (1, 'a') }} {{ ["it's", 'say "x"', 'a\nb\t\\', 'é', none, true, 1.0] }}
{{ 1.0 }} {{ 1e16 }} {{ 1e-5 }} {{ 123456789012345680.0 }} {{ 0.1 + 0.2 }} {{ 3 / 2 }} {{ 4 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 7.5 % 2 }} {{ 1_000 + 0x1f }}
{{ 'a' ~ 1 ~ none ~ true ~ [1] ~ nothing ~ 'b' }}
{{ 'a' + 1 }}
{{ 'a' * 3 }} {{ 3 * 'ab' }} {{ [1] * 3 }} {{ [1] + [2, 3] }} {{ (1,) + (2,) }} {{ 'x' * 0 }} {{ 'x' * -1 }}
{{ [1] + (2,) }}
{{ '%s is %d years, %5.2f%% and %r' % ('Ann', 30, 12.345, 'q') }} {{ '%s' % 'x' }} {{ '%03d' % 7 }} {{ '%-5s|' % 'ab' }} {{ '%s' % none }} {{ '%x' % 255 }}
{{ '%(a)s-%(b)s' % {'a': 1, 'b': 2} }} {{ 'a%s' % 'b' ~ 'c' }} {{ 10 % 4 * 2 }} {{ 2 + 10 % 4 }}
{{ '%s, %s!' | format('a', 'b') }} {{ '{}-{1}-{x}'.format('a', 'b', x=3) if false else '{0}-{1}-{x}'.format('a', 'b', x=3) }} {{ '{:>5}|{:<5}|{:^5}'.format('a', 'b', 'c') }} {{ '{:.2f}'.format(1.005) }} {{ '{:,}'.format(1234567) }}
{{ 1 < 2 < 3 }} {{ 1 < 3 < 2 }} {{ 'a' < 'b' }} {{ [1, 2] < [1, 3] }} {{ 1 == 1.0 }} {{ true == 1 }} {{ none == none }} {{ nothing == none }} {{ [1] == (1,) }} {{ {'a': 1} == {'a': 1} }} {{ 'a' != 'b' }} {{ 'a' == 1 }}
{{ 'a' < 1 }}
{{ 'a' in 'abc' }} {{ 'a' in ['a'] }} {{ 'role' in messages[0] }} {{ 'x' not in 'abc' }} {{ 1 in (1, 2) }} {{ 'x' in nothing }} {{ not 'x' in 'y' }}
{{ 1 in 'abc' }}
{{ 'x' in none }}
{{ messages[0].role }} {{ messages[-1]['role'] }} {{ messages[0]['nothing'] is defined }} {{ messages[9] is defined }} {{ 'abc'[1] }} {{ 'abc'[-1] }} {{ 'abc'[9] is defined }} {{ messages.0.role }}
{{ 'abcdef'[1:3] }} {{ 'abcdef'[:-2] }} {{ 'abcdef'[::-1] }} {{ 'abcdef'[::2] }} {{ 'abcdef'[4:1:-1] }} {{ [1, 2, 3, 4][1:] }} {{ [1, 2, 3, 4][-2:] }} {{ [1, 2, 3][::-1] }} {{ (1, 2, 3)[:2] }} {{ 'héllo'[1:2] }} {{ 'abc'[5:] }} {{ range(10)[2:4] | list }}
{{ none.x }}
{{ nothing.x }}
{{ nothing.x.y }}
{{ '  a b  '.strip() }}|{{ '  a '.lstrip() }}|{{ ' a  '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.strip('ba') }}|{{ '\n\na\n'.strip('\n') }}
{{ 'a,b,,c'.split(',') }} {{ ' a  b c '.split() }} {{ 'a b c'.split(' ', 1) }} {{ 'a b c'.split(maxsplit=1) }} {{ 'a b  c '.split(none, 1) }} {{ 'a,b,c'.rsplit(',', 1) }} {{ ' a b c '.rsplit(none, 1) }} {{ 'a<b<c'.split('<')[-1] }} {{ ''.split(',') }} {{ ''.split() }}
{{ 'a'.split('') }}
{{ 'aXbXc'.partition('X') }} {{ 'aXbXc'.rpartition('X') }} {{ 'abc'.partition('X') }} {{ 'abc'.rpartition('X') }}
{{ 'a\nb\r\nc\n'.splitlines() }} {{ 'a\nb\r\nc'.splitlines(true) }} {{ ''.splitlines() }} {{ 'a\n\nb'.splitlines(keepends=True) }}
{{ 'aaa'.replace('a', 'b') }} {{ 'aaa'.replace('a', 'b', 2) }} {{ 'abc'.replace('', '-') }} {{ 'aaaa'.replace('aa', 'b') }} {{ 'aaa' | replace('a', 'b') }} {{ 'aaa' | replace('a', 'b', 1) }}
{{ 'abc'.startswith('ab') }} {{ 'abc'.startswith(('x', 'a')) }} {{ 'abc'.endswith('bc') }} {{ 'abc'.startswith('b', 1) }} {{ 'abc'.endswith(('x', 'y')) }}
{{ 'abc'.startswith(1) }}
{{ 'abcb'.find('b') }} {{ 'abcb'.rfind('b') }} {{ 'abc'.find('x') }} {{ 'abcb'.index('b') }} {{ 'abcb'.count('b') }} {{ 'aaaa'.count('aa') }} {{ 'héllo'.find('l') }} {{ 'abcb'.find('b', 2) }} {{ 'abcb'.find('b', -1) }}
{{ 'abc'.index('x') }}
{{ ', '.join(['a', 'b']) }} {{ ''.join([]) }} {{ '-'.join('abc') }} {{ ', '.join({'a': 1, 'b': 2}) }}
{{ ','.join([1, 2]) }}
{{ 'hello World'.title() }} {{ "it's a dog's x1y".title() }} {{ 'hELLO wORLD'.capitalize() }} {{ 'aBc'.swapcase() }} {{ 'aBc'.upper() }} {{ 'ABC'.lower() }} {{ 'Straße'.upper() }} {{ 'hello world' | title }} {{ 'hELLO' | capitalize }}
{{ '12'.isdigit() }} {{ ''.isdigit() }} {{ 'ab'.isalpha() }} {{ 'a1'.isalnum() }} {{ ' '.isspace() }} {{ 'ab'.islower() }} {{ 'AB1'.isupper() }} {{ '1'.isupper() }} {{ 'é'.isascii() }} {{ '12'.isnumeric() }} {{ '12'.isdecimal() }}
{{ 'abc'.removeprefix('ab') }} {{ 'abc'.removesuffix('bc') }} {{ 'abc'.removeprefix('x') }} {{ 'aab'.removeprefix('a') }} {{ 'baa'.removesuffix('a') }}
{{ 'a'.ljust(3) }}| {{ 'a'.rjust(3, '.') }} {{ 'ab'.center(5, '*') }} {{ 'a'.center(4, '*') }} {{ '-7'.zfill(4) }} {{ '7'.zfill(3) }} {{ 'ab' | center(6) }}|
{{ {'a': 1}.get('a') }} {{ {'a': 1}.get('b') }} {{ {'a': 1}.get('b', 2) }} {{ {'a': 1, 'b': 2}.items() | list }} {{ {'b': 1, 'a': 2}.keys() | list }} {{ {'a': 1}.values() | list }}
{% for k, v in {'b': 1, 'a': 2}.items() %}{{ k }}={{ v }};{% endfor %}{% for k, v in {'b': 1, 'a': 2} | items %}{{ k }}={{ v }};{% endfor %}{% for k, v in {'b': 1, 'a': 2} | dictsort %}{{ k }}={{ v }};{% endfor %}
{% set schema = {'items': {'type': 'string'}, 'keys': 1} %}{% for k, v in schema.items() %}{{ k }};{% endfor %}{{ schema['items'].type }}{{ schema.get('keys') }}
{{ [1, 2, 1].count(1) }} {{ [1, 2].index(2) }} {{ (1, 2, 1).count(1) }}
{{ [1].append(2) }}
{{ {'a': 1}.update({'b': 2}) }}
{{ {'a': 1}.pop('a') }}
{{ messages.nothing() }}
{{ 'abc'.nothing() }}
{{ dict(a=1, **{'b': 2}) }} {{ dict({'a': 1}, c=3) }} {{ dict(messages[0], content='new').content }}
{% set ns = namespace(a=1) %}{% for x in [1, 2] %}{% set ns.a = ns.a + x %}{% set ns.b = [x] %}{% endfor %}{{ ns.a }} {{ ns.b }} {{ ns.c is defined }}
{% set ns = namespace(out=[]) %}{% for m in messages %}{% set ns.out = ns.out + [m.role] %}{% endfor %}{{ ns.out | join('|') }} {{ ns.out | length }}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{% endfor %}{{ x }}{% if true %}{% set x = 3 %}{% endif %}{{ x }}
{% set a, b = 1, 2 %}{{ a }}{{ b }} {% set c = 1, 2 %}{{ c }} {% set d %}block {{ a }}{% endset %}{{ d }} {% set e | upper %}x{% endset %}{{ e }}
{% with a = 1, b = 2 %}{{ a + b }}{% endwith %}{{ a is defined }}
{% macro f(a, b=2, c=none) %}[{{ a }}{{ b }}{{ c }}{{ a is defined }}]{% endmacro %}{{ f(1) }}{{ f(1, c=3) }}{{ f() }}{{ f(b=1, a=5) }}
{% macro f(x) %}<{{ caller(x) }}>{% endmacro %}{% call(y) f(1) %}{{ y }}!{% endcall %}
{% macro walk(x) %}{% if x is mapping %}{ {% for k, v in x.items() %}{{ k }}: {{ walk(v) }}{{ ', ' if not loop.last }}{% endfor %} }{% elif x is sequence and x is not string %}[{% for v in x %}{{ walk(v) }}{{ ',' if not loop.last }}{% endfor %}]{% else %}{{ x }}{% endif %}{% endmacro %}{{ walk({'a': [1, {'b': 'c'}], 'd': none}) }}
{% filter upper %}abc{{ 1 }}{% endfilter %}{% filter replace('a', 'b') | upper %}aa{% endfilter %}
{% for x in [1, 2, 3, 4] if x is even %}{{ loop.index }}/{{ loop.length }}:{{ x }} {% endfor %}{% for x in [] %}{% else %}empty{% endfor %}
{% for x in [1, 2, 3] %}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.previtem }}{{ loop.nextitem }}{{ loop.cycle('a', 'b') }}{{ loop.changed(x // 2) }} {% endfor %}
{% for x in [1, [2, [3]]] recursive %}{% if x is iterable %}({{ loop(x) }}){% else %}{{ x }}@{{ loop.depth }}{% endif %}{% endfor %}
{% for x in range(5) %}{% if x == 1 %}{% continue %}{% endif %}{% if x == 3 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for a, b in [(1, 2), [3, 4]] %}{{ a }}{{ b }};{% endfor %}{% for a, (b, c) in [(1, (2, 3))] %}{{ a }}{{ b }}{{ c }}{% endfor %}
a {%- generation -%} b {%- endgeneration -%} c {% generation %}{% set inner = 1 %}x{% endgeneration %}{{ inner is defined }}{%generation%}y{%endgeneration%}{%-   generation   %} z {%   endgeneration   -%} w
{{ 'a' if false }}|{{ 'a' if true else 'b' }}|{{ 1 if 0 else 2 if 0 else 3 }}|{{ (none or 'x') and 'y' }}|{{ not none }}|{{ 0 or [] or 'z' }}|{{ 1 and 2 or 3 }}
{{ nothing | default('d') }} {{ '' | default('d') }} {{ '' | default('d', true) }} {{ none | default('d', boolean=true) }} {{ none | d('x') }} {{ nothing | default }}|
{{ [3, 1, 2] | sort }} {{ [3, 1, 2] | sort(reverse=true) }} {{ ['b', 'A', 'c'] | sort }} {{ messages | map(attribute='role') | join(',') }} {{ messages | selectattr('role', 'equalto', 'user') | list | length }} {{ messages | rejectattr('role', '==', 'user') | map(attribute='role') | first }} {{ [1, none, 2] | select | list }} {{ [1, 2, 3] | select('odd') | list }} {{ [1, 2] | reject('equalto', 1) | list }} {{ ['a', 'b'] | map('upper') | list }}
{{ [1, 2, 3] | first }} {{ [1, 2, 3] | last }} {{ 'abc' | first }} {{ [1, 2, 3] | sum }} {{ [1, 5, 3] | max }} {{ [1, 5, 3] | min }} {{ [1, 1, 2] | unique | list }} {{ [1, 2, 3] | reverse | list }} {{ 'abc' | reverse }} {{ 'abc' | length }} {{ 'abc' | list }} {{ messages[0] | list }} {{ [1, 2, 3] | batch(2) | list }} {{ [1, 2, 3] | slice(2) | list }}
{{ ' x ' | trim }}| {{ 'xax' | trim('x') }} {{ '3' | int + 1 }} {{ 'x' | int }} {{ 'x' | int(7) }} {{ 3.7 | int }} {{ '2.5' | float }} {{ 'x' | float }} {{ 2.567 | round(1) }} {{ 2.5 | round }} {{ -3 | abs }} {{ 5 | string ~ 'x' }} {{ [1, 'a'] | string }} {{ true | string }}
{{ 'a\nb\nc' | indent }}|{{ 'a\nb' | indent(2, true) }}|{{ 'a\n\nb' | indent(width=1) }}
{{ 'x' is string }} {{ 1 is string }} {{ {} is mapping }} {{ 1 is number }} {{ true is number }} {{ true is boolean }} {{ 1 is boolean }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is float }} {{ true is true }} {{ 1 is true }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 'a' is lower }} {{ 1 is in [1, 2] }} {{ none is sameas none }} {{ strftime_now is callable }} {{ 'x' is callable }} {{ 2 is ge 2 }} {{ 2 is eq(2) }} {{ nothing is undefined }} {{ nothing is not defined }}
{{ 'a' 'b' }} {{ "a\"b" }} {{ 'a\'b' }} {{ '\u00e9\x41\101\q' }} {{ '}}' }} {{ '%}' }} {{ {'a': {'b': 1}}['a']['b'] }} {{ -1 }} {{ - 1 + 2 }} {{ +1 }} {{ --1 }} {{ 2 - -1 }} {{ 1, 2 }}
{{- ' a ' -}}   b   {{ ' c ' }}   {%- if true %}   d   {%- endif -%}   e
x{# comment #}y{#- c -#}  z  {#- d #} w
  {% if true %}  
 a
  {% endif %}  
	{%+ if true %}b{% endif %}
{% raw %}{{ not a tag }}{% endraw %} {%- raw -%} {% x %} {%- endraw -%}  .
{{ messages[0].content | escape }} {{ '<b a="/">&\'' | e }} {{ '<b>' | safe }}
{{ bos_token }}{{ eos_token }}{{ add_generation_prompt }}{{ tools }}{{ documents }}
{{ 'x'.join(['a']).upper()[0] }} {{ (1 if true else 2) + 1 }} {{ ('a' ~ 'b') | upper }} {{ 'a' ~ 'b' | upper }} {{ not 1 == 2 }} {{ 2 * 3 ** 2 }} {{ -2 ** 2 }} {{ 'a' in 'abc' and 'b' == 'b' }} {{ 10 - 2 - 3 }} {{ 2 ** 3 ** 2 }}
{{ raise_exception('no') }}
{{ raise_exception('no ' ~ 1) }}
{{ unknown_function() }}
{{ 'a' | unknown_filter }}
{{ 'a' is unknown_test }}
{{ 1 // 0 }}
{% if true %}
{% endfor %}
{{ (1 }}
{{ 'a }}
{% unknown %}
{% set 1 = 2 %}
{{ [1, 2 }}
{% set x = namespace() %}{% set x.y.z = 1 %}
{% set messages.x = 1 %}
{% do messages %}
{{ messages[0].content.split('o')[0] }}{{ messages[0]['content'].replace('l', 'L').strip() }}
"""

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


def parts():
    """The templates in PARTS; those with an indented or empty line after them go on there."""
    lines = PARTS.strip("\n").split("\n")
    start = next(at for at, line in enumerate(lines) if line.startswith("  {% if true %}"))
    several = {start: 4}
    at = 0
    while at < len(lines):
        count = several.get(at, 1)
        yield "\n".join(lines[at : at + count])
        at += count


def main():
    cases = []
    templates = [(name, template, talk) for name, template in TEMPLATES.items() for talk in TALKS]
    templates += [("part", template, TALKS[2]) for template in parts()]
    for name, template, talk in templates:
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
        except TemplateError as error:
            # What a template raises by itself has its own words; others are Jinja's.
            raised = type(error) is TemplateError
            case.update({"error": str(error)} if raised else {"fails": True})
        except Exception:
            case["fails"] = True
        cases.append(case)
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    print(f"[\n{lines}\n]")


main()
