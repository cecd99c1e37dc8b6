//! Long conversations, whose templates work much, and templates that would take them for an excuse.

use super::tests::chatted;

/// Templates that look at each character, at all messages for each one, or at all that they wrote.
#[test]
fn long_chats_render() {
    let characters = "{% for m in messages %}{% for c in m.content %}{% if c['type'] == 'image' %}i\
                      {% elif c.type == 'text' %}t{% endif %}{% endfor %}{% for c in m.content %}\
                      {% if c['type'] == 'image' %}i{% endif %}{% endfor %}{{ m.content }}{% endfor %}";
    let earlier = "{% for m in messages %}{% set before = namespace(role=none, found=false) %}\
                   {% for j in range(loop.index0 - 1, -1, -1) %}{% if not before.found %}\
                   {% if messages[j]['role'] != 'tool' %}{% set before.role = messages[j]['role'] %}\
                   {% set before.found = true %}{% endif %}{% endif %}{% endfor %}\
                   {{ 1 if before.role == 'assistant' else 0 }}{% endfor %}";
    let grown = "{% set ns = namespace(out='') %}{% for m in messages %}\
                 {% set ns.out = ns.out ~ m.role ~ ': ' %}{% set ns.out = ns.out + m.content + '\\n' %}\
                 {% endfor %}{{ ns.out }}";
    for (count, content) in [(1000, "word ".repeat(40)), (5000, "word ".repeat(40))] {
        let all: usize = count * content.len();
        assert_eq!(chatted(characters, count, &content).unwrap(), content.repeat(count));
        assert_eq!(
            chatted(earlier, count, &content).unwrap(),
            "00".to_owned() + &"10".repeat(count / 2 - 1)
        );
        let text = chatted(grown, count, &content).unwrap();
        assert!(text.starts_with("user: word word ") && text.ends_with(" word \n"));
        assert_eq!(text.len(), all + count / 2 * "user: assistant: \n\n".len());
    }
}

/// A longer conversation allows more steps, but hardly more memory.
#[test]
fn a_long_chat_lets_no_template_harm() {
    let content = "word ".repeat(40);
    for source in [
        "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}",
        "{% for i in range(50) %}{{ 'a' * 1000000 }}{% endfor %}",
        "{% set a %}{% for i in range(99999) %}{{ 'a' * 999 }}{% endfor %}{% endset %}",
        "{% set ns = namespace(x=[1]) %}{% for i in range(60) %}{% set ns.x = ns.x + ns.x %}{% endfor %}",
        "{% set ns = namespace(x='a' * 999999) %}{% for i in range(9999) %}{% set ns.x = ns.x ~ 'b' %}\
         {% set y = ns.x %}{% endfor %}",
    ] {
        let found = chatted(source, 1000, &content).unwrap_err();
        assert_eq!(found, "it takes more than 44 MB of memory and output, or 8 million steps");
    }
}
