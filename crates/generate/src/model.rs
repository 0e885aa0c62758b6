use std::{
    io::{Read, Seek},
    ops::ControlFlow,
    sync::Arc,
};

use decoder::{Config, Gguf, Progress, Weights};

use crate::{ChatTemplate, Error, Fit, Message, Prompt, PromptSize, Tokenizer, fit};

/// Everything of a model file that does not change while it is used: weights, tokenizer, chat template.
#[derive(Debug)]
pub struct Model {
    weights: Arc<Weights>,
    tokenizer: Tokenizer,
    template: ChatTemplate,
    name: Option<String>,
}

/// A model without its weights: what is cheap to refuse is refused before they are read.
#[derive(Debug)]
pub struct Outline {
    tokenizer: Tokenizer,
    template: ChatTemplate,
    name: Option<String>,
}

impl Outline {
    /// Reads what a header says beside the weights.
    ///
    /// # Errors
    /// A header of no usable model: see [`Error`] and [`decoder::LoadError`].
    pub fn from_gguf(gguf: &Gguf) -> Result<Self, Error> {
        let config = Config::from_gguf(gguf)?;
        let tokenizer = Tokenizer::from_gguf(gguf)?;
        let template = ChatTemplate::from_gguf(gguf, &tokenizer)?;
        if tokenizer.len() > config.vocab_size {
            return Err(Error::VocabularySize { tokens: tokenizer.len(), embeddings: config.vocab_size });
        }
        let name = gguf.get_str("general.name")?.map(str::to_owned);
        Ok(Self { tokenizer, template, name })
    }

    /// The model, with all of its weights or with the first shard of them.
    pub fn with_weights(self, weights: Weights) -> Model {
        let Self { tokenizer, template, name } = self;
        Model { weights: Arc::new(weights), tokenizer, template, name }
    }
}

impl Model {
    /// Reads a GGUF; `progress` may cancel with `Break`.
    ///
    /// # Errors
    /// A file that is no usable model: see [`Error`] and [`decoder::LoadError`].
    pub fn load<R: Read + Seek>(
        reader: &mut R,
        progress: &mut dyn FnMut(Progress) -> ControlFlow<()>,
    ) -> Result<Self, Error> {
        let gguf = Gguf::read(reader)?;
        let outline = Outline::from_gguf(&gguf)?;
        Ok(outline.with_weights(Weights::load(&gguf, reader, progress)?))
    }

    /// The weights, shared.
    pub fn weights(&self) -> &Arc<Weights> {
        &self.weights
    }

    /// The model's shape.
    pub fn config(&self) -> &Config {
        self.weights.config()
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// The chat template.
    pub fn template(&self) -> &ChatTemplate {
        &self.template
    }

    /// The chat template, to be changed.
    pub fn template_mut(&mut self) -> &mut ChatTemplate {
        &mut self.template
    }

    /// Lays out conversations by a named template: see [`ChatTemplate::named`].
    ///
    /// # Errors
    /// [`Error::UnknownTemplate`] with the known names.
    pub fn use_template(&mut self, name: &str) -> Result<(), Error> {
        self.template = ChatTemplate::named(name, self.tokenizer.bos_text(), self.tokenizer.eos_text())?;
        Ok(())
    }

    /// Reads a LoRA adapter from a GGUF of its own and returns its number: see [`Weights::add_adapter`].
    ///
    /// # Errors
    /// As there; [`Error::InUse`] while a context reads the weights.
    pub fn add_adapter<R: Read + Seek>(&mut self, gguf: &Gguf, reader: &mut R) -> Result<usize, Error> {
        let weights = Arc::get_mut(&mut self.weights).ok_or(Error::InUse)?;
        Ok(weights.add_adapter(gguf, reader)?)
    }

    /// `general.name` of the file.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The exact text that the model would be given.
    ///
    /// # Errors
    /// The chat template refuses the messages.
    pub fn render(&self, prompt: &Prompt) -> Result<String, Error> {
        match prompt {
            Prompt::Text(text) => Ok(text.clone()),
            Prompt::Messages(messages) => self.template.render(messages, true),
        }
    }

    /// The exact tokens that the model would be given; the model's begin-of-text token comes first, once. Control tokens
    /// spelled out in a message are plain text.
    ///
    /// # Errors
    /// The chat template refuses the messages, or the tokenizer fails.
    pub fn tokenize(&self, prompt: &Prompt) -> Result<Vec<u32>, Error> {
        let mut tokens = match prompt {
            Prompt::Text(text) => self.tokenizer.encode(text, true)?,
            Prompt::Messages(messages) => self.template.tokenize(messages, &self.tokenizer)?,
        };
        let bos = self.tokenizer.bos().filter(|_| self.tokenizer.add_bos());
        if let Some(bos) = bos.filter(|bos| tokens.first() != Some(bos)) {
            tokens.insert(0, bos);
        }
        Ok(tokens)
    }

    /// Drops the oldest turns until the prompt and `max_tokens` fit `context`: see [`fit`].
    ///
    /// # Errors
    /// Not even the system message and the last turn fit.
    pub fn fit(&self, messages: &[Message], context: usize, max_tokens: usize) -> Result<Fit, Error> {
        fit(self, messages, context, max_tokens)
    }
}

impl PromptSize for Model {
    fn prompt_tokens(&self, messages: &[Message]) -> Result<usize, Error> {
        Ok(self.tokenize(&Prompt::Messages(messages.to_vec()))?.len())
    }
}
