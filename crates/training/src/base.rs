//! A base model from a Hugging Face folder or a GGUF: its shape, its weights and how it writes a chat.

use crate::document::{Document, Encoder};
use crate::model::Model;
use crate::{Error, Result};
use candle_core::quantized::gguf_file;
use checkpoint::Base;
use decoder::Gguf;
use generate::{ChatTemplate, Tokenizer};
use roles::{Message, Speaker};
use serde::Serialize;
use std::io::Cursor;

/// How a chat becomes tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Layout {
    /// RoCIT's (arXiv 2310.00746, section 4).
    #[default]
    Rocit,
    /// The base's own chat template.
    Chat,
}

/// Reads the weights of a base, to be used with at most `context` positions.
pub fn read_model(base: &Base, context: usize) -> Result<(Model, Vec<f32>)> {
    let mut shape = base.shape().clone();
    if context > shape.max_position_embeddings {
        return Err(Error::Config {
            field: "max_position_embeddings",
            found: shape.max_position_embeddings.to_string(),
            expected: format!("at least --max-length {context}"),
        });
    }
    shape.max_position_embeddings = context;
    let model = Model::new(shape);
    let weights = model.map.load(&base.weights()?)?;
    Ok((model, weights))
}

/// The base's tokenizer and a layout: the very tokens that an exported model will read.
pub struct ChatEncoder {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    /// The layout as a chat template.
    pub template_text: String,
}

impl ChatEncoder {
    /// Reads the tokenizer of `base`, and its chat template where `layout` is the base's own.
    pub fn read(base: &Base, layout: Layout) -> Result<ChatEncoder> {
        let vocabulary = base.vocabulary()?;
        let unusable = |reason: String| Error::Tokenizer(format!("{reason}: {}", base.path().display()).into());
        let metadata = vocabulary.metadata();
        let pairs: Vec<_> = metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
        let mut header = Cursor::new(Vec::new());
        gguf_file::write(&mut header, &pairs, &[]).map_err(|e| unusable(e.to_string()))?;
        header.set_position(0);
        let gguf = Gguf::read(&mut header).map_err(|e| unusable(e.to_string()))?;
        let tokenizer = Tokenizer::from_gguf(&gguf)?;
        let text = match layout {
            Layout::Rocit => generate::ROCIT_TEMPLATE,
            Layout::Chat => vocabulary.chat_template().ok_or_else(|| {
                Error::Argument(format!("--layout chat: the base has no chat template: {}", base.path().display()))
            })?,
        };
        let template = ChatTemplate::new(text, tokenizer.bos_text(), tokenizer.eos_text())?;
        Ok(ChatEncoder { template, template_text: text.to_owned(), tokenizer })
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The tokenizer, where nothing is to be encoded any more.
    pub fn into_tokenizer(self) -> Tokenizer {
        self.tokenizer
    }

    fn tokens(&self, messages: &[generate::Message], open: bool) -> Result<Vec<u32>> {
        let tokens = self.template.tokenize_up_to(messages, &self.tokenizer, open)?;
        Ok(self.with_bos(tokens))
    }

    fn with_bos(&self, mut tokens: Vec<u32>) -> Vec<u32> {
        let bos = self.tokenizer.bos().filter(|_| self.tokenizer.add_bos());
        if let Some(bos) = bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        tokens
    }
}

impl Encoder for ChatEncoder {
    fn text(&self, text: &str) -> Result<Document> {
        let mut document = Document { splittable: true, ..Document::default() };
        document.push(self.with_bos(Vec::new()), false);
        document.push(self.tokenizer.encode(text, false)?, true);
        document.push(self.tokenizer.eos(), true);
        Ok(document)
    }

    /// An answer reaches from where its prompt ends to the token that ends it; a template that ends its last answer by
    /// none gets the end-of-text token.
    fn chat(&self, messages: &[Message]) -> Result<Document> {
        let named = |message: &Message| {
            let role = match message.speaker {
                Speaker::System => "system",
                Speaker::User => "user",
                Speaker::Assistant => "assistant",
            };
            generate::Message::new(role, message.content.trim())
        };
        let messages: Vec<generate::Message> = messages.iter().map(named).collect();
        let mut tokens = self.tokens(&messages, false)?;
        let mut answers = Vec::new();
        for i in (0..messages.len()).filter(|&i| messages[i].role == "assistant") {
            let start = shared(&self.tokens(&messages[..i], true)?, &tokens);
            let end = shared(&self.tokens(&messages[..=i], false)?, &tokens);
            let ending = tokens[start..end].iter().position(|&token| self.tokenizer.is_end_of_generation(token));
            match (ending, self.tokenizer.eos()) {
                (Some(length), _) => answers.push(start..start + length + 1),
                (None, Some(eos)) if end == tokens.len() => {
                    tokens.push(eos);
                    answers.push(start..end + 1);
                }
                (None, _) => answers.push(start..end),
            }
        }
        let first = answers.first().map_or(0, |answer| answer.start);
        let prefix = match &messages[..] {
            [system, question, ..] if system.role == "system" && question.role == "user" => {
                // Another question shows where the system instruction ends.
                let other = if question.content.starts_with('a') { "b" } else { "a" };
                let other = [system.clone(), generate::Message::user(other)];
                shared(&self.tokens(&other, false)?, &tokens).min(first)
            }
            _ => 0,
        };
        let mut document = Document { prefix, ..Document::default() };
        document.push(tokens, false);
        answers.into_iter().for_each(|answer| document.trained[answer].fill(true));
        Ok(document)
    }
}

/// How many leading tokens are the same.
fn shared(a: &[u32], b: &[u32]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a == b).count()
}
