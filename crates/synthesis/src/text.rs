//! Small facts about texts in English and Chinese.

use roles::Language;

/// Is it a Han character?
pub fn is_han(letter: char) -> bool {
    matches!(letter, '\u{3400}'..='\u{4dbf}' | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{20000}'..='\u{323af}')
}

/// Chinese where more than a third of the letters are Han, else English.
pub fn language_of(text: &str) -> Language {
    let (mut letters, mut han) = (0, 0);
    for letter in text.chars().filter(|letter| letter.is_alphabetic()) {
        letters += 1;
        han += usize::from(is_han(letter));
    }
    if han * 3 > letters { Language::Zh } else { Language::En }
}

/// The folder's name of a language, as RoleBench writes it.
pub fn suffix(language: Language) -> &'static str {
    match language {
        Language::En => "eng",
        Language::Zh => "zh",
    }
}

/// What is compared in searches and near-duplicates: lower-case words, and each Han character by itself.
pub fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for letter in text.chars() {
        if letter.is_alphanumeric() && !is_han(letter) {
            word.extend(letter.to_lowercase());
            continue;
        }
        if !word.is_empty() {
            tokens.push(std::mem::take(&mut word));
        }
        if is_han(letter) {
            tokens.push(letter.to_string());
        }
    }
    if !word.is_empty() {
        tokens.push(word);
    }
    tokens
}

/// Ends of sentences in both languages.
pub fn is_sentence_end(letter: char) -> bool {
    matches!(letter, '.' | '!' | '?' | '…' | '。' | '！' | '？')
}

/// What follows `keyword` and a colon of either width, whatever the keyword's case.
pub fn after_label<'a>(line: &'a str, keyword: &str) -> Option<&'a str> {
    let rest = line
        .get(..keyword.len())
        .filter(|start| start.eq_ignore_ascii_case(keyword))
        .map(|_| &line[keyword.len()..])?;
    let rest = rest.trim_start();
    rest.strip_prefix(':').or_else(|| rest.strip_prefix('：')).map(str::trim)
}
