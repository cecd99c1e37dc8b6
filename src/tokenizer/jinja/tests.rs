//! Templates that would harm the program that runs them, and the bounds that they meet.

use std::time::{Duration, Instant};

use minijinja::value::{Serde, Value};

use super::{Conversation, render};

/// Renders a template for one message.
fn rendered(source: &str) -> Result<String, String> {
    chatted(source, 1, "hi")
}

/// Renders a template for so many messages, of the user and the model in turn.
pub(super) fn chatted(source: &str, count: usize, content: &str) -> Result<String, String> {
    let message = |at: usize| {
        let role = ["user", "assistant"][at % 2];
        serde_json::json!({"role": role, "content": content})
    };
    let messages: serde_json::Value = (0..count).map(message).collect();
    let conversation = Conversation {
        messages: Value::from(Serde(messages)),
        bytes: count * content.len(),
        bos: "<s>",
        eos: "</s>",
        arguments: Vec::new(),
        aliases: None,
        asks: true,
    };
    render(source, conversation)
}

/// The sentence with which a template is refused, at once.
fn refusal(source: &str) -> String {
    let start = Instant::now();
    let found = rendered(source);
    let took = start.elapsed();
    let shown: String = source.chars().take(200).collect();
    assert!(took < Duration::from_secs(5), "{took:?}: {shown}");
    found.map(|text| text.len()).expect_err(&shown)
}

const TOO_MUCH: &str = "it takes more than 32 MB of memory and output, or that many steps";
const HOLDS: &str = "a namespace, a macro or a loop inside of another value";

#[test]
fn no_value_can_hold_itself() {
    for source in [
        "{% set ns = namespace(x=1) %}{% set ns.x = ns %}{{ ns }}",
        "{% set ns = namespace(x=1) %}{% set ns.x = [ns] %}{{ ns }}",
        "{% set ns = namespace(x=1) %}{% set ns.x = {'a': (1, ns)} %}{{ ns }}",
        "{% set a = namespace() %}{% set b = namespace() %}{% set a.b = b %}{% set b.a = a %}{{ a }}",
        "{% set a = namespace() %}{% set b = namespace(a=a) %}{% set a.b = b %}{{ a == b }}",
        "{% set a = namespace() %}{% set b = namespace({'a': a}) %}{{ b }}",
        "{% set a = namespace() %}{% set x, a.x = 1, a %}{{ a }}",
        "{% set a = namespace() %}{% set x = [a] %}{% set a.x = x %}{{ a }}",
        "{% set a = namespace() %}{% for x in [1] %}{% set a.x = loop %}{% endfor %}{{ a }}",
        "{% set a = namespace() %}{% macro f() %}{% endmacro %}{% set a.x = f %}{{ a }}",
        "{% set a = namespace() %}{% set a.x = a.items %}{{ a }}{% set a.x = {}.get %}{{ a }}",
        "{% for x in [1, 2] %}{{ loop.changed(loop) }}{% endfor %}",
    ] {
        let found = refusal(source);
        assert!(found.contains(HOLDS), "{source}: {found}");
    }
    let found = rendered("{% set a = namespace(x=[1]) %}{% set b = a %}{% set b.x = 2 %}{{ a.x }}");
    assert_eq!(found.unwrap(), "2");
}

#[test]
fn no_value_nests_deeper_than_is_safe_to_walk() {
    let loops = |step: &str| {
        format!(
            "{{% set ns = namespace(x=[1]) %}}{{% for i in range(99999) %}}{step}{{% endfor %}}"
        )
    };
    for (source, part) in [
        (loops("{% set ns.x = [ns.x] %}") + "{{ ns.x }}", "a value nested deeper than 64"),
        (loops("{% set ns.x = {'a': ns.x} %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = (ns.x,) %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = ns.x | batch(1) %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = [ns.x] | list | reverse %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = dict(a=ns.x) %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = [ns.x] | map('default') %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = [[ns.x]] | select %}"), "a value nested deeper than 64"),
        (loops("{% set ns.x = [[[[[[[[ns.x]]]]]]]] %}"), "a value nested deeper than 64"),
        ("{% set x = [1] %}".to_owned() + &"{% set x = [x] %}".repeat(9999), "deeper than 64"),
        (
            "{% macro f(x, n) %}{{ f([x], n - 1) if n > 0 else x }}{% endmacro %}{{ f([], 999) }}"
                .to_owned(),
            "recursion limit",
        ),
        (
            "{% macro f(x, n) %}{{ f([[[[[[[[[[x]]]]]]]]]], n - 1) }}{% endmacro %}{{ f([], 9) }}"
                .to_owned(),
            "a value nested deeper than 64",
        ),
        (
            "{% for x in [1] recursive %}{{ loop([[[[[[x]]]]]]) }}{% endfor %}".to_owned(),
            "a value nested deeper than 64",
        ),
        (
            "{% macro f(x) %}{{ caller([[[[[[[[x]]]]]]]]) }}{% endmacro %}\
             {% macro g(x, n) %}{% call(y) f(x) %}{{ g(y, n - 1) if n > 0 }}{% endcall %}\
             {% endmacro %}{{ g([], 20) }}"
                .to_owned(),
            "deep",
        ),
    ] {
        let found = refusal(&source);
        let fits = found.contains(part) || found.contains("recursion limit");
        assert!(fits, "{}: {found}", &source[..source.len().min(100)]);
    }
}

