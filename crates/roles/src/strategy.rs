use crate::{Examples, Exchange, Language, Message, Role, messages};
use std::{fmt, str::FromStr};

/// How many examples are shown (paper, section 3).
const EXAMPLES: usize = 5;

/// How a model is made to play a role: RoCIT's way, the three of RoleGPT, and retrieval (paper, sections 3 and 5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// RoCIT's system instruction: name, description and catchphrases, no order and no examples.
    #[default]
    System,
    /// The same and the order to play the role.
    ZeroShot,
    /// The order, and examples of the role's speech within the instruction.
    FewShot,
    /// The order, and the examples as turns of the conversation: dialogue engineering.
    Dialogue,
    /// The name only, and examples in the place of the description.
    Retrieval,
}

/// A name that no strategy has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown strategy \"{found}\"; choose one of {}", Strategy::ALL.map(Strategy::name).join(", "))]
pub struct UnknownStrategy {
    /// The name found.
    pub found: String,
}

impl Strategy {
    /// Every strategy.
    pub const ALL: [Strategy; 5] =
        [Strategy::System, Strategy::ZeroShot, Strategy::FewShot, Strategy::Dialogue, Strategy::Retrieval];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Strategy::System => "system",
            Strategy::ZeroShot => "zero-shot",
            Strategy::FewShot => "few-shot",
            Strategy::Dialogue => "dialogue",
            Strategy::Retrieval => "retrieval",
        }
    }

    /// Does it show examples of the role's dialogue?
    pub fn needs_examples(self) -> bool {
        matches!(self, Strategy::FewShot | Strategy::Dialogue | Strategy::Retrieval)
    }

    /// The messages that ask `role` a question; `examples` are looked at only by a strategy that needs them.
    pub fn messages(self, role: &Role, examples: &Examples, question: &str) -> Vec<Message> {
        let found = if self.needs_examples() { examples.nearest(question, EXAMPLES) } else { Vec::new() };
        let asked = Message::user(question);
        match self {
            Strategy::System => messages(role, [asked]),
            Strategy::ZeroShot => vec![Message::system(ordered(role)), asked],
            Strategy::FewShot => vec![Message::system(ordered(role) + &shown(role, &found)), asked],
            Strategy::Dialogue => {
                let turns =
                    found.into_iter().flat_map(|one| [Message::user(&*one.user), Message::assistant(&*one.reply)]);
                [Message::system(ordered(role))].into_iter().chain(turns).chain([asked]).collect()
            }
            Strategy::Retrieval => {
                let name = match role.language {
                    Language::En => format!("You are {}.", role.name),
                    Language::Zh => format!("你是{}。", role.name),
                };
                vec![Message::system(name + &shown(role, &found)), asked]
            }
        }
    }
}

impl fmt::Display for Strategy {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.name())
    }
}

impl FromStr for Strategy {
    type Err = UnknownStrategy;

    fn from_str(name: &str) -> Result<Strategy, UnknownStrategy> {
        let found = || UnknownStrategy { found: name.to_string() };
        Strategy::ALL.into_iter().find(|strategy| strategy.name() == name).ok_or_else(found)
    }
}

/// The system instruction with the order to play the role; the four directives are the paper's, the words our own.
fn ordered(role: &Role) -> String {
    let (instruction, name) = (role.system_instruction(), &role.name);
    match role.language {
        Language::En => format!(
            "{instruction}\n\nWhatever you are asked, answer as {name}.\n\
             - Let your character show in every answer.\n\
             - Speak just as {name} speaks.\n\
             - Never say or hint that you are a program or a language model.\n\
             - Keep it short, and be neither formal nor more polite than {name} is."
        ),
        Language::Zh => format!(
            "{instruction}\n\n无论被问到什么，都以{name}的身份回答。\n\
             - 每句话都要见得出性格。\n\
             - 完全照{name}的口吻说话。\n\
             - 绝不说出或暗示自己是程序或语言模型。\n\
             - 话要简短，不必正式，也不必比{name}更客气。"
        ),
    }
}

fn shown(role: &Role, examples: &[&Exchange]) -> String {
    let (lead, colon, person) = match role.language {
        _ if examples.is_empty() => return String::new(),
        Language::En => ("This is how you speak:", ": ", "Someone"),
        Language::Zh => ("你平时是这样说话的：", "：", "旁人"),
    };
    let lines = examples.iter().map(|one| format!("{person}{colon}{}\n{}{colon}{}", one.user, role.name, one.reply));
    format!("\n\n{lead}\n\n{}", lines.collect::<Vec<_>>().join("\n\n"))
}
