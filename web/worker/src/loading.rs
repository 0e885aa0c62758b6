use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use decoder::{Alone, CacheType, Comm, Config, Cpu, Gguf, Gpu, Loader, Shard};
use generate::{Generator, Outline};
use manifest::Manifest;
use protocol::{Cache, ErrorKind, Event, Failure, ModelInfo, Phase, RequestId, Source};
use web_sys::{DedicatedWorkerGlobalScope, File};
use web_time::{Duration, Instant};

use crate::{
    download::{Downloader, Wanted},
    failure,
    helpers::{Helpers, Team},
    http,
    part::{Part, PartReader},
    post,
    shared_comm::SharedComm,
    split,
    stop::Stop,
    turn::Turn,
    verify::{self, Entry, Verifier},
};

/// Bytes of tensors between two reports of progress.
const REPORT: u64 = 1 << 20;
/// How long the event loop waits at most: a wish to stop is among what it brings.
const PATIENCE: Duration = Duration::from_millis(40);
/// What loading a model needs to know.
pub struct Loading<'a> {
    /// The request.
    pub id: RequestId,
    /// The worker.
    pub scope: &'a DedicatedWorkerGlobalScope,
    /// Lets messages in.
    pub turn: &'a Turn,
    /// May end it all.
    pub stop: &'a Rc<Stop>,
    /// Who shall share the model.
    pub team: Team,
    /// How keys and values are kept.
    pub cache: Cache,
    /// Takes the model in the place of all workers.
    pub gpu: Option<Gpu>,
}

/// A model whose header is read.
pub struct Opened {
    parts: Vec<Part>,
    /// Adapters that belong to the model, by name.
    pub adapters: Vec<(String, Part)>,
    source: Vec<PartReader>,
    gguf: Gguf,
    /// Until the weights are there.
    outline: Option<Outline>,
    file_name: String,
}

/// A model that is ready; the helpers end with it.
pub struct Loaded {
    /// Holds this worker's shard.
    pub generator: Generator,
    /// Hold the others.
    pub helpers: Option<Helpers>,
    /// Names of the adapters beside it, in the order of their numbers.
    pub adapters: Vec<String>,
    /// What does not change with adapters.
    pub facts: ModelInfo,
}

