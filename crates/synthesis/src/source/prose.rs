//! Novels: who says what, by the words around quotation marks.
//!
//! Rules, in this order. A quotation belongs to the name beside a verb of saying ("said Alice", "Alice said"; 行者道：“…”); to
//! the narrator after "I said"; after "he said" or no name at all, to the speaker before the last one, as people take turns.

use super::{Beat, Scene};
use crate::text::{is_han, is_sentence_end};

const VERBS: [&str; 44] = [
    "said",
    "says",
    "asked",
    "asks",
    "replied",
    "replies",
    "answered",
    "cried",
    "exclaimed",
    "whispered",
    "shouted",
    "remarked",
    "continued",
    "added",
    "returned",
    "began",
    "observed",
    "murmured",
    "muttered",
    "called",
    "repeated",
    "inquired",
    "enquired",
    "demanded",
    "declared",
    "suggested",
    "thought",
    "interrupted",
    "went",
    "screamed",
    "sighed",
    "growled",
    "laughed",
    "pleaded",
    "roared",
    "sobbed",
    "explained",
    "ejaculated",
    "responded",
    "rejoined",
    "retorted",
    "announced",
    "told",
    "spoke",
];
const HONORIFICS: [&str; 8] = ["Mr.", "Mrs.", "Dr.", "Miss", "Sir", "Lady", "Captain", "Professor"];
const SAYING: &str = "道曰说問问答叫喝笑叹骂喊云吼嚷哭";
/// How a Chinese speaker says it, and where it begins: not part of the name.
const MANNER: &str = "又忙慌即便乃遂亦高大低声冷微怒喜惊急厉连上前拱手躬身回头暗自心中里着地的那这却只一";
const LONGEST_NAME: usize = 4;

/// A chapter: its heading and its paragraphs.
pub type Chapter = (String, Vec<String>);

/// Cuts a text into chapters at headings, and into paragraphs: at blank lines, or at every line where there are none.
pub fn chapters(text: &str) -> Vec<Chapter> {
    let text = text.replace("\r\n", "\n");
    let has_blank_lines = text.trim().contains("\n\n");
    let blocks: Vec<String> = match has_blank_lines {
        true => text.split("\n\n").map(joined).collect(),
        false => text.lines().map(|line| line.trim().to_string()).collect(),
    };
    let mut chapters: Vec<Chapter> = vec![(String::new(), Vec::new())];
    for block in blocks.into_iter().filter(|block| !block.is_empty()) {
        match is_heading(&block) {
            true => chapters.push((block.trim_start_matches('#').trim().to_string(), Vec::new())),
            false => chapters.last_mut().expect("there is a first chapter").1.push(block),
        }
    }
    chapters.retain(|(_, paragraphs)| !paragraphs.is_empty());
    chapters
}

/// Lines of one paragraph: Chinese ones meet without a space.
fn joined(block: &str) -> String {
    let mut text = String::new();
    for line in block.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let meets_han = text.chars().last().is_some_and(|last| is_han(last) || "，。！？；：”、".contains(last));
        if !text.is_empty() && !meets_han {
            text.push(' ');
        }
        text.push_str(line);
    }
    text
}

fn is_heading(block: &str) -> bool {
    if block.starts_with('#') {
        return true;
    }
    let short = block.chars().count() <= 60;
    let upper = block.to_uppercase();
    let english = ["CHAPTER ", "BOOK ", "PART ", "ACT ", "SCENE "].iter().any(|word| upper.starts_with(word));
    let chinese =
        block.starts_with('第') && block.chars().take(8).any(|letter| matches!(letter, '回' | '章' | '节' | '幕'));
    short && (english || chinese)
}

/// Chapters as scenes.
pub fn scenes(chapters: &[Chapter], narrator: &str) -> Vec<Scene> {
    let scene = |(heading, paragraphs): &Chapter| {
        let mut turns = Turns { narrator, last: [String::new(), String::new()] };
        let beats = paragraphs.iter().flat_map(|paragraph| turns.beats(paragraph)).collect();
        Scene { heading: heading.clone(), beats }
    };
    chapters.iter().map(scene).collect()
}

struct Turns<'a> {
    narrator: &'a str,
    /// The last speaker, and the one before.
    last: [String; 2],
}

enum Named {
    Name(String),
    Narrator,
    Pronoun,
}

