//! Servers that a model or the page may come from: some slow, some that break off, some without ranges.

use anyhow::{Context, Result};
use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    ops::Range,
    sync::{Arc, Mutex},
    time::Duration,
};

/// How a server treats those who ask.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// It answers ranges of bytes, as most do.
    Ranges,
    /// It sends the whole file, whatever range was asked for.
    Whole,
    /// As `Ranges`, but the first whole answer of a model ends in the middle.
    BreaksOff,
    /// It sends the first bytes and then nothing more.
    Stalls,
}

/// A server of files.
pub struct Server {
    /// Its address, with a slash at the end.
    pub address: String,
    asked: Arc<Mutex<Vec<Asked>>>,
}

/// What was asked of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The path, with its slash.
    pub path: String,
    /// The bytes, if not all.
    pub range: Option<Range<usize>>,
}

impl Server {
    /// Serves what `file` gives for a path, until the test ends.
    pub fn start(manner: Manner, file: impl Fn(&str) -> Option<Vec<u8>> + Send + Sync + 'static) -> Result<Server> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = format!("http://{}/", listener.local_addr()?);
        let asked = Arc::<Mutex<Vec<Asked>>>::default();
        let (log, file) = (Arc::clone(&asked), Arc::new(file));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, file) = (Arc::clone(&log), Arc::clone(&file));
                // A browser that goes away in the middle is no fault of the server's.
                std::thread::spawn(move || drop(answer(stream, manner, &log, &*file)));
            }
        });
        Ok(Server { address, asked })
    }

    /// What was asked for so far.
    pub fn asked(&self) -> Vec<Asked> {
        self.asked.lock().expect("no thread panics with the log").clone()
    }
}

fn answer(
    mut stream: TcpStream,
    manner: Manner,
    log: &Mutex<Vec<Asked>>,
    file: &dyn Fn(&str) -> Option<Vec<u8>>,
) -> Result<()> {
    let (method, path, headers) = request(&stream)?;
    let cors = "Access-Control-Allow-Origin: *\r\nAccess-Control-Allow-Headers: Range\r\nConnection: close\r\n";
    let Some(file) = file(&path).filter(|_| method == "GET") else {
        let status = if method == "OPTIONS" { "204 No Content" } else { "404 Not Found" };
        return Ok(write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\n{cors}\r\n")?);
    };
    let range = headers.iter().find_map(|line| byte_range(line, file.len())).filter(|_| manner != Manner::Whole);
    let is_model = path.ends_with(".gguf");
    let is_first = {
        let mut log = log.lock().expect("no thread panics with the log");
        log.push(Asked { path, range: range.clone() });
        let whole = log.iter().filter(|asked| asked.range.is_none() && asked.path.ends_with(".gguf"));
        is_model && whole.count() == 1
    };
    let (status, body) = match range {
        Some(range) => ("206 Partial Content", &file[range]),
        None => ("200 OK", &file[..]),
    };
    write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\
         Last-Modified: Tue, 24 Nov 2026 00:00:00 GMT\r\n{cors}\r\n",
        body.len()
    )?;
    match manner {
        Manner::Stalls => {
            stream.write_all(&body[..body.len() / 2])?;
            std::thread::sleep(Duration::from_secs(120));
        }
        Manner::BreaksOff if is_first => {
            stream.write_all(&body[..body.len() / 2])?;
            // A stream that fails throws away what was not read of it: real downloads break off when much has been read.
            std::thread::sleep(Duration::from_secs(2));
        }
        _ => stream.write_all(body)?,
    }
    Ok(())
}

/// Method, path and header lines.
fn request(stream: &TcpStream) -> Result<(String, String, Vec<String>)> {
    let mut lines = BufReader::new(stream).lines();
    let first = lines.next().context("nothing was asked")??;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, path) = (words.next().context("no method")?, words.next().context("no path")?);
    let headers = lines.map_while(|line| line.ok().filter(|line| !line.is_empty())).collect();
    Ok((method, path, headers))
}

fn byte_range(header: &str, len: usize) -> Option<Range<usize>> {
    let (name, value) = header.split_once(": ")?;
    let (start, end) = value.strip_prefix("bytes=")?.split_once('-').filter(|_| name.eq_ignore_ascii_case("range"))?;
    let start = start.parse().ok()?;
    let end = end.parse::<usize>().map_or(len, |last| last + 1).min(len);
    (start < end).then_some(start..end)
}

/// The page once more, without the headers that let its workers share memory.
pub fn without_isolation(page: &str) -> Result<String> {
    let upstream = page.trim_start_matches("http://").trim_end_matches('/').to_owned();
    let listener = TcpListener::bind(("127.0.0.1", 0))?;
    let address = format!("http://{}/", listener.local_addr()?);
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let upstream = upstream.clone();
            std::thread::spawn(move || drop(pass_on(stream, &upstream)));
        }
    });
    Ok(address)
}

fn pass_on(mut stream: TcpStream, upstream: &str) -> Result<()> {
    let (method, path, _) = request(&stream)?;
    let mut server = TcpStream::connect(upstream)?;
    write!(server, "{method} {path} HTTP/1.1\r\nHost: {upstream}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    server.read_to_end(&mut answer)?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n").context("an answer without an end")?;
    let head = String::from_utf8_lossy(&answer[..end]).into_owned();
    let kept = head.split("\r\n").filter(|line| !line.to_ascii_lowercase().starts_with("cross-origin-"));
    stream.write_all(kept.collect::<Vec<_>>().join("\r\n").as_bytes())?;
    Ok(stream.write_all(&answer[end..])?)
}
