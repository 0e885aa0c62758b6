//! A GGUF file as a teacher, on a thread of its own.

use super::{Reply, Replying, Teacher, TeacherError};
use crate::Request;
use decoder::{CacheType, Gguf, load_threaded};
use generate::{Error, Generator, Message, Options, Outline, Prompt, StopReason};
use roles::Speaker;
use std::{fs::File, io, num::NonZero, ops::ControlFlow, path::Path, sync::Arc, thread};
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
    /// Loads a GGUF file of one part.
    ///
    /// # Errors
    /// The file cannot be read or is no usable model.
    pub fn open(path: &Path) -> Result<Local, TeacherError> {
        let owned = path.to_owned();
        let (asked, mut requests) = mpsc::unbounded_channel::<Asked>();
        let (loaded, context) = std::sync::mpsc::channel();
        // The generator stays on the thread that loads it.
        let work = move || {
            let mut generator = match load(&owned) {
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
        let model = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(Local { model, context, asked })
    }
}

fn load(path: &Path) -> Result<Generator, TeacherError> {
    let unusable =
        |error: &dyn std::fmt::Display| TeacherError::Unusable { reason: format!("{error}: {}", path.display()) };
    let mut file = File::open(path).map_err(|error| unusable(&error))?;
    let gguf = Gguf::read(&mut file).map_err(|error| unusable(&error))?;
    let outline = Outline::from_gguf(&gguf).map_err(|error| unusable(&error))?;
    let owned = path.to_owned();
    let open = move || File::open(&owned).map(|file| vec![file]) as io::Result<Vec<File>>;
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let loaded = load_threaded(&gguf, open, threads, CacheType::default(), &mut |_| ControlFlow::Continue(()));
    let (weights, comm) = loaded.map_err(|error| unusable(&error))?;
    Ok(Generator::with_comm(Arc::new(outline.with_weights(weights)), comm, 0, CacheType::default()))
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