impl Turns<'_> {
    fn beats(&mut self, paragraph: &str) -> Vec<Beat> {
        if let Some((speaker, words)) = play_line(paragraph) {
            self.took_turn(&speaker);
            return vec![Beat::Line { speaker, words }];
        }
        let pieces = pieces(paragraph);
        let is_speech = pieces.iter().any(|piece| piece.quoted);
        if !is_speech {
            return vec![Beat::Narration(paragraph.to_string())];
        }
        match paragraph.chars().any(is_han) {
            true => self.chinese(&pieces),
            false => self.english(&pieces),
        }
    }

    /// An English paragraph has one speaker, and speech ends in a mark.
    fn english(&mut self, pieces: &[Piece]) -> Vec<Beat> {
        let named = pieces.iter().filter(|piece| !piece.quoted).find_map(|piece| english_name(piece.text));
        let words: Vec<&str> = pieces.iter().filter(|piece| piece.quoted).map(|piece| piece.text).collect();
        let around: Vec<&str> = pieces.iter().filter(|piece| !piece.quoted).map(|piece| piece.text.trim()).collect();
        let words = words.join(" ").trim().to_string();
        // A word in quotation marks inside a narration is no speech.
        let ends_like_speech =
            words.chars().last().is_some_and(|last| is_sentence_end(last) || matches!(last, ',' | '-' | '—'));
        if !ends_like_speech {
            let whole: Vec<&str> = pieces.iter().map(|piece| piece.text).collect();
            return vec![Beat::Narration(whole.concat())];
        }
        let speaker = self.speaker(named);
        let mut beats = vec![Beat::Line { speaker, words }];
        let around = around.join(" … ");
        if around.split_whitespace().count() > 8 {
            beats.insert(0, Beat::Narration(around.trim_matches([' ', '…', ',']).to_string()));
        }
        beats
    }

    /// In Chinese each quotation of a paragraph may have its own speaker.
    fn chinese(&mut self, pieces: &[Piece]) -> Vec<Beat> {
        let mut beats = Vec::new();
        for (at, piece) in pieces.iter().enumerate() {
            if !piece.quoted {
                if piece.text.chars().filter(|&letter| is_han(letter)).count() > 12 {
                    beats.push(Beat::Narration(piece.text.trim().to_string()));
                }
                continue;
            }
            let before =
                at.checked_sub(1).map(|at| pieces[at].text).filter(|text| text.trim_end().ends_with(['：', ':']));
            let after = pieces.get(at + 1).filter(|piece| !piece.quoted).map(|piece| piece.text);
            let named = before.and_then(chinese_name).or_else(|| after.and_then(chinese_name_after));
            let ends =
                piece.text.chars().last().is_some_and(|last| is_sentence_end(last) || last == '，' || last == '—');
            if named.is_none() && before.is_none() && !ends {
                continue;
            }
            let speaker = self.speaker(named);
            beats.push(Beat::Line { speaker, words: piece.text.trim().to_string() });
        }
        beats
    }

    fn speaker(&mut self, named: Option<Named>) -> String {
        let speaker = match named {
            Some(Named::Name(name)) => name,
            Some(Named::Narrator) => self.narrator.to_string(),
            Some(Named::Pronoun) | None => self.last[1].clone(),
        };
        self.took_turn(&speaker);
        speaker
    }

    fn took_turn(&mut self, speaker: &str) {
        if self.last[0] != speaker {
            self.last.swap(0, 1);
            self.last[0] = speaker.to_string();
        }
    }
}

struct Piece<'a> {
    text: &'a str,
    quoted: bool,
}

/// A paragraph cut at its quotation marks; a quotation without an end goes to the end.
fn pieces(paragraph: &str) -> Vec<Piece<'_>> {
    let mut pieces = Vec::new();
    let (mut start, mut closing) = (0, None);
    for (at, letter) in paragraph.char_indices() {
        let opens = match letter {
            '“' => Some('”'),
            '「' => Some('」'),
            '"' => Some('"'),
            _ => None,
        };
        match closing {
            Some(end) if letter == end => closing = None,
            None if opens.is_some() => closing = opens,
            _ => continue,
        }
        let quoted = closing.is_none();
        if start < at {
            pieces.push(Piece { text: &paragraph[start..at], quoted });
        }
        start = at + letter.len_utf8();
    }
    if start < paragraph.len() {
        pieces.push(Piece { text: &paragraph[start..], quoted: closing.is_some() });
    }
    pieces
}