impl Loading<'_> {
    /// Downloads what must be downloaded and reads the header.
    ///
    /// # Errors
    /// What is there is no model that this engine can run, or it cannot be fetched.
    pub async fn open(&self, source: Source, files: &[File]) -> Result<Opened, Failure> {
        let (parts, adapters, file_name) = match source {
            Source::Url { url, stream } => {
                let progress = |phase, done, total| self.report(phase, done, total);
                let parts = self.downloader(&progress).parts(&url, stream).await?;
                (parts, Vec::new(), http::file_name(&url).to_owned())
            }
            Source::Files => {
                let (parts, name) = in_order(files)?;
                (parts, Vec::new(), name)
            }
            Source::Folder { manifest, url, stream } => {
                let mut parts = self.folder(&manifest, url.as_deref(), stream, files).await?;
                let adapters = parts.split_off(manifest.model.len());
                let names = manifest.adapters.into_iter().map(|adapter| adapter.name);
                (parts, names.zip(adapters).collect(), manifest.name)
            }
        };
        let mut source = PartReader::open_all(parts.clone()).await?;
        let mut gguf = Gguf::read_parts(&mut source).map_err(|error| failure::from_load_error(&error))?;
        if gguf.get_str("general.type").is_ok_and(|kind| kind == Some("adapter")) {
            let words = format!("{file_name} is a LoRA adapter; load its base model first, then the adapter");
            return Err(Failure::new(ErrorKind::AdapterAlone, words));
        }
        let outline = Outline::from_gguf(&gguf).map_err(|error| failure::from_error(&error))?;
        gguf.forget_tokenizer();
        Ok(Opened { parts, adapters, source, gguf, outline: Some(outline), file_name })
    }

    /// The model's parts and then the adapters, each as the manifest wants it.
    async fn folder(
        &self,
        manifest: &Manifest,
        url: Option<&str>,
        stream: bool,
        files: &[File],
    ) -> Result<Vec<Part>, Failure> {
        let chunk_bytes = manifest.chunk_bytes;
        let entries: Vec<Entry> = manifest.weights().cloned().map(|file| Entry { file, chunk_bytes }).collect();
        if let Some(folder) = url {
            let wanted = entries
                .into_iter()
                .map(|entry| Wanted { url: http::in_folder(folder, &entry.file.name), entry: Some(entry) });
            let progress = |phase, done, total| self.report(phase, done, total);
            return self.downloader(&progress).files(wanted.collect(), stream).await;
        }
        if entries.len() != files.len() {
            let words = format!("{} files were given for the {} of the manifest", files.len(), entries.len());
            return Err(Failure::new(ErrorKind::InvalidRequest, words));
        }
        let total = entries.iter().map(|entry| entry.file.bytes).sum();
        let mut before = 0;
        for (entry, file) in entries.iter().zip(files) {
            verify::check_length(entry, file.size() as u64)?;
            let progress = |bytes| self.report(Phase::Check, before + bytes, Some(total));
            let verifier = Verifier { turn: self.turn, stop: self.stop, progress: &progress };
            if let Some(mismatch) = verifier.damaged_in(entry, file).await?.first() {
                return Err(verify::failure(mismatch, "copy or export the file again"));
            }
            before += entry.file.bytes;
        }
        Ok(files.iter().map(|file| Part::Blob(file.clone().into())).collect())
    }

    fn downloader<'a>(&'a self, progress: &'a dyn Fn(Phase, u64, Option<u64>)) -> Downloader<'a> {
        Downloader { scope: self.scope, turn: self.turn, stop: self.stop, progress }
    }

    /// Reads the weights, this worker's shard here and the others' in theirs, all at the same time.
    ///
    /// # Errors
    /// A shard cannot be loaded, or a worker broke down.
    pub async fn read(&self, mut opened: Opened, started: Instant) -> Result<Loaded, Failure> {
        let opened = &mut opened;
        let count = if self.gpu.is_some() { 1 } else { self.team.size(opened.bytes()) };
        let refuse = |error| failure::from_load_error(&error);
        let loader = match self.gpu.clone() {
            None => Loader::new(&opened.gguf, Shard::new(0, count)),
            Some(gpu) => Loader::on_gpu(&opened.gguf, gpu),
        };
        let mut loader = loader.map_err(refuse)?;
        let (helpers, comm): (_, Box<dyn Comm>) = match count {
            1 => (None, Box::new(Alone)),
            _ => {
                let (helpers, comm) = self.start_helpers(opened, count)?;
                (Some(helpers), Box::new(comm))
            }
        };
        let mut reported = 0;
        let mut report = |(loaded, total): (u64, u64)| {
            let (others, others_total) = helpers.as_ref().map_or((0, 0), Helpers::progress);
            if loaded + others - reported >= REPORT {
                reported = loaded + others;
                self.report(Phase::Read, reported, Some(total + others_total));
            }
        };
        let mut since = Instant::now();
        while loader.step(&mut opened.source).map_err(refuse)?.is_continue() {
            let progress = loader.progress();
            report((progress.loaded, progress.total));
            if since.elapsed() >= PATIENCE {
                self.turn.pass().await?;
                self.stop.check()?;
                if let Some(Err(failure)) = helpers.as_ref().and_then(Helpers::outcome) {
                    return Err(failure);
                }
                since = Instant::now();
            }
        }
        let own = loader.progress();
        let outline = opened.outline.take().ok_or_else(|| Failure::new(ErrorKind::Other, "a model is read once"))?;
        let model = outline.with_weights(loader.finish());
        if let Some(helpers) = &helpers {
            let look = || {
                report((own.loaded, own.total));
                helpers.outcome()
            };
            self.stop.until(look).await??;
        }
        let generator = Generator::with_comm(Arc::new(model), comm, 0, cache_type(self.cache));
        let mut facts = ModelInfo { cache: self.cache, ..opened.describe(&generator, helpers.as_ref()) };
        if let Some(gpu) = &self.gpu {
            gpu.settled().await.map_err(|error| refuse(error.into()))?;
            gpu.verify(generator.model().weights()).await.map_err(|error| refuse(error.into()))?;
            (facts.cache, facts.backend) = (Cache::F16, format!("webgpu {}", gpu.name()).trim().to_owned());
        }
        let mut loaded = Loaded { generator, helpers, adapters: Vec::new(), facts };
        for (name, part) in std::mem::take(&mut opened.adapters) {
            let added;
            (loaded, added) = loaded.with_adapter(name, &part, self.stop).await?;
            added?;
        }
        loaded.facts.load_ms = started.elapsed().as_secs_f64() * 1e3;
        Ok(loaded)
    }

    fn start_helpers(&self, opened: &Opened, count: usize) -> Result<(Helpers, SharedComm), Failure> {
        let config = Config::from_gguf(&opened.gguf).map_err(|error| failure::from_load_error(&error))?;
        let capacity = decoder::comm_words(&config, count);
        let (stop, scope) = (Rc::clone(self.stop), self.scope.clone());
        let broken = move |failure: &Failure| post(&scope, &Event::Failed { id: None, failure: failure.clone() });
        Helpers::start(self.scope, count, capacity, self.cache, &opened.parts, move || stop.wake(), broken)
    }

    fn report(&self, phase: Phase, done: u64, total: Option<u64>) {
        post(self.scope, &Event::Progress { id: self.id, phase, done, total });
    }
}