#[test]
fn memory_and_output_are_bounded() {
    for source in [
        "{% for i in range(50) %}{{ 'a' * 1000000 }}{% endfor %}",
        "{{ 'a' * 1000000000 }}",
        "{{ 'a' * 9999999999999999999 }}",
        "{{ [1] * 1000000000 }}",
        "{{ (1,) * 1000000000 }}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = [ns.x, ns.x] %}{% endfor %}\
         {{ ns.x }}",
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set a = 'a' * 9999999 %}{{ a.replace('a', a) }}",
        "{% set a = 'a' * 9999999 %}{{ a | replace('a', a) }}",
        "{% set a = 'a' * 9999999 %}{{ a.replace('', a) }}",
        "{% set a = 'a' * 999999 %}{{ a.join([a, a] * 99) }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) | join(a) }}",
        "{% set a = 'a' * 999999 %}{{ [a] * 9999 }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) ~ '' }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) | string | length }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) | tojson | length }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) | pprint | length }}",
        "{% set a = 'a' * 999999 %}{{ '%s' % [[a] * 9999] }}",
        "{% set a = 'a' * 999999 %}{{ ('{0}' * 99).format(a) }}",
        "{% set a = 'a' * 999999 %}{{ ([a] * 9999) == ([a ~ 'b'] * 9999) or ([[a]] * 999) == ([[a]] * 999) }}",
        "{% set a = ['a'] * 99999 %}{% for i in a %}{% if a == a + [] %}{% endif %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% set b = a ~ '' %}{% for i in range(99999) %}{% if a == b %}{% endif %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% set d = {} %}{% for i in range(99999) %}{% if d[a] %}{% endif %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% for i in range(99999) %}{% set d = {a: 1} %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% for i in range(99999) %}{% if 'b' in a %}{% endif %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{{ ([a, a ~ 'b'] * 999) | sort | length }}",
        "{% set a = 'a' * 999999 %}{{ ([a, a ~ 'b'] * 999) | unique | list | length }}",
        "{% set a = 'a' * 999999 %}{{ ([a, a ~ 'b'] * 999) | sum(start='') | length }}",
        "{% set a = ('a,' * 9999999) %}{{ a.split(',') | length }}",
        "{% set a = 'a ' * 9999999 %}{{ a.split() | length }}",
        "{% set a = 'a\\n' * 9999999 %}{{ a.splitlines() | length }}",
        "{% set a = 'a' * 19999999 %}{{ a | list | length }}",
        "{% set a = '<' * 9999999 %}{{ a | e | length }}",
        "{% set a = '\\x01' * 9999999 %}{{ [a] | string | length }}",
        "{{ 'a'.ljust(999999999999) }}{{ 'a'.center(999999999999) }}",
        "{{ 'a'.zfill(999999999999) }}",
        "{{ 'a\\n' | indent(999999999999) }}",
        "{{ [1] | batch(999999999999, 'x') | list }}",
        "{{ [1] | slice(999999999999) | list }}",
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% macro f() %}{% for i in range(99999) %}aaaaaaaaaaaaaaaaaaaa{% endfor %}{% endmacro %}\
         {% set a = f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() ~ f() %}",
        "{% set a %}{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}{% endset %}",
        "{% filter upper %}{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}{% endfilter %}",
        "{{ strftime_now('%A' * 9999999) }}",
        "{{ ('ab ' * 300000) | sum('ab ' * 300000) }}",
        "{% set a = 'ab.' * 300000 %}{{ range(99999) | map(attribute=a) | list | length }}",
        "{% set a = 'ab.' * 300000 %}{{ ([{}] * 99999) | selectattr(a) | list | length }}",
        "{% set a = 'ab.' * 300000 %}{{ ([{}] * 99999) | groupby(a) | length }}",
        "{% set a = 'ab.' * 300000 %}{{ ([{}] * 99999) | sort(attribute=a) | length }}",
        "{% set a = 'ab.' * 300000 %}{% for i in range(99999) %}{% set b = {} | attr(a) %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% for i in range(99999) %}{% for c in a %}{% break %}{% endfor %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{% for i in range(99999) %}{% if a is lower %}{% endif %}{% endfor %}",
        "{% set a = 'a' * 999999 %}{{ 'b'.startswith((a,) * 99999) }}",
        "{% set a = 'a' * 999999 %}{% for i in range(99999) %}{% set b = a | truncate(9) %}{% endfor %}",
        "{% set a = 'a ' * 99999 %}{% for i in range(99999) %}{% set b = a | wordwrap(9) %}{% endfor %}",
        "{% set a = 'a ' * 99999 %}{% for i in range(99999) %}{% set b = a | wordcount %}{% endfor %}",
        "{{ ('a\n' * 9999) | indent('b' * 9999) }}{{ 'a' | indent(999999999999, true) }}",
        "{{ '\t'.expandtabs(999999999999) }}",
        "{{ ('\t' * 99999).expandtabs(9999) }}",
        "{% set a = '<b>' * 99999 %}{% for i in range(99999) %}{% set b = a | striptags %}{% endfor %}",
        "{% set a = '/' * 99999 %}{% for i in range(99999) %}{% set b = a | urlencode %}{% endfor %}",
        "{% set a = {'a': 'a' * 99999} %}{% for i in range(99999) %}{% set b = a | xmlattr %}{% endfor %}",
        "{{ (range(99999) | list) * 99999 }}{{ 'a' | center(999999999999) }}",
        "{% set a = range(99999) | list %}{% for i in a %}{% set b = a | sort(reverse=true) %}{% endfor %}",
        "{% set a = range(99999) | map('string') %}{% for i in range(999) %}{% set b = a | list %}\
         {% set a = range(99999) | map('string') %}{% endfor %}",
        "{% set ns = namespace(x='a' * 999999) %}{% for i in range(9999) %}{% set ns.x = ns.x ~ 'b' %}\
         {% set y = ns.x %}{% endfor %}",
        "{% set ns = namespace(x='') %}{% for i in range(99999) %}{% set ns.x = ns.x ~ 'a' * 9999 %}\
         {% endfor %}",
        "{% set ns = namespace(x='a') %}{% for i in range(99) %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% set n = namespace() %}{% set a = [n] %}{% for i in range(60) %}{% set a = [a, a] %}\
         {% set n.x = 1 %}{{ a }}{% endfor %}{% for i in range(99999) %}{% for j in range(999) %}{% endfor %}{% endfor %}",
    ] {
        let found = refusal(source);
        assert!(found.contains(TOO_MUCH), "{source}: {found}");
    }
}