/// `NAME: words`, as plays and chats write it.
fn play_line(paragraph: &str) -> Option<(String, String)> {
    let at = paragraph.find([':', '：'])?;
    let name = paragraph[..at].trim();
    let words = paragraph[at..].trim_start_matches([':', '：']).trim();
    let capitals = name.split(' ').all(|word| word.chars().next().is_some_and(char::is_uppercase));
    let chinese = name.chars().all(is_han)
        && name.chars().count() <= LONGEST_NAME
        && !name.ends_with(|last| SAYING.contains(last));
    let english = capitals && name.split(' ').count() <= 3 && !name.contains(['“', '"', '.', ',']);
    let is_name = !name.is_empty() && (english || chinese);
    (is_name && !words.is_empty() && !words.starts_with(['“', '"', '「']))
        .then(|| (name.to_string(), words.to_string()))
}

fn english_name(around: &str) -> Option<Named> {
    let words: Vec<&str> = around.split_whitespace().collect();
    let bare: Vec<&str> =
        words.iter().map(|word| word.trim_matches([',', ';', ':', '.', '!', '?', '—', '-', '(', ')'])).collect();
    for (at, word) in bare.iter().enumerate() {
        if !VERBS.contains(&word.to_lowercase().as_str()) {
            continue;
        }
        let after = name_from(&words[at + 1..], &bare[at + 1..]);
        let before = || {
            let start = (0..at)
                .rev()
                .take_while(|&place| is_name_word(bare[place]) || HONORIFICS.contains(&words[place]))
                .last();
            let start = start.or(at.checked_sub(1))?;
            name_from(&words[start..at], &bare[start..at])
        };
        if let Some(named) = after.or_else(before) {
            return Some(named);
        }
    }
    None
}

/// The name at the beginning of these words; "the" and a capital begin one too.
fn name_from(words: &[&str], bare: &[&str]) -> Option<Named> {
    match bare.first()?.to_lowercase().as_str() {
        "i" => return Some(Named::Narrator),
        "he" | "she" | "they" | "it" => return Some(Named::Pronoun),
        _ => {}
    }
    let mut name: Vec<&str> = Vec::new();
    for (at, word) in bare.iter().enumerate() {
        let article = at == 0 && matches!(*word, "the" | "The");
        if !article && !is_name_word(word) {
            break;
        }
        name.push(if HONORIFICS.contains(&words[at]) { words[at] } else { word });
        // A comma or a full stop ends a name, unless it is an honorific's.
        if words[at] != *word && !HONORIFICS.contains(&words[at]) {
            break;
        }
    }
    let only_article = matches!(name.as_slice(), ["the" | "The"]);
    (!name.is_empty() && !only_article).then(|| Named::Name(name.join(" ")))
}

fn is_name_word(word: &str) -> bool {
    let is_pronoun = matches!(word, "I" | "He" | "She" | "They" | "It" | "And" | "But" | "Then" | "So" | "The");
    word.chars().next().is_some_and(char::is_uppercase) && !is_pronoun
}

/// 悟空大怒道： → 悟空.
fn chinese_name(before: &str) -> Option<Named> {
    let clause = before.trim_end().trim_end_matches(['：', ':']);
    let clause = clause.rsplit(|letter| "。！？；”」\n".contains(letter)).next().unwrap_or(clause);
    // The clause beside the quotation, or, where it holds only how it was said, the one before.
    clause.rsplit('，').find_map(named_at_start)
}

/// “…”张飞说。 → 张飞.
fn chinese_name_after(after: &str) -> Option<Named> {
    let clause = after.trim_start_matches(['，', ' ']).split(['。', '，', '！', '？', '：']).next()?;
    clause.contains(|letter| SAYING.contains(letter)).then(|| named_at_start(clause)).flatten()
}

fn named_at_start(clause: &str) -> Option<Named> {
    let name: String = clause
        .trim()
        .trim_start_matches(|letter| "那这只却又忽".contains(letter))
        .chars()
        .take_while(|&letter| is_han(letter) && !SAYING.contains(letter) && !MANNER.contains(letter))
        .collect();
    match name.chars().count() {
        0 => None,
        _ if matches!(name.as_str(), "他" | "她" | "它" | "他们") => Some(Named::Pronoun),
        _ if name == "我" => Some(Named::Narrator),
        1..=LONGEST_NAME => Some(Named::Name(name)),
        _ => None,
    }
}
