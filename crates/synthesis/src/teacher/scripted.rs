use super::{Reply, Replying, Teacher, TeacherError};
use crate::{Request, estimate_tokens};
use std::fmt;

type Script = dyn Fn(&Request) -> Result<String, TeacherError> + Send + Sync;

/// A teacher whose answers are a function of the request.
pub struct Scripted {
    model: String,
    script: Box<Script>,
}

impl Scripted {
    /// A teacher that calls itself `model` and answers by `script`.
    pub fn new(
        model: &str,
        script: impl Fn(&Request) -> Result<String, TeacherError> + Send + Sync + 'static,
    ) -> Scripted {
        Scripted { model: model.to_string(), script: Box::new(script) }
    }
}

impl fmt::Debug for Scripted {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Scripted").field("model", &self.model).finish_non_exhaustive()
    }
}

impl Teacher for Scripted {
    fn model(&self) -> &str {
        &self.model
    }

    fn ask<'a>(&'a self, request: &'a Request) -> Replying<'a> {
        Box::pin(async {
            let text = (self.script)(request)?;
            let reply_tokens = estimate_tokens(&text);
            Ok(Reply { text, prompt_tokens: request.estimated_tokens(), reply_tokens, complete: true })
        })
    }
}
