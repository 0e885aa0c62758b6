//! RoCIT's layout of a chat (arXiv 2310.00746, section 4): as tokens with a loss mask, and as a chat template.
//!
//! ```text
//! <s>### Instruction:
//! {system}</s>
//!
//! ### Input:
//! {user}</s>
//!
//! ### Response:
//! {assistant}</s>
//! ```
//! Later turns repeat the last two parts; without a system message the first part is missing.

use crate::Result;
use crate::tokenizer::{BOS_ID, EOS_ID, Tokenizer};
use roles::{Message, Speaker};

/// Stands between two parts.
pub const SEPARATOR: &str = "\n\n";

/// The line that starts a part.
pub fn header(speaker: Speaker) -> &'static str {
    match speaker {
        Speaker::System => "### Instruction:\n",
        Speaker::User => "### Input:\n",
        Speaker::Assistant => "### Response:\n",
    }
}

/// The layout as a Jinja template over `messages`, `add_generation_prompt`, `bos_token` and `eos_token`.
pub fn chat_template() -> String {
    let escape = |text: &str| text.replace('\n', "\\n");
    let [system, user, assistant] = [Speaker::System, Speaker::User, Speaker::Assistant].map(|s| escape(header(s)));
    let separator = escape(SEPARATOR);
    format!(
        "{{{{ bos_token }}}}{{% for message in messages %}}{{% if not loop.first %}}{{{{ '{separator}' }}}}{{% endif %}}\
         {{% if message['role'] == 'system' %}}{{{{ '{system}' }}}}\
         {{% elif message['role'] == 'user' %}}{{{{ '{user}' }}}}\
         {{% else %}}{{{{ '{assistant}' }}}}{{% endif %}}\
         {{{{ message['content'] | trim }}}}{{{{ eos_token }}}}{{% endfor %}}\
         {{% if add_generation_prompt %}}{{{{ '{separator}{assistant}' }}}}{{% endif %}}"
    )
}

/// A document's tokens, and for each whether the model is trained to say it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Document {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// One flag for each token.
    pub trained: Vec<bool>,
    /// Whether the document may be continued in another row: text may, a chat may not.
    pub splittable: bool,
    /// How many leading tokens are the system instruction, which other chats may share.
    pub prefix: usize,
}

/// Makes documents of texts and chats.
pub trait Encoder: Sync {
    /// Plain text; all of it is trained.
    fn text(&self, text: &str) -> Result<Document>;

    /// A chat; the assistant's words and what ends them are trained.
    fn chat(&self, messages: &[Message]) -> Result<Document>;
}

impl Encoder for Tokenizer {
    fn text(&self, text: &str) -> Result<Document> {
        Document::text(self, text)
    }

    fn chat(&self, messages: &[Message]) -> Result<Document> {
        Document::chat(self, messages)
    }
}

impl Document {
    /// Plain text between `<s>` and `</s>`; all of it is trained.
    pub fn text(tokenizer: &Tokenizer, text: &str) -> Result<Document> {
        let mut document = Document { splittable: true, ..Document::default() };
        document.push([BOS_ID], false);
        document.push(tokenizer.encode(text)?, true);
        document.push([EOS_ID], true);
        Ok(document)
    }

    /// A chat in RoCIT's layout; the assistant's words and their `</s>` are trained.
    pub fn chat(tokenizer: &Tokenizer, messages: &[Message]) -> Result<Document> {
        let mut document = Document::default();
        document.push([BOS_ID], false);
        for (i, message) in messages.iter().enumerate() {
            let separator = if i == 0 { "" } else { SEPARATOR };
            let (header, content) = (header(message.speaker), message.content.trim());
            if message.speaker == Speaker::Assistant {
                // The prompt of inference ends with the header: the answer's tokens must not reach into it.
                document.push(tokenizer.encode(&format!("{separator}{header}"))?, false);
                document.push(tokenizer.encode(content)?, true);
                document.push([EOS_ID], true);
            } else {
                document.push(tokenizer.encode(&format!("{separator}{header}{content}"))?, false);
                document.push([EOS_ID], false);
            }
            if i == 0 && message.speaker == Speaker::System {
                document.prefix = document.tokens.len();
            }
        }
        Ok(document)
    }

    pub(crate) fn push(&mut self, tokens: impl IntoIterator<Item = u32>, trained: bool) {
        self.tokens.extend(tokens);
        self.trained.resize(self.tokens.len(), trained);
    }
}
