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

# The same for every filter, test and function of Jinja's, and for methods of Python's values.
BUILT_IN = r"""
{{ 'hello world foo bar' | truncate(11) }} {{ 'hello world foo bar' | truncate(11, true) }} {{ 'hello world' | truncate(9, false, '!', 0) }} {{ 'hello world' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9) }} {{ 'foo bar baz qux' | truncate(9, True) }} {{ 'foo bar baz qux' | truncate(11, leeway=0) }} {{ 'abc' | truncate(length=5, end='...') }}
{{ ('word ' * 100) | truncate }}
{{ 'abcdef' | truncate(2) }}
{{ 'a b-c  d_e, f' | wordcount }} {{ '' | wordcount }} {{ 'héllo wörld 12' | wordcount }} {{ "it's" | wordcount }} {{ 12 | wordcount }}
{{ 'The quick brown fox jumps over the lazy dog' | wordwrap(10) }} {{ 'abcdefghijklmnop qr' | wordwrap(5) }} {{ 'abcdefghijkl m' | wordwrap(5, false) }} {{ 'a b c d' | wordwrap(3, wrapstring='|') }} {{ 'one\n\ntwo three  four' | wordwrap(6) }} {{ 'well-known state-of-the-art' | wordwrap(8) }} {{ 'well-known state-of-the-art' | wordwrap(8, break_on_hyphens=false) }} {{ 'tab\there  and' | wordwrap(6) }} {{ '  lead and trail  ' | wordwrap(7) }}
{{ 'ab' | center }} {{ 'abc' | center(8) }} {{ 'abc' | center(width=7) }} {{ 12 | center(5) }}
{{ '%s - %s' | format('a', 1) }} {{ '%(a)s' | format(a=3) }} {{ '%d%%' | format(3.7) }}
{{ 'x' | format(1) }}
{{ {'class': 'a b', 'id': 'x<y', 'no': none, 'n': 3} | xmlattr }} {{ {'a': 1} | xmlattr(false) }} {{ {} | xmlattr }} {{ {'a': missing} | xmlattr }}
{{ {'a b': 1} | xmlattr }}
{{ {'b': 1, 'a': [1, 2]} | pprint }} {{ 'x' | pprint }} {{ none | pprint }} {{ 1.5 | pprint }} {{ ['a', "it's"] | pprint }}
{{ 100 | filesizeformat }} {{ 1 | filesizeformat }} {{ 0 | filesizeformat }} {{ 1000 | filesizeformat }} {{ 1234567 | filesizeformat }} {{ 1234567 | filesizeformat(true) }} {{ 1e13 | filesizeformat }} {{ 1300000000 | filesizeformat(binary=true) }} {{ '2500' | filesizeformat }} {{ 999999999999999999999999999 | filesizeformat }} {{ 1023 | filesizeformat(true) }}
{{ 'x' | filesizeformat }}
{{ '<p>Hello  <b>World</b></p> <!-- c --> x &amp; y &lt;' | striptags }} {{ '<a href="x>y">t</a>' | striptags }} {{ 'a\n b\t c' | striptags }} {{ '<!-- <b> --> q' | striptags }}
{{ '<b>' | forceescape }} {{ '<b>' | safe | forceescape }} {{ '<b>' | e | forceescape }} {{ '<b>' | safe | e }} {{ '<b>' | e | e }} {{ 3 | forceescape }}
{{ 'a b/c?d=é&x' | urlencode }} {{ {'a': 'b c', 'd': 1} | urlencode }} {{ [('a', 1), ('b', '/')] | urlencode }} {{ 12 | urlencode }}
{{ 'hello wOrld-foo (bar) it\'s' | title }} {{ 'a.b c_d {e} [f <g' | title }} {{ 'HELLO' | title }} {{ '1st x' | title }}
{{ 'hELLO wORLD' | capitalize }} {{ 'ß' | capitalize }} {{ 'ǆ' | title }} {{ 'éa' | capitalize }} {{ 12 | capitalize }} {{ none | upper }} {{ true | lower }}
{{ 'a\nb\n\nc' | indent }} {{ 'a\nb' | indent(2, true) }} {{ 'a\n\nb' | indent(2, blank=true) }} {{ 'a\nb' | indent('--') }} {{ 'a\nb' | indent(width='> ', first=true) }} {{ 'a\r\nb\n' | indent(1) }} {{ '' | indent }} {{ '\n' | indent(2, true, true) }} {{ 'a' | indent(3, first=true) }}
{% for g, items in [{'a': 1, 'b': 2}, {'a': 2, 'b': 3}, {'a': 1, 'b': 4}] | groupby('a') %}{{ g }}:{{ items | map(attribute='b') | join(',') }};{% endfor %}{% for g in [{'a': 1}] | groupby('a') %}{{ g.grouper }}{{ g.list }}{% endfor %}
{% for g, items in [{'a': 'x'}, {'a': 'X'}, {'b': 1}] | groupby('a', default='q') %}{{ g }}:{{ items | length }};{% endfor %}
{{ [{'a': 1}] | groupby('a') }} {{ [{'a': 'b'}, {'a': 'B'}] | groupby('a', case_sensitive=true) | length }} {{ [(1, 2), (1, 3)] | groupby(0) | length }}
{{ ['a', 'B', 'A', 'b'] | unique | list }} {{ ['a', 'A'] | unique(case_sensitive=true) | list }} {{ [{'a': 1}, {'a': 1}, {'a': 2}] | unique(attribute='a') | list }} {{ [1, 1.0, true, 2] | unique | list }} {{ 'abca' | unique | join }}
{{ [1, 2, 3, 4, 5] | batch(2) | list }} {{ [1, 2, 3] | batch(2, 'x') | list }} {{ [1, 2] | batch(2, fill_with=0) | list }} {{ [] | batch(2) | list }} {{ 'abc' | batch(2) | list }}
{{ [1, 2, 3, 4, 5] | slice(3) | list }} {{ [1, 2, 3, 4, 5] | slice(3, 'x') | list }} {{ [1, 2] | slice(3) | list }} {{ [1] | slice(2, fill_with=0) | list }}
{{ [1, 2] | slice(0) | list }}
{{ [1, 2, 3] | sum }} {{ [{'a': 1}, {'a': 2}] | sum(attribute='a') }} {{ [1.5, 2] | sum(start=10) }} {{ [[1], [2]] | sum(start=[]) }} {{ [] | sum }}
{{ [1] | sum('x') }}
{{ [1, 'a'] | sum }}
{{ [3, 1, 2] | min }} {{ [3, 1, 2] | max }} {{ ['b', 'A'] | min }} {{ ['b', 'A'] | min(case_sensitive=true) }} {{ [{'a': 2}, {'a': 1}] | min(attribute='a') }} {{ [] | min }} {{ [{'a': 2}, {'a': 1}] | max('a') if false }} {{ 'hello' | max }} {{ {'b': 1, 'a': 2} | max }}
{{ [1, 'a'] | min }}
{{ {'b': 1, 'A': 3, 'c': 2} | dictsort }} {{ {'b': 1, 'A': 3} | dictsort(true) }} {{ {'b': 1, 'A': 3} | dictsort(by='value') }} {{ {'b': 1, 'A': 3} | dictsort(false, 'value', true) }} {{ {'b': 1, 'A': 3} | dictsort(reverse=true) }}
{{ {'b': 1} | dictsort(by='x') }}
{{ [3, 1, 2] | sort }} {{ ['b', 'A', 'c'] | sort(case_sensitive=true) }} {{ [{'a': 2, 'b': 1}, {'a': 1, 'b': 2}] | sort(attribute='a') }} {{ [{'a': 1, 'b': 2}, {'a': 1, 'b': 1}] | sort(attribute='a,b') }} {{ [3, 1] | sort(true) }} {{ 'bca' | sort }} {{ {'b': 1, 'a': 2} | sort }} {{ [(2, 'a'), (1, 'b')] | sort(attribute='1') }} {{ [(2, 'a'), (1, 'b')] | sort(attribute=1) }}
{{ [1, 'a'] | sort }}
{{ [none, 1] | sort }}
{{ [{'a': {'b': 1}}, {'a': {'b': 2}}] | map(attribute='a.b') | list }} {{ [{'a': 1}, {}] | map(attribute='a', default='d') | list }} {{ ['a'] | map('replace', 'a', 'b') | list }} {{ [[1, 2]] | map('join', '-') | list }} {{ [(1, 2), (3, 4)] | map(attribute=1) | list }} {{ [{}] | map(attribute='a') | list }} {{ ['x'] | map('default', 'y') | list }} {{ [1, 2] | map('string') | list }}
{{ [1] | map | list }}
{{ [1] | map('nothing') | list }}
{{ [1, 2, 3, 4] | select('even') | list }} {{ [0, 1, '', 'a'] | select | list }} {{ [1, 2, 3] | select('gt', 1) | list }} {{ [1, 2, 3] | select('in', [1, 3]) | list }} {{ [1, 2, 3] | reject('odd') | list }} {{ [0, 1] | reject | list }} {{ [1, 4] | select('divisibleby', 2) | list }}
{{ [{'a': 1}, {'a': 0}, {}] | selectattr('a') | list }} {{ [{'a': 1}, {'a': 2}] | selectattr('a', 'gt', 1) | list }} {{ [{'a': 1}, {}] | rejectattr('a') | list }} {{ [{'a': 1}, {}] | selectattr('a', 'defined') | list }} {{ [{'a': 1}, {}] | rejectattr('a', 'defined') | list }} {{ [{'a': {'b': 3}}] | selectattr('a.b', '==', 3) | list | length }} {{ [{'a': 'x'}] | selectattr('a', 'in', ['x']) | list | length }} {{ [{'a': none}, {'a': 1}] | selectattr('a', 'none') | list }}
{{ [1] | selectattr | list }}
{{ [1, 2, 3] | first }} {{ 'abc' | last }} {{ {'a': 1, 'b': 2} | first }} {{ [] | first }} {{ [] | last }} {{ {'a': 1, 'b': 2} | last }} {{ (1, 2) | last }} {{ range(4) | last }} {{ range(3) | first }}
{{ 3 | first }}
{{ [1, 2, 3] | length }} {{ 'héé' | length }} {{ {'a': 1} | count }} {{ (1, 2) | count }} {{ range(3) | length }} {{ missing | length }}
{{ 3 | length }}
{{ none | length }}
{{ 'abc' | list }} {{ {'a': 1} | list }} {{ range(3) | list }} {{ (1, 2) | list }} {{ missing | list }}
{{ 1 | list }}
{{ {'a': 1} | items | list }} {{ missing | items | list }}
{{ [1] | items | list }}
{{ ['a', 'b'] | join }} {{ [1, 2] | join(', ') }} {{ [{'a': 1}, {'a': 2}] | join('-', attribute='a') }} {{ ['a', 'b'] | join(d='+') }} {{ 'abc' | join('.') }} {{ {'a': 1, 'b': 2} | join(',') }} {{ [none, true, 1.0] | join(' ') }} {{ missing | join }}
{{ 5 | join }}
{{ 'abc' | replace('b', 'x') }} {{ 'aaa' | replace('a', 'b', count=2) }} {{ 121 | replace(1, 3) }} {{ 'ab' | replace('', '-') }}
{{ 'ab' | reverse }} {{ [1, 2] | reverse | list }} {{ (1, 2) | reverse | list }} {{ range(3) | reverse | list }} {{ {'a': 1, 'b': 2} | reverse | list }}
{{ 3 | reverse }}
{{ 3.14159 | round(2) }} {{ 2.5 | round }} {{ 3.5 | round }} {{ 42.55 | round(1, 'floor') }} {{ 42.51 | round(1, 'ceil') }} {{ 42 | round }} {{ 1234 | round(-2) }} {{ 2.675 | round(2) }} {{ 42.55 | round(precision=0, method='ceil') }} {{ -2.5 | round }} {{ true | round }} {{ 0.5 | round }} {{ 1.5 | round }}
{{ 1 | round(1, 'x') }}
{{ 'a' | round }}
{{ -3 | abs }} {{ -2.5 | abs }} {{ true | abs }}
{{ 'a' | abs }}
{{ '42' | int }} {{ '0x1f' | int(0, 16) }} {{ 'ff' | int(base=16) }} {{ '1e3' | int }} {{ '32.7' | int }} {{ '-5' | int }} {{ ' 7 ' | int }} {{ 'x' | int(default=9) }} {{ none | int }} {{ [1] | int }} {{ 3.99 | int }} {{ true | int }} {{ '1_000' | int }} {{ '0b11' | int(base=2) }} {{ '' | int }} {{ 'inf' | int }}
{{ missing | int }}
{{ '3.5' | float }} {{ 'x' | float(1.5) }} {{ '1e3' | float }} {{ none | float }} {{ 'inf' | float }} {{ 3 | float }} {{ 'nan' | float }} {{ true | float }} {{ ' 2 ' | float }} {{ '1_0.5' | float }} {{ [] | float }}
{{ 5 | string }} {{ none | string }} {{ [1, 'a'] | string }} {{ 1.0 | string }} {{ 'x' | string }} {{ missing | string }}
{{ ' x ' | trim }} {{ 'xxaxx' | trim('x') }} {{ ' a ' | trim(chars=' ') }} {{ 12 | trim }} {{ none | trim }} {{ '\u00a0a\u2003' | trim }}
{{ 'abc' | attr('upper') is callable }} {{ {'a': 1} | attr('a') is defined }} {{ {'a': 1} | attr('items') is callable }} {{ [1] | attr('x') is defined }}
{{ none | default('x') }} {{ '' | d('x', true) }} {{ 0 | default(5, boolean=true) }} {{ [] | default([1], true) }}
{{ {'a': [1, {'b': none}]} | tojson }} {{ 'é' | tojson }} {{ 1.0 | tojson }} {{ (1, 2) | tojson }} {{ [1, 2] | tojson(indent=2) }} {{ {'b': 1, 'a': 2} | tojson(sort_keys=true) }} {{ true | tojson }} {{ '</' | tojson }} {{ 1e20 | tojson }}
{{ 10 ** 20 | tojson }}
{{ range(3) | tojson }}
{{ [1, 2] | map('string') | tojson }}
{{ {(1, 2): 3} | tojson }}
{{ namespace(a=1) | tojson }}
{{ {1: 'a', 2.5: 'b', true: 'c', none: 'd'} | tojson }}
{{ 'x' is sequence }} {{ [] is sequence }} {{ () is sequence }} {{ {} is sequence }} {{ range(3) is sequence }} {{ 1 is sequence }} {{ none is sequence }} {{ missing is sequence }} {{ namespace() is sequence }} {{ [1] | map('string') is sequence }}
{{ {} is mapping }} {{ [] is mapping }} {{ namespace() is mapping }} {{ missing is mapping }} {{ 'a' is mapping }} {{ messages[0] is mapping }}
{{ [] is iterable }} {{ 'a' is iterable }} {{ 1 is iterable }} {{ none is iterable }} {{ missing is iterable }} {{ {} is iterable }} {{ range(2) is iterable }} {{ namespace() is iterable }} {{ [1] | map('string') is iterable }} {{ raise_exception is iterable }}
{{ none is sameas none }} {{ true is sameas true }} {{ 1 is sameas 1 }} {{ 1 is sameas true }} {{ 1 is sameas 1.0 }} {{ [] is sameas [] }} {% set a = [1] %}{% set b = a %}{{ a is sameas b }} {{ {} is sameas {} }} {{ false is sameas 0 }} {{ 'ab' is sameas 'ab' }} {{ messages is sameas messages }} {{ none is sameas false }} {{ () is sameas () }}
{{ 1 is in [1, 2] }} {{ 'a' is in 'abc' }} {{ 'a' is in {'a': 1} }} {{ 3 is not in [1] }} {{ 1 is in((1, 2)) }}
{{ 4 is divisibleby 2 }} {{ 5 is divisibleby(2) }} {{ 4.0 is divisibleby 2 }} {{ 6 is divisibleby 1.5 }}
{{ 4 is divisibleby 0 }}
{{ 3 is odd }} {{ 4 is even }} {{ 0 is even }} {{ -1 is odd }} {{ 3.0 is odd }} {{ true is odd }}
{{ 'a' is odd }}
{{ 1 is number }} {{ 1.5 is number }} {{ true is number }} {{ '1' is number }} {{ 1 is integer }} {{ true is integer }} {{ 1.0 is integer }} {{ 1.0 is float }} {{ 1 is float }} {{ true is boolean }} {{ 0 is boolean }} {{ true is true }} {{ 1 is true }} {{ false is false }} {{ 0 is false }} {{ none is none }} {{ missing is none }}
{{ 'a' is string }} {{ 1 is string }} {{ ('a' | safe) is string }} {{ missing is string }} {{ 'a' is lower }} {{ 'A' is upper }} {{ '1' is lower }} {{ 1 is lower }} {{ 'aB' is lower }} {{ '' is upper }}
{{ missing is defined }} {{ missing is undefined }} {{ none is defined }} {{ messages[0].x is defined }} {{ range is callable }} {{ 'a'.upper is callable }} {{ 'a' is callable }} {{ dict is callable }} {{ namespace() is callable }} {% macro m() %}{% endmacro %}{{ m is callable }} {{ loop is defined }}
{{ 'a' is escaped }} {{ ('a' | safe) is escaped }} {{ ('a' | e) is escaped }} {{ 'upper' is filter }} {{ 'nothing' is filter }} {{ 'odd' is test }} {{ 'nothing' is test }} {{ 'truncate' is filter }} {{ 'bool' is filter }} {{ 'split' is filter }} {{ 'int' is test }} {{ 'safe' is test }}
{{ 1 is eq 1 }} {{ 1 is equalto 2 }} {{ 1 is ne 2 }} {{ 2 is gt 1 }} {{ 2 is greaterthan 3 }} {{ 1 is lt 2 }} {{ 1 is lessthan 1 }} {{ 1 is le 1 }} {{ 1 is ge 2 }}
{{ 1 is == 1 }}
{{ 'a' is gt 1 }}
{{ dict(a=1) }} {{ dict([('a', 1), ('b', 2)]) }} {{ dict() }} {{ dict({'a': 1}, b=2) }}
{{ dict(1) }}
{{ range(3) }} {{ range(1, 4) | list }} {{ range(5, 0, -2) | list }} {{ range(3)[1] }} {{ range(3)[-1] }} {{ 2 in range(3) }} {{ range(0) | list }}
{{ range('a') }}
{{ namespace(a=1, b='x') }} {{ namespace({'a': 1}).a }} {{ namespace({'a': 1}, b=2).b }} {% set n = namespace() %}{% set n.a = 1 %}{{ n.a }}{{ n['a'] }}{{ n.b is defined }}
{% set n = namespace() %}{% set n._a = 1 %}
{{ namespace(_a=1) }}
{{ namespace(1) }}
{% set n = namespace(x='a') %}{% set n.x = n.x ~ 'b' ~ 1 %}{% set n.x = n.x + 'c' + 'd' %}{% set n.x = n.x ~ n.x %}{{ n.x }}{% set n.x = n.x ~ (n.x | length) %}{{ n.x }}{% set n.y = 1 %}{% set n.y = n.y + 2 - 1 %}{{ n.y }}{% set n.z = [1] %}{% set n.z = n.z + [2] %}{{ n.z }}{% set n.y = n.y ~ 'a' %}{{ n.y }}{% set n.w = n.w ~ 'a' %}{{ n.w }}
{% set n = namespace(x='a') %}{% macro f() %}{% set n.x = n.x ~ '!' %}r{% endmacro %}{% set n.x = n.x ~ f() ~ '.' %}{{ n.x }}{% set n.x = n.x ~ 'z' %}{% set n.x = n.x ~ f() %}{{ n.x }}
{% set n = namespace(x='a') %}{% set n.x = n.x + 1 %}
{% set n = namespace(x='a') %}{% set n.x %}block{{ n.x }}{% endset %}{{ n.x }}{% set a, n.y = 1, 2 %}{{ a }}{{ n.y }}{% set n.q | upper %}abc{% endset %}{{ n.q }}
{% set n = namespace(f=false) %}{% for i in range(9) %}{% if not n.f %}{{ i }}{% if i == 3 %}{% set n.f = true %}{% endif %}{% endif %}{% endfor %}|{% for i in range(9) %}{%- if not n.f -%}x{%- endif -%}{%- endfor -%}|{% for i in range(3) %}{% if not n.f %}a{% endif %}{% else %}none{% endfor %}|{% for i in range(3) %}{% if n.f %}a{% endif %}b{% endfor %}|{% for i in range(4) %}{% if i > 2 %}{{ i }}{% endif %}{% endfor %}|{% for i in range(4) %}{% if loop.last %}{{ i }}{% endif %}{% endfor %}|{% for i in range(3) %}{% if n.f == false %}a{% elif n.f %}b{% endif %}{% endfor %}|{% for i in [1, 2] %}{% for j in [1, 2] %}{% if not n.f %}q{% endif %}{% endfor %}{{ i }}{% endfor %}
{% set n = namespace(content='a', role='system') %}{% set ms = [n] + messages %}{{ ms | length }}{{ ms[0].role }}{{ ms[0]['content'] }}{% for m in ms %}{{ m.role }},{% endfor %}{% set n.content = 'changed' %}{{ ms[0].content }}{{ ms | map(attribute='role') | join('+') }}
{{ 'a' in namespace(a=1) }}
{{ namespace(a=1) == namespace(a=1) }} {% set n = namespace() %}{{ n == n }}
{{ ("a" | safe) + "<b>" }} {{ "<b>" + ("a<" | safe) }} {{ ("<i>" | safe) ~ "<b>" }} {{ ("<%s>" | safe) % "<" }} {{ ("<" | safe).join(["<", "a" | safe]) }} {{ ("<" | safe).replace("<", ">") }} {{ ("<a" | safe).upper() + "&" }} {{ ("<" | safe) * 2 + "<" }} {{ (("a<b" | safe).split("<"))[0] + "<" }} {{ ("{}" | safe).format("<") }} {{ ("x" | e) + "&" + 'q"' }} {{ ("<abc" | safe)[1:] + "<" }} {{ ("  <" | safe) | trim ~ "<" }} {{ ("<" | safe | upper) + "<" }} {{ [("<" | safe), "<"] | join }} {{ ("<" | safe) | replace("<", "<<") }}
{{ messages[0].content | safe | tojson }} {{ ("<" | safe) in ["<"] }} {{ ("<" | safe) == "<" }} {{ {("a" | safe): 1}["a"] }}
{{ 'abc'.center(9, '*') }} {{ 'a,b'.split(sep=',') }} {{ 'a\tb'.expandtabs(4) }}
{{ 'Hello'.casefold() }} {{ 'ẞ'.casefold() }} {{ 'ﬁ'.casefold() }} {{ 'Ab Cd'.istitle() }} {{ '½'.isnumeric() }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }} {{ '٣'.isdigit() }} {{ '٣'.isdecimal() }}
{{ 'x'.join(map(['a'])) }}
{{ 'ab'.index('b') }} {{ 'abab'.rindex('ab') }} {{ 'a'.zfill(3) }} {{ '-1'.zfill(4) }} {{ 'a'.rjust(3) }} {{ 'abc'.rfind('z') }} {{ 'a.b.c'.rpartition('.') }} {{ 'a b'.title() }} {{ "they're bill's".title() }} {{ 'abc'.startswith(('a', 'b')) }} {{ 'ABC'.swapcase() }} {{ 'Ǆ'.swapcase() }} {{ 'ß'.upper() }} {{ 'İ'.lower() | length }} {{ 'ΑΣ'.lower() }}
{{ [1, 2, 3].index(2) }} {{ [1, 1].count(1) }} {{ [1].copy() }} {{ (1, 2).index(2) }} {{ [3, 1].index(1, 1) }}
{{ [1].index(5) }}
{{ {'a': 1}.get('b', 'c') }} {{ {'a': 1}.copy() }} {{ {'a': 1}.keys() }} {{ {'a': 1}.values() }} {{ {'a': 1}.items() }} {{ {'a': 1}.keys() | list }} {{ 'a' in {'a': 1}.keys() }} {{ {'a': 1}.items() | length }} {{ ('a', 1) in {'a': 1}.items() }}
{{ [[1, 2], [3]] | map('length') | list }} {{ [3, 1, 2] | map('string') | sort | join }} {{ ['b', 'a'] | sort | first }} {{ 'a,b' | replace(',', ' ') | wordcount }}
{{ [1, 2, 3] | select('odd') | map('string') | join(',') }} {{ (messages | selectattr('role', 'equalto', 'user') | list)[0].content }} {{ (messages | selectattr('role', 'equalto', 'user') | first).content }} {{ messages | map(attribute='content') | map('length') | sum }}
{{ messages | selectattr('role', 'equalto', 'user') | length }}
{{ (messages | selectattr('role', 'equalto', 'user'))[0] is defined }}
{{ messages | map(attribute='role') | last }}
{% set g = [1, 2] | map('string') %}{% for x in g %}{{ x }}{% endfor %}|{% for x in g %}{{ x }}{% endfor %}
{{ 'a' | bool }}
{{ 'a,b' | split(',') }}
{{ [1] | zip([2]) | list }}
{{ 'a\nb' | lines }}
{{ [1] | chain([2]) | list }}
{{ loop }}
{{ range(3) | sum }} {{ range(3) | max }} {{ range(3) | join(',') }} {{ range(10)[::3] | list }} {{ range(3) == range(3) }} {{ range(2, 8, 2) }}
{{ debug() }}
{{ 'a' if 'a' is string and 'b' is not none else 'c' }} {{ 1 if 'x' is in 'xyz' else 2 }} {{ not 'x' is in 'y' }} {{ 1 is defined and 2 is odd or 3 is odd }} {{ 5 is divisibleby 5 == true }}
{{ "a" "b" | upper }} {{ 'x' | upper ~ 'y' }} {{ [1,2,3][-2:] | first }} {{ (1, 2, 3)[1:] | list }} {{ 'abc' | upper | lower | capitalize }}
{{ range(10)[2:5] }} {{ range(10)[::-1] }} {{ range(1, 9)[1:9:2] }} {{ range(5)[3:1] }} {{ range(9, 0, -2)[1:] | list }} {{ range(4)[-2:] | join(',') }}
{{ range(5).start }} {{ range(5).stop }} {{ range(5).step }} {{ range(2, 9, 3).start }} {{ range(9)[2:8:3].stop }} {{ range(5).count(3) }} {{ range(5).index(3) }}
{{ range(5) == range(0, 5) }} {{ range(5) == [0, 1, 2, 3, 4] }} {{ (1, 2) == [1, 2] }} {{ range(0) == range(3, 3) }} {{ {'a': 1}.keys() == {'a': 2}.keys() }} {{ {'a': 1}.keys() == ['a'] }} {{ {'a': 1, 'b': 2}.items() == {'b': 2, 'a': 1}.items() }} {{ {'a': 1}.values() == {'a': 1}.values() }}
{{ (5).real }} {{ 5.5.real }} {{ true.real }} {{ (5).imag }} {{ 5.5.imag }} {{ (5).numerator }} {{ (7).denominator }} {{ 5.5.numerator }} {{ {'real': 3}.real }} {{ 'a'.real }} {{ (5)['real'] }} {{ {'real': 3} | attr('real') }} {{ 5 | attr('real') }} {{ {'a': 1} | attr('items') is callable }}
{{ range(3) + [1] }}
{{ range(3) * 2 }}
{{ {'a': 1}.keys() + ['b'] }}
{{ {'a': 1}.items()[0] }}
{{ {'a': 1}.keys()[0:1] }}
{{ 1.0 // 0.1 }} {{ 1.0 % 0.1 }} {{ -1.0 // 0.3 }} {{ -1.0 % 0.3 }} {{ 1.0 % -0.3 }} {{ 6.0 // 2 }} {{ -6.0 % 2 }} {{ 5.5 // -2 }}
{{ 0 ** -1 }}
{{ 10.0 ** 400 }}
{{ 007 }}
{{ 1__0 }}
{{ 1_ }}
{{ 1_000 }} {{ 00 }} {{ 0x_1f }}
{{ '\N{DASH}' }}
{{ 5.0 // 2 }} {{ 5 % -3 }} {{ -5 // 3 }} {{ 5.5 % 2 }} {{ 2 ** 0.5 }} {{ 10 / 4 }} {{ 7 // 2.0 }} {{ -0.0 }} {{ 1.0e3 }} {{ 100000000000000000000 }} {{ 2 ** 100 }} {{ 0.1 + 0.2 }} {{ 1e-10 }} {{ 123456789.123 }} {{ 1 / 3 }}
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
    built_in = BUILT_IN.strip("\n").split("\n")
    templates += [("built in", template, TALKS[2]) for template in built_in]
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