#[test]
fn what_asks_for_huge_widths_is_refused_by_name() {
    for (source, part) in [
        ("{{ '%999999999d' % 1 }}", "a format with the number 999999999"),
        ("{{ '%.999999999f' % 1 }}", "a format with the number 999999999"),
        ("{{ '%*d' % (999999999, 1) }}", "a format whose width is an argument"),
        ("{{ '{:999999999}'.format(1) }}", "a format with the number 999999999"),
        ("{{ '{:{}}'.format(1, 999999999) }}", "a format whose width is an argument"),
        ("{{ '%999999999d' | format(1) }}", "a format with the number 999999999"),
        ("{{ [1] | tojson(indent=999999999) }}", "tojson: an indent of more than 64"),
        ("{{ [1] | tojson(indent='x' * 65) }}", "tojson: an indent of more than 64"),
        ("{{ range(999999999) }}", "a range of more than 100000"),
        ("{{ '%(a' * 99999 % 1 }}", "a format with an open bracket"),
        ("{{ 2 ** 999999999 }}", "** gives a number too large"),
        ("{% for x in [1] %}{{ loop.cycle() }}{% endfor %}", "loop.cycle without arguments"),
    ] {
        let found = refusal(source);
        assert!(found.contains(part), "{source}: {found}");
    }
}

