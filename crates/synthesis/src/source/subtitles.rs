//! SubRip and WebVTT: lines in time. A speaker is named by `NAME:`, by `[NAME]` or by WebVTT's `<v NAME>`.

use super::{Beat, Scene, markup};

/// A pause of so many seconds begins a new scene.
const SCENE_PAUSE: f64 = 20.0;

/// Reads scenes.
pub fn scenes(text: &str) -> Vec<Scene> {
    let text = text.replace("\r\n", "\n");
    let mut scenes = vec![Scene::default()];
    let mut ended = 0.0;
    for block in text.split("\n\n") {
        let mut lines = block.lines().skip_while(|line| !line.contains("-->"));
        let Some((start, end)) = lines.next().and_then(times) else { continue };
        if start - ended > SCENE_PAUSE && scenes.last().is_some_and(|scene| !scene.beats.is_empty()) {
            scenes.push(Scene::default());
        }
        ended = end;
        let scene = scenes.last_mut().expect("there is a first scene");
        let cue: Vec<&str> = lines.map(str::trim).filter(|line| !line.is_empty()).collect();
        // Two people in one cue, each with a dash.
        let parts: Vec<String> = match cue.iter().filter(|line| line.starts_with('-')).count() > 1 {
            true => cue.iter().map(|line| line.trim_start_matches('-').trim().to_string()).collect(),
            false => vec![cue.join(" ")],
        };
        parts.iter().for_each(|part| add(scene, part));
    }
    scenes
}

fn add(scene: &mut Scene, cue: &str) {
    let voice = cue.find("<v").and_then(|at| {
        let (name, _) = cue[at..].split_once('>')?;
        Some(name.split_once(' ')?.1.trim().to_string())
    });
    let plain = markup::plain(cue);
    let plain = plain.trim().trim_start_matches('-').trim();
    let (speaker, words) = match voice {
        Some(name) => (name, plain),
        None => named(plain),
    };
    let is_sound = words.is_empty() || words.starts_with(['(', '（', '♪']) && words.ends_with([')', '）', '♪']);
    match is_sound {
        true if words.is_empty() => {}
        true => scene.beats.push(Beat::Narration(words.to_string())),
        false => scene.beats.push(Beat::Line { speaker, words: words.to_string() }),
    }
}

fn named(text: &str) -> (String, &str) {
    if let Some((name, words)) = text.strip_prefix('[').and_then(|text| text.split_once(']')) {
        return (name.trim().to_string(), words.trim_start_matches([':', '：', ' ']));
    }
    match text.split_once([':', '：']) {
        Some((name, words))
            if !name.is_empty()
                && name.split(' ').count() <= 3
                && name.chars().count() <= 24
                && !name.ends_with(|last: char| last.is_ascii_digit()) =>
        {
            (name.trim().to_string(), words.trim())
        }
        _ => (String::new(), text),
    }
}

/// `00:01:02,500 --> 00:01:04,000`, in seconds.
fn times(line: &str) -> Option<(f64, f64)> {
    let (start, end) = line.split_once("-->")?;
    Some((seconds(start.trim())?, seconds(end.split_whitespace().next()?)?))
}

fn seconds(time: &str) -> Option<f64> {
    time.replace(',', ".").split(':').try_fold(0.0, |sum, part| Some(sum * 60.0 + part.parse::<f64>().ok()?))
}
