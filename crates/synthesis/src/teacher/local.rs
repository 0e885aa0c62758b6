//! A GGUF file as a teacher, on a thread of its own.

use super::{Reply, Replying, Teacher, TeacherError};
use crate::Request;
use decoder::{CacheType, Gguf, load_threaded_with_adapters};
use generate::{Error, Generator, Message, Options, Outline, Prompt, StopReason};
use roles::Speaker;
use std::{
    fs::File,
    io,
    num::NonZero,
    ops::ControlFlow,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
};
use tokio::sync::{mpsc, oneshot};

/// A model file on this machine. It answers one request after the other.
#[derive(Debug)]
pub struct Local {
    model: String,
    context: usize,
    asked: mpsc::UnboundedSender<Asked>,
}

#[derive(Debug)]
struct Asked {
    messages: Vec<Message>,
    options: Options,
    reply: oneshot::Sender<Result<Reply, TeacherError>>,
}

impl Local {
    /// Loads a GGUF file of one part, and puts the LoRA of a second GGUF on it. `template` names a layout of chats that takes the
    /// place of the file's own.
    ///
    /// # Errors
    /// A file cannot be read, is no usable model, or is an adapter of another one; there is no such template.
    pub fn open(path: &Path, adapter: Option<&Path>, template: Option<&str>) -> Result<Local, TeacherError> {
        let (owned, owned_adapter) = (path.to_owned(), adapter.map(Path::to_owned));
        let owned_template = template.map(str::to_owned);
        let (asked, mut requests) = mpsc::unbounded_channel::<Asked>();
        let (loaded, context) = std::sync::mpsc::channel();
        // The generator stays on the thread that loads it.
        let work = move || {
            let mut generator = match load(&owned, owned_adapter, owned_template.as_deref()) {
                Ok(generator) => generator,
                Err(error) => return loaded.send(Err(error)).unwrap_or_default(),
            };
            loaded.send(Ok(generator.context())).unwrap_or_default();
            while let Some(Asked { messages, options, reply }) = requests.blocking_recv() {
                // Whoever asked may have given up.
                let _ = reply.send(answer(&mut generator, messages, options));
            }
        };
        let gone = |reason: String| TeacherError::Unusable { reason };
        thread::Builder::new().name("teacher".into()).spawn(work).map_err(|error| gone(error.to_string()))?;
        let context = context.recv().map_err(|_| gone("the local model's thread has ended".into()))??;
        // All that decides an answer is in the name, by which answers are remembered.
        let mut model = file_name(path);
        model.extend(adapter.map(|adapter| format!("+{}", file_name(adapter))));
        model.extend(template.map(|name| format!("@{name}")));
        Ok(Local { model, context, asked })
    }
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn load(path: &Path, adapter: Option<PathBuf>, template: Option<&str>) -> Result<Generator, TeacherError> {
    let unusable =
        |error: &dyn std::fmt::Display| TeacherError::Unusable { reason: format!("{error}: {}", path.display()) };
    let mut file = File::open(path).map_err(|error| unusable(&error))?;
    let gguf = Gguf::read(&mut file).map_err(|error| unusable(&error))?;
    let outline = Outline::from_gguf(&gguf).map_err(|error| unusable(&error))?;
    let owned = path.to_owned();
    let open = move || File::open(&owned).map(|file| vec![file]) as io::Result<Vec<File>>;
    let adapted = adapter.is_some();
    let open_adapters = move || adapter.iter().map(File::open).collect::<io::Result<Vec<_>>>();
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let (cache_type, mut go_on) = (CacheType::default(), |_| ControlFlow::Continue(()));
    let loaded = load_threaded_with_adapters(&gguf, open, open_adapters, threads, cache_type, &mut go_on);
    let (weights, comm) = loaded.map_err(|error| unusable(&error))?;
    let mut model = outline.with_weights(weights);
    if let Some(name) = template {
        model.use_template(name).map_err(|error| unusable(&error))?;
    }
    let mut generator = Generator::with_comm(Arc::new(model), comm, 0, cache_type);
    if adapted {
        generator.use_adapter(Some(0)).map_err(|error| unusable(&error))?;
    }
    Ok(generator)
}

fn answer(generator: &mut Generator, messages: Vec<Message>, options: Options) -> Result<Reply, TeacherError> {
    let refused = |error: Error| TeacherError::Refused { reason: error.to_string() };
    generator.start(&Prompt::Messages(messages), options).map_err(refused)?;
    while generator.step().map_err(refused)?.is_some() {}
    let outcome = generator.finish();
    Ok(Reply {
        text: outcome.text,
        prompt_tokens: outcome.prompt_tokens as u64,
        reply_tokens: outcome.tokens as u64,
        complete: matches!(outcome.stop, StopReason::EndOfText | StopReason::StopSequence),
    })
}

impl Teacher for Local {
    fn model(&self) -> &str {
        &self.model
    }

    fn context(&self) -> Option<usize> {
        Some(self.context)
    }

    fn ask<'a>(&'a self, request: &'a Request) -> Replying<'a> {
        Box::pin(async {
            let messages = request.messages.iter().map(|message| match message.speaker {
                Speaker::System => Message::system(message.content.as_str()),
                Speaker::User => Message::user(message.content.as_str()),
                Speaker::Assistant => Message::assistant(message.content.as_str()),
            });
            let options = Options {
                temperature: request.sampling.temperature,
                top_k: 0,
                top_p: request.sampling.top_p,
                min_p: 0.0,
                repetition_penalty: 1.0,
                seed: request.key(&self.model).seed(),
                max_tokens: request.sampling.max_tokens as usize,
                ..Options::default()
            };
            let (reply, answered) = oneshot::channel();
            let gone = |_| TeacherError::Unusable { reason: "the local model's thread has ended".to_string() };
            self.asked.send(Asked { messages: messages.collect(), options, reply }).map_err(|_| gone(()))?;
            answered.await.map_err(|_| gone(()))?
        })
    }
}