#[test]
fn sources_are_bounded_where_they_are_read() {
    let many = |before: &str, part: &str, count: usize, after: &str| {
        format!("{before}{}{after}", part.repeat(count))
    };
    for (source, part) in [
        (many("{{ ", "(", 5000, "1") + &")".repeat(5000) + " }}", "nested deeper than 40"),
        (many("{{ ", "[", 5000, "1") + &"]".repeat(5000) + " }}", "nested deeper than 40"),
        (many("{{ ", "{'a': ", 5000, "1") + &"}".repeat(5000) + " }}", "nested deeper than 40"),
        (many("{{ ", "not ", 5000, "1 }}"), "nested deeper than 40"),
        (many("{{ ", "- ", 5000, "1 }}"), "nested deeper than 40"),
        (many("{{ x", ".a", 5000, " }}"), "nested deeper than 40"),
        (many("{{ x", "[0]", 5000, " }}"), "nested deeper than 40"),
        (many("{{ x", "()", 5000, " }}"), "nested deeper than 40"),
        (many("{{ x", "|list", 5000, " }}"), "nested deeper than 40"),
        (many("{{ x", "|batch(1)", 5000, " }}"), "nested deeper than 40"),
        (many("{{ x", " is defined", 5000, " }}"), "nested deeper than 40"),
        (many("{{ 1", " if 1 else 1", 5000, " }}"), "nested deeper than 40"),
        (many("{{ 1", " if 1", 5000, " }}"), "nested deeper than 40"),
        (many("{{ ", "f(", 5000, "1") + &")".repeat(5000) + " }}", "nested deeper than 40"),
        (many("", "{% if 1 %}", 5000, ""), "blocks nested deeper than 32"),
        (many("", "{% for x in y %}", 5000, ""), "blocks nested deeper than 32"),
        (many("{% if 1 %}", "{% elif 1 %}", 5000, "{% endif %}"), "more than 128 branches"),
        (many("{% for ", "(", 5000, "x") + &")".repeat(5000) + " in y %}", "nested deeper than 40"),
        (many("{% filter a", "|a", 5000, " %}{% endfilter %}"), "more than 32 filters in a row"),
        ("a".repeat(300_000), "it has 300000 bytes; at most 262144 are read"),
        (many("{{ ", "a", 300, " }}"), "a name of more than 256 bytes"),
        ("{{ __kept(1) }}".to_owned(), "the name `__kept`: none may begin with `__`"),
        ("{{ ''.__class__ }}".to_owned(), "the name `__class__`: none may begin with `__`"),
    ] {
        let found = refusal(&source);
        assert!(found.contains(part), "{}: {found}", &source[..source.len().min(60)]);
    }
}

#[test]
fn long_chains_are_no_depth() {
    let sum = format!("{{{{ 0{} }}}}", " + 1".repeat(1500));
    assert_eq!(rendered(&sum).unwrap(), "1500");
    let text = format!("{{{{ ''{} }}}}", " ~ 'a'".repeat(1500));
    assert_eq!(rendered(&text).unwrap(), "a".repeat(1500));
    let or = format!("{{{{ 0{} or 7 }}}}", " or 0".repeat(1500));
    assert_eq!(rendered(&or).unwrap(), "7");
    let list = format!("{{{{ [{}] | length }}}}", "1,".repeat(9999));
    assert_eq!(rendered(&list).unwrap(), "9999");
}

/// What runs in a thread with the stack that a browser gives.
#[test]
fn the_deepest_templates_fit_a_small_stack() {
    let nested = |open: &str, close: &str, count: usize| {
        format!("{}1{}", open.repeat(count), close.repeat(count))
    };
    let blocks = |expression: &str| {
        format!("{}{{{{ {expression} }}}}{}", "{% if 1 %}".repeat(31), "{% endif %}".repeat(31))
    };
    let deep = blocks(&nested("[", "]", 37));
    let recursive = "{% macro f(n) %}{{ f(n - 1) if n > 0 else 'end' }}{% endmacro %}{{ f(30) }}";
    let value = "{% set ns = namespace(x=[]) %}{% for i in range(62) %}{% set ns.x = [ns.x] %}\
                 {% endfor %}{{ ns.x == ns.x + [] }}{{ ns.x | tojson | length }}{{ ns.x | length }}";
    // A list in which a namespace is, which is as deep.
    let both =
        "{% set n = namespace(x=[]) %}{% for i in range(62) %}{% set n.x = [n.x] %}{% endfor %}\
                {% set l = n %}"
            .to_owned()
            + &"{% set l = [l] %}".repeat(62)
            + "{{ l | string | length }}{{ l == l + [] }}";
    let branches = format!("{{% if 0 %}}{}x{{% endif %}}", "{% elif 1 %}".repeat(128));
    let sources = [
        (deep, "[".repeat(37) + "1" + &"]".repeat(37)),
        (recursive.to_owned(), "end".to_owned()),
        (value.to_owned(), "True1261".to_owned()),
        (both, "269True".to_owned()),
        (branches, String::new()),
        (blocks(&nested("f(", ")", 37)), "f is unknown".to_owned()),
    ];
    let small = std::thread::Builder::new().stack_size(512 << 10);
    let run = move || {
        for (source, expected) in sources {
            let found = rendered(&source).unwrap_or_else(|reason| reason);
            assert!(found.ends_with(&expected), "{}: {found}", &source[..60]);
        }
    };
    small.spawn(run).unwrap().join().unwrap();
}

