use decoder::{ForwardError, LoadError};
use generate::Error;
use js_sys::Reflect;
use protocol::{ErrorKind, Failure, TokenLimit};
use wasm_bindgen::JsValue;

/// What the page is told of an error.
pub fn from_error(error: &Error) -> Failure {
    let kind = match error {
        Error::Load(error) => load_kind(error),
        Error::Forward(ForwardError::OutOfMemory { .. }) => ErrorKind::OutOfMemory,
        Error::Forward(ForwardError::Disconnected(_)) => ErrorKind::Crashed,
        Error::Forward(ForwardError::Gpu(_)) => ErrorKind::Gpu,
        Error::Tokenizer { .. } | Error::VocabularySize { .. } | Error::Template { .. } => ErrorKind::UnusableModel,
        Error::Option { .. } | Error::EmptyPrompt => ErrorKind::InvalidRequest,
        Error::PromptTooLong { .. } => ErrorKind::PromptTooLong,
        _ => ErrorKind::Other,
    };
    let tokens = match *error {
        Error::PromptTooLong { needed, context } => Some(TokenLimit { needed, context }),
        _ => None,
    };
    Failure { kind, message: error.to_string(), tokens }
}

/// As [`from_error`], for a model that is refused before its weights are read.
pub fn from_load_error(error: &LoadError) -> Failure {
    Failure::new(load_kind(error), error.to_string())
}

/// As [`from_error`], for an adapter: what does not fit the model is another model's.
pub fn from_adapter_error(error: &Error) -> Failure {
    let mut failure = from_error(error);
    if matches!(failure.kind, ErrorKind::UnusableModel | ErrorKind::UnsupportedArchitecture) {
        failure.kind = ErrorKind::WrongAdapter;
    }
    failure
}

fn load_kind(error: &LoadError) -> ErrorKind {
    match error {
        LoadError::NotGguf { .. } => ErrorKind::NotGguf,
        LoadError::Truncated { .. } => ErrorKind::Truncated,
        LoadError::Architecture { .. } => ErrorKind::UnsupportedArchitecture,
        LoadError::OutOfMemory { .. } => ErrorKind::OutOfMemory,
        LoadError::Cancelled => ErrorKind::Cancelled,
        LoadError::Gpu(_) => ErrorKind::Gpu,
        LoadError::Io(_) => ErrorKind::Other,
        _ => ErrorKind::UnusableModel,
    }
}

/// The words of a thrown JavaScript value.
pub fn js_message(thrown: &JsValue) -> String {
    let message = Reflect::get(thrown, &"message".into()).ok().and_then(|message| message.as_string());
    message.or_else(|| thrown.as_string()).unwrap_or_else(|| format!("{thrown:?}"))
}
