//! From a role's material to its rows: profile, Context-Instruct, `RoleGPT`.

use crate::{
    ContextInstruct, Counts, Dispatcher, Failure, General, Instruction, Material, Profile, Profiler, Request, RoleGpt,
    Segment, Specific, Stage, language_of, segments,
    source::{Names, Script, Source},
};
use roles::{Exchange, Language, Role};
use serde::{Deserialize, Serialize};

/// All steps' settings.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pipeline {
    /// Profiles.
    pub profiler: Profiler,
    /// Role-specific rows.
    pub context_instruct: ContextInstruct,
    /// General rows.
    pub rolegpt: RoleGpt,
}

/// All that was made of one role.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Part {
    /// The role and its lines.
    pub profile: Profile,
    /// What became of the requests for the profile.
    pub profile_counts: Counts,
    /// The scripts, and into how many segments each was cut.
    pub segments: Vec<(String, usize)>,
    /// Role-specific rows.
    pub specific: Specific,
    /// General rows.
    pub general: General,
}

impl Pipeline {
    /// The same settings, cut down to what fits a teacher's context: a third of it for an answer, a quarter for a segment.
    #[must_use]
    pub fn within(mut self, context: Option<usize>) -> Pipeline {
        let Some(context) = context else { return self };
        let (answer, segment) = ((context / 3).max(16) as u32, (context / 4).max(16) as u64);
        self.profiler.max_tokens = self.profiler.max_tokens.min(answer);
        self.profiler.segment_tokens = self.profiler.segment_tokens.min(segment);
        self.context_instruct.max_tokens = self.context_instruct.max_tokens.min(answer);
        self.rolegpt.max_tokens = self.rolegpt.max_tokens.min(answer);
        self
    }

    /// The segments of a role's scripts in which it appears; all of them where it never does by name.
    pub fn segments(&self, scripts: &[Script], names: &Names) -> Vec<Segment> {
        let all: Vec<Segment> =
            scripts.iter().flat_map(|script| segments(script, self.profiler.segment_tokens)).collect();
        let about: Vec<Segment> = all.iter().filter(|segment| names.are_in(&segment.text) > 0).cloned().collect();
        if about.is_empty() { all } else { about }
    }

    /// Makes everything of one role. A finished profile is not made again.
    ///
    /// # Errors
    /// The run has to end: no teacher, no money, no journal.
    pub async fn run(
        &self,
        dispatcher: &Dispatcher,
        material: &Material,
        finished: Option<Profile>,
        instructions: &[Instruction],
    ) -> Result<Part, Failure> {
        let fitted = self.within(dispatcher.context());
        let (profile, profile_counts) = match finished {
            Some(profile) => (profile, Counts::default()),
            None => fitted.profiler.make(dispatcher, material).await?,
        };
        let segments = fitted.segments(&material.scripts, &material.names);
        let specific = fitted.context_instruct.ask(dispatcher, &profile, &segments).await?;
        let general = fitted.rolegpt.answer(dispatcher, &profile, instructions).await?;
        let of_script = |script: &Script| segments.iter().filter(|segment| segment.source == script.title).count();
        let segments = material.scripts.iter().map(|script| (script.title.clone(), of_script(script))).collect();
        Ok(Part { profile, profile_counts, segments, specific, general })
    }
}

impl Material {
    /// Material on a role from files; a card among them tells of the role what it knows.
    ///
    /// Where `name` is empty, it is the card's; where no language is given, it is the sources'.
    pub fn new(name: &str, aliases: &[String], language: Option<Language>, sources: Vec<Source>) -> Material {
        let mut role = Role::default();
        let mut dialogue: Vec<Exchange> = Vec::new();
        let mut scripts = Vec::new();
        for source in sources {
            match source {
                Source::Script(script) => scripts.push(script),
                Source::Card(card) => {
                    role = card.role("User");
                    dialogue.extend(card.examples("User"));
                }
            }
        }
        if !name.trim().is_empty() {
            role.name = name.trim().to_string();
            role.id = slug(name);
        }
        let from_sources = match role.description.is_empty() {
            true => scripts.first().map_or_else(|| language_of(&role.name), |script| script.language),
            false => role.language,
        };
        role.language = language.unwrap_or(from_sources);
        Material { names: Names::new(&role.name, aliases), role, dialogue, scripts }
    }
}

/// A name for files: lower-case letters, digits and hyphens.
pub fn slug(name: &str) -> String {
    let words: Vec<String> = name
        .split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_lowercase)
        .collect();
    if words.is_empty() { "role".to_string() } else { words.join("-") }
}

/// A well-formed answer to any request of the pipeline, for a rehearsal: it leads to the requests that well-formed
/// answers lead to. `per_request` is how many triplets a request asks for.
pub fn rehearsed_answer(request: &Request, per_request: usize) -> String {
    let prompt = request.messages.last().map(|message| message.content.as_str()).unwrap_or_default();
    let language = language_of(prompt);
    let (you, sentence) = match language {
        Language::En => ("You are brave. ", "This is a sentence of a rehearsal, as long as many. "),
        Language::Zh => ("你是好汉。", "这是排练中的一句话，不长也不短。"),
    };
    match request.stage {
        Stage::ScriptAgnostic | Stage::ScriptBased => {
            // Low, so that nothing is made of them.
            let item = |_| serde_json::json!({"question": sentence, "confidence": "Low", "answer": sentence});
            serde_json::json!({"items": (0..per_request).map(item).collect::<Vec<_>>()}).to_string()
        }
        Stage::Catchphrases => sentence.to_string(),
        // In the words of its source, as long as a description.
        _ => {
            let tail = prompt.char_indices().rev().nth(800).map_or(prompt, |(at, _)| &prompt[at..]);
            format!("{you}{tail} {sentence}{sentence}")
        }
    }
}
