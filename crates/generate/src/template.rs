use decoder::Gguf;
use minijinja::{
    Environment, Error as JinjaError, ErrorKind, Value, context,
    syntax::SyntaxConfig,
    value::{Kwargs, Serde},
};
use serde::{Deserialize, Serialize};

use crate::{Error, ROCIT_TEMPLATE, Tokenizer, strftime::now};

/// One message of a conversation, as chat templates know it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`; some templates know more.
    pub role: String,
    /// The text.
    pub content: String,
}

impl Message {
    /// A message of any role.
    pub fn new(role: impl Into<String>, content: impl Into<String>) -> Self {
        Self { role: role.into(), content: content.into() }
    }

    /// A system instruction.
    pub fn system(content: impl Into<String>) -> Self {
        Self::new("system", content)
    }

    /// What the user says.
    pub fn user(content: impl Into<String>) -> Self {
        Self::new("user", content)
    }

    /// What the model said.
    pub fn assistant(content: impl Into<String>) -> Self {
        Self::new("assistant", content)
    }
}

/// A Jinja chat template in the dialect of Hugging Face tokenizers.
#[derive(Debug)]
pub struct ChatTemplate {
    environment: Environment<'static>,
    bos_token: String,
    eos_token: String,
    thinking: Option<bool>,
}

const NAME: &str = "chat_template";

impl ChatTemplate {
    /// Compiles a template.
    ///
    /// # Errors
    /// [`Error::Template`] with the line of the syntax error.
    pub fn new(source: &str, bos_token: &str, eos_token: &str) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build().map_err(failed)?);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.add_function("raise_exception", raise_exception);
        environment.add_function("strftime_now", |format: String| now(&format));
        environment.add_filter("tojson", to_json);
        environment.add_template_owned(NAME, without_generation_tags(source)).map_err(failed)?;
        Ok(Self { environment, bos_token: bos_token.to_owned(), eos_token: eos_token.to_owned(), thinking: None })
    }

    /// Whether the model thinks before it replies, for templates that ask (`enable_thinking`); each has its own default.
    pub fn set_thinking(&mut self, thinking: bool) {
        self.thinking = Some(thinking);
    }

    /// The model's own template (`tokenizer.chat_template`), or [`ROCIT_TEMPLATE`].
    ///
    /// # Errors
    /// The model's template does not compile.
    pub fn from_gguf(gguf: &Gguf, tokenizer: &Tokenizer) -> Result<Self, Error> {
        let source = gguf.get_str("tokenizer.chat_template")?.unwrap_or(ROCIT_TEMPLATE);
        Self::new(source, tokenizer.bos_text(), tokenizer.eos_text())
    }

    /// Renders a conversation, with `add_generation_prompt` up to where the model's reply begins.
    ///
    /// # Errors
    /// [`Error::Template`], for instance if the template insists on alternating roles.
    pub fn render<M: Serialize>(&self, messages: &[M], add_generation_prompt: bool) -> Result<String, Error> {
        let template = self.environment.get_template(NAME).map_err(failed)?;
        let messages = Value::from(Serde(messages));
        let (bos_token, eos_token) = (&self.bos_token, &self.eos_token);
        // A template that has a default asks whether the variable is defined.
        let thinking = self.thinking.map(|thinking| context! { enable_thinking => thinking }).unwrap_or_default();
        template.render(context! { messages, add_generation_prompt, bos_token, eos_token, ..thinking }).map_err(failed)
    }
}

/// `{% generation %}` marks what a model is trained on; for prompts it is a block like any other.
fn without_generation_tags(source: &str) -> String {
    let mut parts = source.split("{%");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (tag, rest) = part.split_once("%}").unwrap_or((part, ""));
        let tag = match tag.trim_matches(['-', '+', ' ']) {
            "generation" => tag.replace("generation", "if true"),
            "endgeneration" => tag.replace("endgeneration", "endif"),
            _ => tag.to_owned(),
        };
        let end = if part.contains("%}") { "%}" } else { "" };
        out = out + "{%" + &tag + end + rest;
    }
    out
}

#[expect(clippy::needless_pass_by_value, reason = "the form that map_err takes")]
fn failed(error: JinjaError) -> Error {
    // The error's alternative form spans several lines with the source around them.
    let reason = error.to_string().lines().collect::<Vec<_>>().join(" ");
    Error::Template { reason }
}

fn raise_exception(message: String) -> Result<Value, JinjaError> {
    Err(JinjaError::new(ErrorKind::InvalidOperation, message))
}

/// Python's `json.dumps`, which unlike minijinja's own filter escapes nothing for HTML.
#[expect(clippy::needless_pass_by_value, reason = "the form that minijinja takes")]
fn to_json(value: &Value, options: Kwargs) -> Result<String, JinjaError> {
    let indent: Option<usize> = options.get("indent")?;
    let failed = |error: serde_json::Error| JinjaError::new(ErrorKind::BadSerialization, error.to_string());
    let mut out = Vec::new();
    match indent {
        Some(width) => {
            let indent = " ".repeat(width);
            let formatter = serde_json::ser::PrettyFormatter::with_indent(indent.as_bytes());
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, formatter)).map_err(failed)?;
        }
        None => {
            value.serialize(&mut serde_json::Serializer::with_formatter(&mut out, PythonSpacing)).map_err(failed)?;
        }
    }
    options.assert_all_used()?;
    Ok(String::from_utf8_lossy(&out).into_owned())
}

/// Python separates by `", "` and `": "`.
struct PythonSpacing;

impl serde_json::ser::Formatter for PythonSpacing {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}
