use super::{Local, OpenAi, Secret, Teacher, TeacherError};
use std::{env, path::Path, str::FromStr, time::Duration};

/// A teacher as the command line names it: `PLACE,name=value,…`.
///
/// `PLACE` is the address of an OpenAI-compatible server up to and with `/v1`, or a GGUF file.
#[derive(Clone, Debug, PartialEq)]
pub struct TeacherSpec {
    /// Address or file.
    pub place: String,
    /// The model's name at the server.
    pub model: Option<String>,
    /// A LoRA as GGUF, on a file.
    pub adapter: Option<String>,
    /// The name of a layout of chats, in place of the file's own.
    pub template: Option<String>,
    /// The environment variable that holds the key. A key itself is never an argument.
    pub key_env: Option<String>,
    /// Share of the requests, beside other teachers.
    pub weight: u32,
    /// Most requests under way at once.
    pub concurrency: usize,
    /// Most requests a minute.
    pub requests_per_minute: Option<u32>,
    /// Most tokens a minute, prompt and reply together.
    pub tokens_per_minute: Option<u32>,
    /// Price of a million tokens of prompts.
    pub input_price: f64,
    /// Price of a million tokens of replies.
    pub output_price: f64,
    /// Seconds until a request is given up.
    pub timeout: f64,
}

/// Why a teacher's description is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SpecError {
    /// A name that is none of ours.
    #[error("unknown setting \"{found}\"; there are {}", NAMES.join(", "))]
    Unknown {
        /// The name found.
        found: String,
    },
    /// A value that cannot be.
    #[error("{name} is \"{found}\", expected {expected}")]
    Value {
        /// Of which setting.
        name: &'static str,
        /// The value found.
        found: String,
        /// What it must be.
        expected: &'static str,
    },
    /// A server needs to be told the model.
    #[error("no model=NAME for the server {place}")]
    NoModel {
        /// The server.
        place: String,
    },
}

const NAMES: [&str; 11] = [
    "model",
    "adapter",
    "template",
    "key-env",
    "weight",
    "concurrency",
    "rpm",
    "tpm",
    "input-price",
    "output-price",
    "timeout",
];

impl FromStr for TeacherSpec {
    type Err = SpecError;

    fn from_str(text: &str) -> Result<TeacherSpec, SpecError> {
        let mut parts = text.split(',').map(str::trim);
        let place = parts.next().unwrap_or_default().to_string();
        let mut spec = TeacherSpec {
            concurrency: if is_address(&place) { 16 } else { 1 },
            place,
            model: None,
            adapter: None,
            template: None,
            key_env: None,
            weight: 1,
            requests_per_minute: None,
            tokens_per_minute: None,
            input_price: 0.0,
            output_price: 0.0,
            timeout: 120.0,
        };
        for part in parts {
            let (found, value) = part.split_once('=').unwrap_or((part, ""));
            let name = NAMES.into_iter().find(|&name| name == found);
            let name = name.ok_or_else(|| SpecError::Unknown { found: found.to_string() })?;
            spec.set(name, value.trim())?;
        }
        if is_address(&spec.place) && spec.model.is_none() {
            return Err(SpecError::NoModel { place: spec.place });
        }
        Ok(spec)
    }
}

impl TeacherSpec {
    fn set(&mut self, name: &'static str, value: &str) -> Result<(), SpecError> {
        match name {
            "model" => self.model = Some(parse(name, value, "a name", |value: &String| !value.is_empty())?),
            "adapter" => self.adapter = Some(parse(name, value, "a file", |value: &String| !value.is_empty())?),
            "template" => self.template = Some(parse(name, value, "a name", |value: &String| !value.is_empty())?),
            "key-env" => {
                // A key in the place of its variable's name must not be repeated in the error.
                let is_name = value.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
                if !is_name || value.is_empty() {
                    let found = "…".to_string();
                    return Err(SpecError::Value { name, found, expected: "the name of an environment variable" });
                }
                self.key_env = Some(value.to_string());
            }
            "weight" => self.weight = parse(name, value, "1 or more", |&value| value > 0)?,
            "concurrency" => self.concurrency = parse(name, value, "1 or more", |&value| value > 0)?,
            "rpm" => self.requests_per_minute = Some(parse(name, value, "1 or more", |&value| value > 0)?),
            "tpm" => self.tokens_per_minute = Some(parse(name, value, "1 or more", |&value| value > 0)?),
            "input-price" => self.input_price = parse(name, value, "0 or more", |value: &f64| is_amount(*value))?,
            "output-price" => self.output_price = parse(name, value, "0 or more", |value: &f64| is_amount(*value))?,
            _ => {
                let fits = |value: &f64| is_amount(*value) && *value > 0.0 && *value <= 86_400.0;
                self.timeout = parse(name, value, "seconds, above 0, at most a day", fits)?;
            }
        }
        Ok(())
    }

    /// Is it a server, and not a file?
    pub fn is_server(&self) -> bool {
        is_address(&self.place)
    }

    /// Loads the model file that it names.
    ///
    /// # Errors
    /// As [`Local::open`].
    pub fn open_file(&self) -> Result<Local, TeacherError> {
        Local::open(Path::new(&self.place), self.adapter.as_deref().map(Path::new), self.template.as_deref())
    }

    /// Opens the teacher; reads the key from the environment.
    ///
    /// # Errors
    /// The variable is not set, the file is no usable model.
    pub fn open(&self) -> Result<Box<dyn Teacher>, TeacherError> {
        if !self.is_server() {
            return Ok(Box::new(self.open_file()?));
        }
        let key = match &self.key_env {
            None => Secret::default(),
            Some(name) => Secret::new(env::var(name).map_err(|_| TeacherError::Unusable {
                reason: format!("the environment variable {name} is not set; it should hold the key"),
            })?),
        };
        let model = self.model.as_deref().unwrap_or_default();
        Ok(Box::new(OpenAi::new(&self.place, model, key, Duration::from_secs_f64(self.timeout))?))
    }
}

fn is_address(place: &str) -> bool {
    place.starts_with("http://") || place.starts_with("https://")
}

fn is_amount(value: f64) -> bool {
    value.is_finite() && value >= 0.0
}

fn parse<T: FromStr>(
    name: &'static str,
    value: &str,
    expected: &'static str,
    fits: impl Fn(&T) -> bool,
) -> Result<T, SpecError> {
    let refused = || SpecError::Value { name, found: value.to_string(), expected };
    value.parse().ok().filter(fits).ok_or_else(refused)
}
