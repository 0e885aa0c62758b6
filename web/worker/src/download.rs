use js_sys::{Reflect, Uint8Array};
use manifest::Mismatch;
use protocol::{ErrorKind, Failure, Phase};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::{DedicatedWorkerGlobalScope, Request, RequestCache, RequestInit, Response};

use crate::{
    blobs::{Pieces, with_bytes_at},
    body::Body,
    failure::js_message,
    http,
    part::{Part, Remote},
    split,
    stop::Stop,
    storage::{Storage, Unfinished},
    turn::Turn,
    verify::{self, Entry, Verifier},
};

/// Bytes between two reports of progress.
const REPORT: u64 = 256 << 10;

/// Fetches files, each once and for all visits.
pub struct Downloader<'a> {
    /// The worker.
    pub scope: &'a DedicatedWorkerGlobalScope,
    /// Lets messages in.
    pub turn: &'a Turn,
    /// Ends a download.
    pub stop: &'a Stop,
    /// Hears what is being done, the bytes so far and, where the servers say so, altogether.
    pub progress: &'a dyn Fn(Phase, u64, Option<u64>),
}

/// A file on a server.
pub struct Wanted {
    /// Its address.
    pub url: String,
    /// What it must be, where a manifest says so.
    pub entry: Option<Entry>,
}

/// What a server answered for a part, before its bytes.
struct Found {
    url: String,
    entry: Option<Entry>,
    /// The length, where the server says it.
    bytes: Option<u64>,
    validator: Option<String>,
    /// Its body is not read yet.
    response: Option<Response>,
}

/// Where the bytes of a download go.
enum Place {
    Disk(Storage),
    Memory,
    /// They stay where they are.
    Server,
}

