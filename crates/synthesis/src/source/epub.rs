//! EPUB 2 and 3: the chapters of the spine, as headings and paragraphs.

use super::{SourceError, markup, markup::Token, prose::Chapter};
use std::{
    collections::HashMap,
    io::{Cursor, Read},
};
use zip::ZipArchive;

/// A file inside the archive that unpacks to more is refused.
const LARGEST: u64 = 64 << 20;
const BLOCKS: [&str; 12] = ["p", "div", "br", "li", "blockquote", "tr", "section", "article", "dd", "dt", "hr", "pre"];
const HEADINGS: [&str; 4] = ["h1", "h2", "h3", "h4"];

/// Reads the chapters in reading order.
pub fn chapters(bytes: &[u8]) -> Result<Vec<Chapter>, SourceError> {
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(|error| refused(&error.to_string()))?;
    let container = file(&mut archive, "META-INF/container.xml")?;
    let package = attributes(&container, "rootfile", "full-path").into_iter().next();
    let package = package.ok_or_else(|| refused("META-INF/container.xml names no package"))?;
    let opf = file(&mut archive, &package)?;
    let folder = package.rsplit_once('/').map(|(folder, _)| format!("{folder}/")).unwrap_or_default();
    let mut manifest = HashMap::new();
    for token in markup::tokens(&opf) {
        if let Token::Tag(tag) = token
            && markup::name(tag) == "item"
            && let (Some(id), Some(href)) = (markup::attribute(tag, "id"), markup::attribute(tag, "href"))
        {
            manifest.insert(id, href);
        }
    }
    let mut chapters = Vec::new();
    for id in attributes(&opf, "itemref", "idref") {
        let Some(href) = manifest.get(&id) else { continue };
        let path = normal(&format!("{folder}{}", percent_decoded(href)));
        read_chapters(&file(&mut archive, &path)?, &mut chapters);
    }
    Ok(chapters)
}

fn attributes(markup: &str, tag_name: &str, attribute: &str) -> Vec<String> {
    let tags = markup::tokens(markup).into_iter().filter_map(|token| match token {
        Token::Tag(tag) if markup::name(tag) == tag_name => markup::attribute(tag, attribute),
        _ => None,
    });
    tags.collect()
}

fn read_chapters(xhtml: &str, chapters: &mut Vec<Chapter>) {
    let body = xhtml.find("<body").map_or(xhtml, |at| &xhtml[at..]);
    let mut chapter: Chapter = Default::default();
    let mut text = String::new();
    for token in markup::tokens(body) {
        match token {
            Token::Text(part) => text.push_str(&markup::unescaped(part)),
            Token::Tag(tag) => {
                let name = markup::name(tag);
                let bare = name.trim_start_matches('/');
                if name.starts_with('/') && HEADINGS.contains(&bare) {
                    chapters.push(std::mem::take(&mut chapter));
                    chapter.0 = words(&text);
                    text.clear();
                } else if BLOCKS.contains(&bare) || HEADINGS.contains(&bare) {
                    chapter.1.push(words(&text));
                    text.clear();
                }
            }
        }
    }
    chapter.1.push(words(&text));
    chapters.push(chapter);
    for (_, paragraphs) in chapters.iter_mut() {
        paragraphs.retain(|paragraph| !paragraph.is_empty());
    }
    chapters.retain(|(_, paragraphs)| !paragraphs.is_empty());
}

fn words(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn file(archive: &mut ZipArchive<Cursor<&[u8]>>, path: &str) -> Result<String, SourceError> {
    let entry = archive.by_name(path).map_err(|error| refused(&format!("{path}: {error}")))?;
    let mut bytes = Vec::new();
    let read = entry.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| refused(&format!("{path}: {error}")))?;
    if read as u64 > LARGEST {
        return Err(refused(&format!("{path} unpacks to more than {LARGEST} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| refused(&format!("{path} is not UTF-8")))
}

/// A path without `.` and `..`.
fn normal(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    parts.join("/")
}

fn percent_decoded(href: &str) -> String {
    let href = href.split('#').next().unwrap_or(href);
    let mut bytes = Vec::new();
    let mut rest = href.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        let code = after
            .get(..2)
            .and_then(|two| std::str::from_utf8(two).ok())
            .and_then(|two| u8::from_str_radix(two, 16).ok());
        match (first, code) {
            (b'%', Some(code)) => {
                bytes.push(code);
                rest = &after[2..];
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn refused(reason: &str) -> SourceError {
    SourceError::Epub { reason: reason.to_string() }
}
