//! Just enough of HTML and XML to get at text and attributes; whatever is malformed is text.

/// A tag or a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// What stands between `<` and `>`.
    Tag(&'a str),
    /// What stands between tags.
    Text(&'a str),
}

/// Cuts markup into tags and texts; comments, scripts and styles are left out.
pub fn tokens(markup: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = markup;
    while let Some(start) = rest.find('<') {
        if start > 0 {
            tokens.push(Token::Text(&rest[..start]));
        }
        rest = &rest[start..];
        let skipped = [("<!--", "-->"), ("<script", "</script>"), ("<style", "</style>")]
            .into_iter()
            .find(|(open, _)| rest.get(..open.len()).is_some_and(|start| start.eq_ignore_ascii_case(open)));
        let end = match skipped {
            Some((_, close)) => rest.find(close).map(|end| end + close.len()),
            None => rest.find('>').map(|end| end + 1),
        };
        let Some(end) = end else { return tokens };
        if skipped.is_none() {
            tokens.push(Token::Tag(&rest[1..end - 1]));
        }
        rest = &rest[end..];
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest));
    }
    tokens
}

/// A tag's name, in lower case, with `/` before it where it closes; without a namespace.
pub fn name(tag: &str) -> String {
    let word = tag.split(|letter: char| letter.is_whitespace()).next().unwrap_or_default().trim_end_matches('/');
    let word = word.to_lowercase();
    match word.strip_prefix('/') {
        Some(closing) => format!("/{}", closing.rsplit(':').next().unwrap_or_default()),
        None => word.rsplit(':').next().unwrap_or_default().to_string(),
    }
}

/// The value of an attribute.
pub fn attribute(tag: &str, wanted: &str) -> Option<String> {
    let at = tag.match_indices(wanted).find(|(at, _)| {
        let before = tag[..*at].chars().last();
        before.is_some_and(char::is_whitespace) && tag[at + wanted.len()..].trim_start().starts_with('=')
    })?;
    let value = tag[at.0 + wanted.len()..].trim_start().strip_prefix('=')?.trim_start();
    let quote = value.chars().next().filter(|quote| matches!(quote, '"' | '\''))?;
    Some(unescaped(value[1..].split(quote).next()?))
}

/// Text without tags.
pub fn plain(markup: &str) -> String {
    let texts = tokens(markup).into_iter().filter_map(|token| match token {
        Token::Text(text) => Some(unescaped(text)),
        Token::Tag(_) => None,
    });
    texts.collect()
}

/// Text with its entities replaced; unknown ones stay.
pub fn unescaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('&') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let entity = rest.find(';').filter(|&end| end <= 10).map(|end| &rest[1..end]);
        match entity.and_then(|entity| Some((entity, meant(entity)?))) {
            Some((entity, letter)) => {
                out.push(letter);
                rest = &rest[entity.len() + 2..];
            }
            None => {
                out.push('&');
                rest = &rest[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

fn meant(entity: &str) -> Option<char> {
    if let Some(number) = entity.strip_prefix('#') {
        let code = match number.strip_prefix(['x', 'X']) {
            Some(hex) => u32::from_str_radix(hex, 16).ok()?,
            None => number.parse().ok()?,
        };
        return char::from_u32(code);
    }
    Some(match entity {
        "amp" => '&',
        "lt" => '<',
        "gt" => '>',
        "quot" => '"',
        "apos" => '\'',
        "nbsp" => ' ',
        "ldquo" => '“',
        "rdquo" => '”',
        "lsquo" => '‘',
        "rsquo" => '’',
        "mdash" => '—',
        "ndash" => '–',
        "hellip" => '…',
        _ => return None,
    })
}