impl Downloader<'_> {
    /// The parts of the model at `url`: see [`Self::files`].
    ///
    /// # Errors
    /// As there.
    pub async fn parts(&self, url: &str, stream: bool) -> Result<Vec<Part>, Failure> {
        let wanted = split::all_parts(url).into_iter().map(|url| Wanted { url, entry: None });
        self.files(wanted.collect(), stream).await
    }

    /// The files, in order, each downloaded or, with `stream`, left on the server.
    ///
    /// # Errors
    /// No connection, a status other than success, a page of HTML instead of a file, no room, a chunk that is damaged also
    /// when it is fetched once more, a wish to stop.
    pub async fn files(&self, wanted: Vec<Wanted>, stream: bool) -> Result<Vec<Part>, Failure> {
        let mut found = Vec::new();
        for wanted in wanted {
            // Later parts wait without a connection: browsers open only a few to one server.
            let keep = found.is_empty();
            found.push(self.look(wanted, keep).await?);
        }
        let total: Option<u64> = found.iter().map(|part| part.bytes).sum();
        let storage = if stream { None } else { Storage::open(self.scope).await };
        let mut parts: Vec<Option<Part>> = Vec::new();
        for part in &found {
            let file = match (&storage, part.remote()) {
                (Some(storage), Some(remote)) => storage.find(&remote).await,
                _ => None,
            };
            parts.push(file.map(Part::Stored));
        }
        let missing: u64 =
            found.iter().zip(&parts).filter(|(_, part)| part.is_none()).filter_map(|(f, _)| f.bytes).sum();
        let place = if missing == 0 && parts.iter().all(Option::is_some) {
            Place::Memory
        } else {
            self.place(&found[0], missing, storage, stream).await?
        };
        let mut done = 0;
        let mut result = Vec::new();
        for (found, part) in found.into_iter().zip(parts) {
            let part = match part {
                Some(part) => {
                    found.forget();
                    part
                }
                None => self.fetch(found, &place, done, total).await?,
            };
            done += part.bytes();
            (self.progress)(Phase::Download, done, total);
            result.push(part);
        }
        Ok(result)
    }

    /// Asks for a file and reads what the server says of it; its bytes are left for later where `keep` says so.
    async fn look(&self, Wanted { url, entry }: Wanted, keep: bool) -> Result<Found, Failure> {
        let response = self.get(&url, None).await?;
        refuse_what_is_no_file(&url, &response)?;
        let validator = http::validator(|name| http::header(&response, name));
        let bytes = http::content_length(&response);
        if let (Some(entry), Some(bytes)) = (&entry, bytes)
            && let Err(failure) = verify::check_length(entry, bytes)
        {
            cancel(&response);
            return Err(failure);
        }
        let bytes = bytes.or(entry.as_ref().map(|entry| entry.file.bytes));
        let found = Found { url, entry, bytes, validator, response: Some(response) };
        Ok(if keep { found } else { found.forget() })
    }

    /// A place with room for `missing` bytes.
    async fn place(
        &self,
        first: &Found,
        missing: u64,
        storage: Option<Storage>,
        stream: bool,
    ) -> Result<Place, Failure> {
        let free = storage.as_ref().map_or(0, Storage::room);
        let memory = self.memory() / 2;
        match storage {
            Some(storage) if missing < free => return Ok(Place::Disk(storage)),
            _ if !stream && missing < memory => return Ok(Place::Memory),
            _ => {}
        }
        if first.remote().is_some() && self.answers_ranges(&first.url).await {
            return Ok(Place::Server);
        }
        let url = &first.url;
        if stream {
            return Err(failure(url, "cannot be read piece by piece: its server does not answer ranges of bytes"));
        }
        let message = format!(
            "the model has {missing} bytes; the browser's storage takes {free}, its memory about {memory}, \
             and the server does not answer ranges of bytes"
        );
        Err(Failure::new(ErrorKind::NoRoom, message))
    }

    /// Bytes of memory, as far as the browser tells.
    fn memory(&self) -> u64 {
        let gigabytes = Reflect::get(&self.scope.navigator(), &"deviceMemory".into());
        let gigabytes = gigabytes.ok().and_then(|value| value.as_f64()).unwrap_or(4.0);
        (gigabytes * f64::from(1 << 30)) as u64
    }

    async fn answers_ranges(&self, url: &str) -> bool {
        let Ok(response) = self.get(url, Some("bytes=0-0")).await else { return false };
        cancel(&response);
        response.status() == 206
    }

    async fn fetch(&self, found: Found, place: &Place, before: u64, total: Option<u64>) -> Result<Part, Failure> {
        let remote = found.remote();
        match (place, remote) {
            (Place::Server, Some(remote)) => {
                found.forget();
                Ok(Part::Remote(remote))
            }
            (Place::Disk(storage), Some(remote)) => match storage.write(&remote).await {
                Ok(unfinished) => self.to_disk(found, unfinished, before, total).await,
                // As when another window is downloading the same file.
                Err(_) => self.to_memory(found, before, total).await,
            },
            _ => self.to_memory(found, before, total).await,
        }
    }

    async fn to_disk(
        &self,
        mut found: Found,
        mut file: Unfinished,
        before: u64,
        total: Option<u64>,
    ) -> Result<Part, Failure> {
        let full = |error: JsValue| {
            Failure::new(
                ErrorKind::NoRoom,
                format!("the browser's storage refused the download: {}", js_message(&error)),
            )
        };
        let is_complete = found.bytes == Some(file.written());
        if is_complete {
            found = found.forget();
        } else if file.written() > 0 {
            let url = found.url.clone();
            found = found.forget();
            let rest = self.get(&url, Some(&format!("bytes={}-", file.written()))).await?;
            // Not If-Range, which most servers do not allow other sites to send: the answer says which state it is of.
            let same = http::validator(|name| http::header(&rest, name)) == found.validator;
            if rest.status() == 206 && same {
                found.response = Some(rest);
            } else {
                cancel(&rest);
                file.restart().map_err(full)?;
            }
        }
        if !is_complete {
            let start = file.written();
            let response = self.response(&mut found).await?;
            let progress = |bytes| (self.progress)(Phase::Download, before + start + bytes, total);
            self.read(&found.url, Body::of(&response), progress, |chunk| file.push(chunk).map_err(full)).await?;
            found.refuse_other_length(file.written())?;
        }
        if let Some(entry) = &found.entry {
            let progress = |bytes| (self.progress)(Phase::Check, before + bytes, total);
            let damaged = self.verifier(&progress).damaged(entry, |range, bytes| file.read(range, bytes)).await?;
            for mismatch in damaged {
                let chunk = self.chunk_again(&found, entry, &mismatch).await?;
                file.write_at(entry.range(mismatch.index).start, &chunk).map_err(full)?;
            }
        }
        Ok(Part::Stored(file.finish().await.map_err(full)?))
    }

    async fn to_memory(&self, mut found: Found, before: u64, total: Option<u64>) -> Result<Part, Failure> {
        let response = self.response(&mut found).await?;
        let mut parts = Pieces::default();
        let progress = |bytes| (self.progress)(Phase::Download, before + bytes, total);
        self.read(&found.url, Body::to_keep(&response), progress, |chunk| parts.push(chunk)).await?;
        found.refuse_other_length(parts.bytes())?;
        let mut blob = parts.into_blob()?;
        if let Some(entry) = &found.entry {
            let progress = |bytes| (self.progress)(Phase::Check, before + bytes, total);
            for mismatch in self.verifier(&progress).damaged_in(entry, &blob).await? {
                let chunk = self.chunk_again(&found, entry, &mismatch).await?;
                blob = with_bytes_at(&blob, entry.range(mismatch.index), &chunk)?;
            }
        }
        Ok(Part::Blob(blob))
    }

    fn verifier<'a>(&'a self, progress: &'a dyn Fn(u64)) -> Verifier<'a> {
        Verifier { turn: self.turn, stop: self.stop, progress }
    }

    /// A damaged chunk, fetched once more, and nothing but it.
    async fn chunk_again(&self, found: &Found, entry: &Entry, mismatch: &Mismatch) -> Result<Uint8Array, Failure> {
        let range = entry.range(mismatch.index);
        let header = format!("bytes={}-{}", range.start, range.end - 1);
        let response = self.get(&found.url, Some(&header)).await?;
        if response.status() != 206 {
            cancel(&response);
            let remedy = "its server does not answer ranges of bytes, so the chunk cannot be fetched again alone";
            return Err(verify::failure(mismatch, remedy));
        }
        let body = response.array_buffer().map_err(|error| self.unreachable(&found.url, &error))?;
        let body = JsFuture::from(body).await.map_err(|error| self.unreachable(&found.url, &error))?;
        let chunk = Uint8Array::new(&body);
        let again = entry.file.check_chunk(mismatch.index, &chunk.to_vec());
        again
            .map_err(|mismatch| verify::failure(&mismatch, "it was fetched twice; export or upload the file again"))?;
        Ok(chunk)
    }

    /// The answer that is there, or another one.
    async fn response(&self, found: &mut Found) -> Result<Response, Failure> {
        match found.response.take() {
            Some(response) => Ok(response),
            None => {
                let response = self.get(&found.url, None).await?;
                refuse_what_is_no_file(&found.url, &response)?;
                Ok(response)
            }
        }
    }

    async fn read(
        &self,
        url: &str,
        body: Option<Body>,
        progress: impl Fn(u64),
        mut take: impl FnMut(&Uint8Array) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let mut body = body.ok_or_else(|| failure(url, "answered without content"))?;
        let (mut bytes, mut reported) = (0, 0);
        progress(0);
        while let Some(chunk) = body.next().await.map_err(|error| self.unreachable(url, &error))? {
            if let Err(failure) = self.stop.check().and_then(|()| take(&chunk)) {
                body.cancel();
                return Err(failure);
            }
            bytes += u64::from(chunk.length());
            if bytes - reported >= REPORT {
                reported = bytes;
                progress(bytes);
            }
        }
        Ok(())
    }

    async fn get(&self, url: &str, range: Option<&str>) -> Result<Response, Failure> {
        let options = RequestInit::new();
        options.set_signal(Some(&self.stop.signal()));
        // A model is stored once: not in the browser's cache too.
        options.set_cache(RequestCache::NoStore);
        let request = Request::new_with_str_and_init(url, &options).map_err(|error| self.unreachable(url, &error))?;
        if let Some(range) = range {
            request.headers().set("Range", range).map_err(|error| self.unreachable(url, &error))?;
        }
        let response = JsFuture::from(self.scope.fetch_with_request(&request)).await;
        Ok(response.map_err(|error| self.unreachable(url, &error))?.unchecked_into())
    }

    fn unreachable(&self, url: &str, error: &JsValue) -> Failure {
        if let Err(failure) = self.stop.check() {
            return failure;
        }
        let reason = js_message(error);
        failure(
            url,
            &format!(
                "cannot be downloaded ({reason}): no connection, or that server does not allow other sites (CORS)"
            ),
        )
    }
}