impl Opened {
    fn bytes(&self) -> u64 {
        self.parts.iter().map(Part::bytes).sum()
    }

    /// The facts of a model, for people.
    fn describe(&self, generator: &Generator, helpers: Option<&Helpers>) -> ModelInfo {
        let model = generator.model();
        let mut elements_of_type = BTreeMap::<String, u64>::new();
        for tensor in self.gguf.tensors().values() {
            let elements = tensor.shape.iter().fold(1, |product: u64, &n| product.saturating_mul(n));
            *elements_of_type.entry(tensor.dtype.to_string()).or_default() += elements;
        }
        let parameters = elements_of_type.values().sum();
        let most = elements_of_type.into_iter().max_by_key(|&(_, elements)| elements);
        ModelInfo {
            name: model.name().map_or_else(|| self.file_name.clone(), str::to_owned),
            architecture: model.config().architecture.clone(),
            parameters,
            quantization: most.map(|(name, _)| name).unwrap_or_default(),
            context: generator.context(),
            bytes: self.bytes(),
            cache_bytes: generator.cache_bytes(),
            workers: 1 + helpers.map_or(0, Helpers::count) as u32,
            backend: format!("cpu {}", Cpu::detect().name()),
            ..ModelInfo::default()
        }
    }
}

/// What the decoder calls it.
pub fn cache_type(cache: Cache) -> CacheType {
    match cache {
        Cache::F32 => CacheType::F32,
        Cache::F16 => CacheType::F16,
        Cache::Q8 => CacheType::Q8,
    }
}

/// The files of a model in the order of its parts, and the name of the first.
fn in_order(files: &[File]) -> Result<(Vec<Part>, String), Failure> {
    let names: Vec<String> = files.iter().map(File::name).collect();
    let order = split::order(&names).map_err(|words| Failure::new(ErrorKind::InvalidRequest, words))?;
    let parts = order.iter().map(|&index| Part::Blob(files[index].clone().into())).collect();
    Ok((parts, names[order[0]].clone()))
}
