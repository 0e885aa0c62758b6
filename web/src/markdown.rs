//! A model's words as views: paragraphs, emphasis, lists, quotes, code, links. No HTML from outside ever becomes elements.

use leptos::prelude::*;
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag};

/// Renders Markdown; what is unfinished, as in a text still being written, is rendered as far as it goes.
pub fn render(text: &str) -> Vec<AnyView> {
    let mut open: Vec<(Tag<'_>, Vec<AnyView>)> = Vec::new();
    let mut done = Vec::new();
    for event in Parser::new_ext(text, Options::ENABLE_STRIKETHROUGH) {
        let view = match event {
            Event::Start(tag) => {
                open.push((tag, Vec::new()));
                continue;
            }
            Event::End(_) => match open.pop() {
                Some((tag, children)) => element(&tag, children),
                None => continue,
            },
            Event::Text(text) | Event::Html(text) | Event::InlineHtml(text) => text.to_string().into_any(),
            Event::Code(code) => view! { <code>{code.to_string()}</code> }.into_any(),
            Event::SoftBreak | Event::HardBreak => view! { <br /> }.into_any(),
            Event::Rule => view! { <hr /> }.into_any(),
            _ => continue,
        };
        open.last_mut().map_or(&mut done, |(_, children)| children).push(view);
    }
    done
}

fn element(tag: &Tag<'_>, children: Vec<AnyView>) -> AnyView {
    match tag {
        Tag::Paragraph | Tag::HtmlBlock => view! { <p>{children}</p> }.into_any(),
        Tag::Heading { .. } => view! { <p class="heading">{children}</p> }.into_any(),
        Tag::BlockQuote(_) => view! { <blockquote>{children}</blockquote> }.into_any(),
        Tag::CodeBlock(kind) => {
            let language = match kind {
                CodeBlockKind::Fenced(language) => language.to_string(),
                CodeBlockKind::Indented => String::new(),
            };
            view! { <pre data-language=language><code>{children}</code></pre> }.into_any()
        }
        Tag::List(Some(start)) => view! { <ol start=start.to_string()>{children}</ol> }.into_any(),
        Tag::List(None) => view! { <ul>{children}</ul> }.into_any(),
        Tag::Item => view! { <li>{children}</li> }.into_any(),
        Tag::Emphasis => view! { <em>{children}</em> }.into_any(),
        Tag::Strong => view! { <strong>{children}</strong> }.into_any(),
        Tag::Strikethrough => view! { <del>{children}</del> }.into_any(),
        Tag::Link { dest_url, .. } if dest_url.starts_with("https://") || dest_url.starts_with("http://") => {
            view! { <a href=dest_url.to_string() target="_blank" rel="noopener noreferrer">{children}</a> }.into_any()
        }
        // Pictures show their description: nothing is fetched because a model says so.
        _ => children.into_any(),
    }
}