impl Found {
    fn remote(&self) -> Option<Remote> {
        let sha256 = self.entry.as_ref().map(|entry| entry.file.sha256);
        Some(Remote { url: self.url.clone(), bytes: self.bytes?, validator: self.validator.clone(), sha256 })
    }

    /// Ends the answer whose body nobody reads.
    fn forget(mut self) -> Self {
        if let Some(response) = self.response.take() {
            cancel(&response);
        }
        self
    }

    fn refuse_other_length(&self, bytes: u64) -> Result<(), Failure> {
        match self.bytes.filter(|&total| total != bytes) {
            Some(total) => Err(failure(&self.url, &format!("broke off after {bytes} of {total} bytes"))),
            None => Ok(()),
        }
    }
}

fn refuse_what_is_no_file(url: &str, response: &Response) -> Result<(), Failure> {
    if !response.ok() {
        cancel(response);
        return Err(failure(url, format!("answered {} {}", response.status(), response.status_text()).trim_end()));
    }
    let is_html = http::header(response, "content-type").is_some_and(|kind| kind.starts_with("text/html"));
    if is_html {
        cancel(response);
        return Err(failure(url, "answered with a web page (text/html) instead of a file; use the file's own address"));
    }
    Ok(())
}

fn cancel(response: &Response) {
    if let Some(body) = response.body() {
        let _ = body.cancel();
    }
}

fn failure(url: &str, what: &str) -> Failure {
    Failure::new(ErrorKind::Download, format!("{url} {what}"))
}