#[test]
fn what_could_be_slow_is_not() {
    let start = Instant::now();
    let found = rendered("{{ ('a' * 500000).strip('b' * 500000 ~ 'a') | length }}");
    assert_eq!(found.unwrap(), "0");
    let found = rendered("{{ ('a' * 500000) | trim('b' * 500000 ~ 'a') | length }}");
    assert_eq!(found.unwrap(), "0");
    assert!(start.elapsed() < Duration::from_secs(5));
    let found = refusal("{{ raise_exception('word ' * 999999) }}");
    assert_eq!(found, "word ".repeat(100) + "...");
}

#[test]
fn namespaces_in_lists_are_no_way_to_hold_themselves() {
    let start = "{% set a = namespace(x=1) %}{% set b = namespace(y=2) %}";
    for (rest, expected) in [
        (
            "{% set l = [a, b] %}{% set b.y = 3 %}{{ l[1].y }}{{ l | map(attribute='x') | first }}",
            "31",
        ),
        ("{% set l = [a] + messages %}{{ l | length }}{% for m in l %}{{ m.x }}{% endfor %}", "21"),
        ("{% set l = {'k': [a]} %}{% set a.x = 'new' %}{{ l.k[0].x }}", "new"),
    ] {
        assert_eq!(rendered(&format!("{start}{rest}")).unwrap(), expected, "{rest}");
    }
    for rest in [
        "{% set l = [a] %}{% set b.y = l %}",
        "{% set l = [a] %}{% set a.x = l | map('default') %}",
        "{% set l = [[a], 1] %}{% set b.y = [1, l | batch(1)] %}",
        "{% set l = {'k': b} %}{% set a.x = [l] %}",
        "{% set a.x = a.x ~ 'a' %}{% set a.x, c = [b], 1 %}",
    ] {
        let found = refusal(&format!("{start}{rest}"));
        assert!(found.contains(HOLDS), "{rest}: {found}");
    }
    let found = refusal(
        "{% set n = namespace(x='a') %}{% macro f() %}{% set n.x = 'b' %}{% endmacro %}\
                         {% set n.x = n.x ~ 'c' %}{% set n.x = n.x ~ f() %}",
    );
    assert!(found.contains("x is set to something else while it is made longer"), "{found}");
}

#[test]
fn what_jinja_has_and_a_chat_does_not_need_is_refused_by_name() {
    for (source, part) in [
        ("{{ 'www.a.b' | urlize }}", "the filter urlize is not for chat templates"),
        ("{{ [1, 2] | random }}", "the filter random is not for chat templates"),
        ("{{ ['a' * 99] | pprint }}", "pprint of a value that takes more than a line"),
        ("{{ '&eacute;' | striptags }}", "striptags: the entity \"&eacute;\" is not known here"),
        ("{{ [1] | map('string') }}", "a generator as text: the filter list makes a list of it"),
        ("{{ [5] | map(attribute='real') | list }}", "map by real of a value of type int"),
        ("{{ ['a'] | selectattr('upper') | list }}", "selectattr by upper of a value of type str"),
        ("{{ [{'a': 'b'}] | rejectattr('a.upper') | list }}", "rejectattr by upper of a value"),
        ("{{ cycler(1) }}", "cycler is unknown"),
        ("{{ lipsum() }}", "lipsum is unknown"),
        ("{{ 'a'.encode() }}", "str has no method encode"),
        ("{{ 'a'.encode is defined }}", "str.encode is not for chat templates"),
        ("{{ (5).bit_length }}", "int.bit_length is not for chat templates"),
        ("{{ (-8) ** 0.5 }}", "** of a negative number by a fraction"),
        ("{% set n = namespace(_a=1) %}", "a namespace stores no attribute that begins with _: _a"),
    ] {
        let found = refusal(source);
        assert!(found.contains(part), "{source}: {found}");
    }
}
