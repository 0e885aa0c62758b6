//! LoRA adapters that are read beside a loaded model, in every worker.

use std::sync::Arc;

use decoder::{Alone, Comm};
use generate::{Generator, Model};
use protocol::{ErrorKind, Failure, ModelInfo};

use crate::{
    failure,
    helpers::Helpers,
    loading::{Loaded, cache_type},
    part::{self, Part, PartReader},
    stop::Stop,
};

impl Loaded {
    /// The model with another adapter, or as it was and why it has none; its context begins anew. It cannot end half-way:
    /// all workers have the same adapters in the same order.
    ///
    /// # Errors
    /// A worker broke down, and the model is gone.
    pub async fn with_adapter(
        mut self,
        name: String,
        part: &Part,
        stop: &Stop,
    ) -> Result<(Self, Result<(), Failure>), Failure> {
        if self.adapters.contains(&name) {
            let words = format!("there is an adapter {name:?} already; give the other one another name");
            return Ok((self, Err(Failure::new(ErrorKind::InvalidRequest, words))));
        }
        let in_use = || Failure::new(ErrorKind::Crashed, "the model is still being used");
        // The helpers' contexts end with this one, and they wait for an order.
        let mut model = self.generator.into_model().ok_or_else(in_use)?;
        let added = read(&mut model, part).await;
        let comm: Box<dyn Comm> = match &self.helpers {
            None => Box::new(Alone),
            Some(helpers) => {
                let comm = helpers.resume(added.is_ok().then_some(part))?;
                stop.wait(|| helpers.outcome()).await?;
                Box::new(comm)
            }
        };
        if added.is_ok() {
            self.adapters.push(name);
        }
        let generator = Generator::with_comm(Arc::new(model), comm, 0, cache_type(self.facts.cache));
        Ok((Self { generator, ..self }, added))
    }

    /// Puts an adapter on the model, by its name, or takes it off.
    ///
    /// # Errors
    /// There is no such adapter.
    pub fn use_adapter(&mut self, name: Option<&str>) -> Result<(), Failure> {
        let place = |name: &str| {
            let number = self.adapters.iter().position(|adapter| adapter == name);
            let known = if self.adapters.is_empty() { "none".to_owned() } else { self.adapters.join(", ") };
            let words = || format!("no adapter is called {name:?}; there are: {known}");
            number.ok_or_else(|| Failure::new(ErrorKind::InvalidRequest, words()))
        };
        let number = name.map(place).transpose()?;
        self.generator.use_adapter(number).map_err(|error| failure::from_error(&error))
    }

    /// The facts of the model as it is now, for people.
    pub fn describe(&self) -> ModelInfo {
        let others = self.helpers.as_ref().map_or(0, Helpers::memory);
        let weight_bytes = self.generator.model().weights().memory_bytes() + others;
        ModelInfo { weight_bytes, adapters: self.adapters.clone(), ..self.facts.clone() }
    }
}

async fn read(model: &mut Model, part: &Part) -> Result<(), Failure> {
    let mut reader = PartReader::open(part.clone()).await?;
    let gguf = part::read_header(&mut reader)?;
    model.add_adapter(&gguf, &mut reader).map_err(|error| failure::from_adapter_error(&error)).map(drop)
}
