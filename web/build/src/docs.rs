//! Markdown to HTML, with its formulas as `MathML` and its links to sources within the folder.

use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use pulldown_cmark::{CowStr, Event, Options, Parser, Tag, TagEnd, html};
use pulldown_latex::{Parser as Formula, RenderConfig, Storage, config::DisplayMode, push_mathml};

use crate::{at, write};

/// Renders a page of `docs/` into a fragment next to the app's page, and copies the sources that it
/// links to.
pub(crate) fn render(page: &Path, root: &Path, folder: &Path) -> Result<(), String> {
    let text = fs::read_to_string(page).map_err(at(page))?;
    let (html, sources) = html(&text)?;
    let name = page.file_stem().unwrap_or_default().to_string_lossy();
    write(&folder.join(format!("{name}.html")), &html)?;
    write(&folder.join(format!("{name}.md")), &text)?;
    for source in sources {
        let path = root.join(&source);
        let text = fs::read_to_string(&path).map_err(at(&path))?;
        // Every server sends this kind of file as text.
        write(&folder.join("source").join(format!("{source}.txt")), &text)?;
    }
    Ok(())
}

/// The HTML, and the files of the repository that it links to.
fn html(text: &str) -> Result<(String, BTreeSet<String>), String> {
    let options = Options::ENABLE_TABLES | Options::ENABLE_MATH;
    let mut events: Vec<Event<'_>> = Parser::new_ext(text, options).collect();
    let (mut sources, mut names) = (BTreeSet::new(), HashMap::new());
    for index in 0..events.len() {
        match &events[index] {
            Event::Start(Tag::Heading { level, classes, attrs, .. }) => {
                let id = unique(slug(&heading(&events[index + 1..])), &mut names);
                let (level, classes, attrs) = (*level, classes.clone(), attrs.clone());
                events[index] =
                    Event::Start(Tag::Heading { level, id: Some(id.into()), classes, attrs });
            }
            Event::Start(Tag::Link { link_type, dest_url, title, id }) => {
                let dest_url = match linked(dest_url) {
                    Some(source) => {
                        let url = format!("source/{source}.txt");
                        sources.insert(source);
                        CowStr::from(url)
                    }
                    None => dest_url.clone(),
                };
                let (link_type, title, id) = (*link_type, title.clone(), id.clone());
                events[index] = Event::Start(Tag::Link { link_type, dest_url, title, id });
            }
            Event::InlineMath(formula) => {
                events[index] = Event::InlineHtml(math(formula, DisplayMode::Inline)?.into());
            }
            Event::DisplayMath(formula) => {
                let math = math(formula, DisplayMode::Block)?;
                let html = format!("<div class=\"formula\" tabindex=\"0\">{math}</div>");
                events[index] = Event::InlineHtml(html.into());
            }
            _ => {}
        }
    }
    let mut out = String::new();
    html::push_html(&mut out, events.into_iter());
    // Wide ones scroll by themselves, also by keyboard.
    let out = out.replace("<table>", "<div class=\"wide\" tabindex=\"0\"><table>");
    let out = out.replace("</table>", "</table></div>").replace("<pre>", "<pre tabindex=\"0\">");
    Ok((out, sources))
}

/// The file of the repository that a link names; `None` for fragments of the same page.
fn linked(url: &str) -> Option<String> {
    if url.starts_with('#') || url.contains("://") {
        return None;
    }
    let path = url.split('#').next().unwrap_or_default();
    Some(path.strip_prefix("../").map_or_else(|| format!("docs/{path}"), str::to_owned))
}

/// The text of a heading, from the events after its start.
fn heading(events: &[Event<'_>]) -> String {
    let own = events.iter().take_while(|event| !matches!(event, Event::End(TagEnd::Heading(_))));
    let word = |event: &Event<'_>| match event {
        Event::Text(text) | Event::Code(text) => text.to_string(),
        _ => String::new(),
    };
    own.map(word).collect()
}

/// The fragment of a heading, as code hosts generate it.
fn slug(heading: &str) -> String {
    let kept = heading.to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// Of equal names, all but the first get numbers.
fn unique(name: String, names: &mut HashMap<String, u32>) -> String {
    let count = names.entry(name.clone()).and_modify(|count| *count += 1).or_insert(0);
    if *count == 0 { name } else { format!("{name}-{count}") }
}

/// A formula in `MathML`.
fn math(formula: &str, display_mode: DisplayMode) -> Result<String, String> {
    let storage = Storage::new();
    let events: Result<Vec<_>, _> = Formula::new(formula, &storage).collect();
    let events = events.map_err(|error| format!("the formula {formula}: {error}"))?;
    let config = RenderConfig { display_mode, ..RenderConfig::default() };
    let mut out = String::new();
    let events = events.into_iter().map(Ok::<_, std::convert::Infallible>);
    push_mathml(&mut out, events, config).map_err(|error| format!("{formula}: {error}"))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_links_and_formulas() {
        let text =
            "## The key/value cache\n\n[`k`](../shaders/k.wgsl) $x^2$ [c](#the-keyvalue-cache)\n";
        let (html, sources) = html(text).unwrap();
        assert!(html.contains("<h2 id=\"the-keyvalue-cache\">"), "{html}");
        assert!(html.contains("href=\"source/shaders/k.wgsl.txt\""), "{html}");
        assert!(html.contains("href=\"#the-keyvalue-cache\"") && html.contains("<math"), "{html}");
        assert_eq!(sources.into_iter().collect::<Vec<_>>(), ["shaders/k.wgsl"]);
    }

    /// What cannot be rendered is an error, and every link has a target.
    #[test]
    fn the_function_can_be_rendered() {
        let folder = std::env::temp_dir().join(format!("pellucid-docs-{}", std::process::id()));
        let root = crate::root();
        render(&root.join("docs/the-function.md"), &root, &folder).unwrap();
        let html = fs::read_to_string(folder.join("the-function.html")).unwrap();
        for part in html.split("href=\"#").skip(1) {
            let id = part.split('"').next().unwrap();
            assert!(html.contains(&format!("id=\"{id}\"")), "nothing has the id {id}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
