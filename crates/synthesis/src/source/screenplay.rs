//! Screenplays: Fountain, and the indented layout that scripts have on the web.

use super::{Beat, Scene};

/// Is a text laid out as a screenplay? Two scene headings, and names in capitals above their lines.
pub fn is_screenplay(text: &str) -> bool {
    let headings = text.lines().filter(|line| is_scene_heading(line)).count();
    let lines: Vec<&str> = text.lines().collect();
    let names = lines.windows(2).filter(|pair| cue(pair[0]).is_some() && !pair[1].trim().is_empty()).count();
    headings >= 2 && names >= 2
}

/// Reads scenes. Comments, notes, sections and transitions are left out; parentheses between a name and its line too.
pub fn scenes(text: &str) -> Vec<Scene> {
    let text = without_notes(text);
    let mut scenes = vec![Scene::default()];
    let mut speaker: Option<String> = None;
    let mut after_blank = true;
    let mut in_title_page =
        text.lines().next().is_some_and(|line| line.split_once(':').is_some_and(|(key, _)| is_title_key(key)));
    for line in text.lines() {
        let trimmed = line.trim();
        if trimmed.is_empty() {
            (speaker, after_blank, in_title_page) = (None, true, false);
            continue;
        }
        let scene = scenes.last_mut().expect("there is a first scene");
        if in_title_page || trimmed.starts_with(['#', '=']) || is_transition(trimmed) {
            // Title pages, sections, synopses, page breaks and cuts are not part of what happens.
        } else if is_scene_heading(trimmed) {
            scenes.push(Scene { heading: trimmed.trim_start_matches('.').to_string(), beats: Vec::new() });
        } else if let Some(name) = speaker.as_ref() {
            if !trimmed.starts_with('(') {
                add_words(scene, name, trimmed.trim_start_matches('~'));
            }
        } else if let Some(name) = cue(trimmed).filter(|_| after_blank) {
            speaker = Some(name);
            scene.beats.push(Beat::Line { speaker: speaker.clone().unwrap_or_default(), words: String::new() });
        } else {
            add_action(scene, trimmed.trim_start_matches('!'), after_blank);
        }
        after_blank = false;
    }
    for scene in &mut scenes {
        scene.beats.retain(|beat| !matches!(beat, Beat::Line { words, .. } if words.is_empty()));
    }
    scenes.retain(|scene| !scene.beats.is_empty());
    scenes
}

fn add_words(scene: &mut Scene, name: &str, text: &str) {
    if let Some(Beat::Line { speaker, words }) = scene.beats.last_mut()
        && speaker == name
    {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(text);
    }
}

fn add_action(scene: &mut Scene, text: &str, after_blank: bool) {
    match scene.beats.last_mut() {
        Some(Beat::Narration(action)) if !after_blank => {
            action.push(' ');
            action.push_str(text);
        }
        _ => scene.beats.push(Beat::Narration(text.to_string())),
    }
}

fn is_scene_heading(line: &str) -> bool {
    let line = line.trim();
    let forced = line.starts_with('.') && line.chars().nth(1).is_some_and(char::is_alphanumeric);
    let upper = line.to_uppercase();
    forced
        || ["INT. ", "EXT. ", "INT ", "EXT ", "INT./EXT", "INT/EXT", "I/E ", "EST. ", "内景", "外景"]
            .iter()
            .any(|start| upper.starts_with(start))
}

fn is_transition(line: &str) -> bool {
    let is_upper = line == line.to_uppercase();
    line.starts_with('>') || is_upper && (line.ends_with("TO:") || matches!(line, "FADE IN:" | "FADE OUT." | "THE END"))
}

fn is_title_key(key: &str) -> bool {
    let key = key.trim().to_lowercase();
    ["title", "credit", "author", "authors", "source", "draft date", "contact", "copyright", "notes"]
        .contains(&key.as_str())
}

/// The speaker of a name line: capitals, or forced by `@`; `(V.O.)` and `^` fall away.
fn cue(line: &str) -> Option<String> {
    let line = line.trim();
    let forced = line.strip_prefix('@');
    let name = forced.unwrap_or(line).trim_end_matches('^');
    let name = name.split('(').next().unwrap_or(name).trim();
    let letters = name.chars().filter(|letter| letter.is_alphabetic()).count();
    let capitals = letters > 1 && name == name.to_uppercase() && name != name.to_lowercase();
    let plain = !name.ends_with(['.', '!', '?', ':', ',', '-']) && name.split_whitespace().count() <= 4;
    (forced.is_some() && letters > 0 || capitals && plain && !is_scene_heading(name)).then(|| name.to_string())
}

/// Fountain's `/* … */` and `[[ … ]]`.
fn without_notes(text: &str) -> String {
    let mut text = text.replace("\r\n", "\n");
    for (open, close) in [("/*", "*/"), ("[[", "]]")] {
        while let Some(start) = text.find(open) {
            let end = text[start..].find(close).map_or(text.len(), |end| start + end + close.len());
            text.replace_range(start..end, "");
        }
    }
    text
}
