//! Headless Chromium for tests and measurements: windows, scripts, window.rolellm. Knows chromedriver; never models or kernels.

use anyhow::{Context, Result, bail, ensure};
use fantoccini::elements::Element;
use fantoccini::{Client, ClientBuilder, Locator};
use hyper_util::client::legacy::connect::HttpConnector;
use serde_json::{Value, json};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// How long anything on the page may take before the caller gives up; nothing measures speed by it.
const PATIENCE: Duration = Duration::from_secs(90);
/// The same for scripts, which may wait for a model.
const SCRIPT_PATIENCE: Duration = Duration::from_secs(120);

/// One Chromium under one chromedriver, each on ports and folders of its own, with a page open.
pub struct Browser {
    client: Client,
    driver: Child,
    page: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// Opens `page` in a new window of this width.
    ///
    /// # Errors
    /// chromedriver or Chromium are missing or do not answer, or the page cannot be reached.
    pub async fn open(page: &str, width: u32) -> Result<Browser> {
        Browser::open_with(page, width, SCRIPT_PATIENCE, &[]).await
    }

    /// As [`Browser::open`], with a GPU: Chromium's own program that stands in for one.
    ///
    /// # Errors
    /// As [`Browser::open`].
    pub async fn open_with_gpu(page: &str, width: u32) -> Result<Browser> {
        Browser::open_with(page, width, SCRIPT_PATIENCE, &["--enable-unsafe-webgpu"]).await
    }

    /// As [`Browser::open`], where a script may take this long.
    ///
    /// # Errors
    /// As [`Browser::open`].
    pub async fn open_for(page: &str, width: u32, patience: Duration) -> Result<Browser> {
        Browser::open_with(page, width, patience, &[]).await
    }

    async fn open_with(page: &str, width: u32, patience: Duration, arguments: &[&str]) -> Result<Browser> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("cannot start chromedriver; `cargo xtask setup` installs it")?;
        let profile = tempfile::tempdir()?;
        let client = connect(port, width, patience, profile.path(), arguments).await?;
        let browser = Browser { client, driver, page: page.to_string(), _profile: profile };
        browser.client.goto(page).await?;
        Ok(browser)
    }

    /// The page's address.
    pub fn page(&self) -> &str {
        &self.page
    }

    /// Goes to another address.
    ///
    /// # Errors
    /// It cannot be reached.
    pub async fn goto(&self, address: &str) -> Result<()> {
        Ok(self.client.goto(address).await?)
    }

    /// How many threads of the browser have this name.
    pub fn threads(&self, name: &str) -> usize {
        let threads = self
            .processes()
            .into_iter()
            .flat_map(|process| std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten());
        threads.filter(|thread| read(thread.path().join("comm")).trim_end().starts_with(name)).count()
    }

    /// Resident memory of the process that runs the page and its workers, in bytes.
    pub fn renderer_memory(&self) -> u64 {
        self.of_largest_renderer("VmRSS:")
    }

    /// The most that it has been.
    pub fn peak_renderer_memory(&self) -> u64 {
        self.of_largest_renderer("VmHWM:")
    }

    /// The others are spare ones: Chromium starts them when it likes, for pages to come.
    fn of_largest_renderer(&self, field: &str) -> u64 {
        let is_renderer = |process: &u32| read(format!("/proc/{process}/cmdline")).contains("--type=renderer");
        let bytes = |process: u32| {
            let status = read(format!("/proc/{process}/status"));
            let line = status.lines().find_map(|line| line.strip_prefix(field));
            line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok()).unwrap_or_default()
                << 10
        };
        self.processes().into_iter().filter(is_renderer).map(bytes).max().unwrap_or_default()
    }

    /// Takes the GPU away, as a system does whose driver fails: Chromium then starts it anew.
    ///
    /// # Errors
    /// There is no process that holds it.
    pub fn lose_gpu(&self) -> Result<()> {
        let is_gpu = |process: &u32| read(format!("/proc/{process}/cmdline")).contains("--type=gpu-process");
        let process = self.processes().into_iter().find(is_gpu).context("no process holds the GPU")?;
        let ended = Command::new("kill").args(["-KILL", &process.to_string()]).status()?;
        ensure!(ended.success(), "process {process} cannot be ended");
        Ok(())
    }

    /// The driver's descendants.
    fn processes(&self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = std::fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let process = entry.file_name().to_str()?.parse().ok()?;
                let stat = read(format!("/proc/{process}/stat"));
                let parent = stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()?;
                Some((process, parent))
            })
            .collect();
        let mut family = vec![self.driver.id()];
        let mut next = 0;
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(process, _)| *process));
            next += 1;
        }
        family
    }

    /// Ends the browser and its driver.
    pub async fn close(mut self) {
        let _ = self.client.clone().close().await;
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }

    /// The first element with this `data-testid`, awaited.
    pub async fn find(&self, testid: &str) -> Result<Element> {
        self.select(&format!("[data-testid=\"{testid}\"]")).await
    }

    /// The first element that a CSS selector finds, awaited.
    pub async fn select(&self, css: &str) -> Result<Element> {
        let waiting = self.client.wait().at_most(PATIENCE).for_element(Locator::Css(css));
        waiting.await.with_context(|| format!("nothing matches {css}"))
    }

    /// Clicks what a CSS selector finds, scrolled into view; where the page replaces it meanwhile, what it finds then.
    pub async fn click(&self, css: &str) -> Result<()> {
        for _ in 0..20 {
            let element = self.select(css).await?;
            let script = "arguments[0].scrollIntoView({block: 'center'})";
            let shown = self.client.execute(script, vec![serde_json::to_value(&element)?]).await;
            let clicked = match shown {
                Ok(_) => element.click().await,
                Err(error) => Err(error),
            };
            match clicked {
                Err(error) if error.is_stale_element_reference() => {}
                outcome => return Ok(outcome?),
            }
        }
        bail!("the page replaced {css} whenever it was to be clicked")
    }

    /// Clicks the element with this `data-testid` if it is there at this very moment.
    pub async fn click_now(&self, testid: &str) -> Result<()> {
        Ok(self.client.find(Locator::Css(&format!("[data-testid=\"{testid}\"]"))).await?.click().await?)
    }

    /// How many elements have this `data-testid`.
    pub async fn count(&self, testid: &str) -> Result<usize> {
        Ok(self.client.find_all(Locator::Css(&format!("[data-testid=\"{testid}\"]"))).await?.len())
    }

    /// The text of the last element with this `data-testid`, once `wanted` holds of it.
    pub async fn text_when(&self, testid: &str, wanted: impl Fn(&str) -> bool) -> Result<String> {
        let mut last = String::new();
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            let found = self.client.find_all(Locator::Css(&format!("[data-testid=\"{testid}\"]"))).await?;
            if let Some(element) = found.last() {
                // The page may have replaced the element meanwhile; then the next look finds the new one.
                last = element.text().await.unwrap_or_default();
                if wanted(&last) {
                    return Ok(last);
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        bail!("{testid} never became as wanted; at last it said {last:?}")
    }

    /// Runs the body of an async function in the page and returns what it returns; its errors come as `{error, kind}`.
    pub async fn script(&self, body: &str, arguments: Vec<Value>) -> Result<Value> {
        let whole = format!(
            "const done = arguments[arguments.length - 1]; const args = [...arguments].slice(0, -1);
             (async () => {{ {body} }})().then(
                 value => done(value === undefined ? null : value),
                 error => done({{error: String(error && error.message || error), kind: error && error.kind || null}}))"
        );
        Ok(self.client.execute_async(&whole, arguments).await?)
    }

    /// Waits until the page's programming interface is ready.
    pub async fn ready(&self) -> Result<()> {
        let body = "for (let i = 0; i < 1200 && !window.rolellm; i++) await new Promise(r => setTimeout(r, 50));
                    await window.rolellm.ready; return true";
        match self.script(body, vec![]).await? {
            Value::Bool(true) => Ok(()),
            other => bail!("window.rolellm.ready failed: {other}"),
        }
    }

    /// Generates through the programming interface.
    pub async fn generate(&self, request: Value) -> Result<Value> {
        self.script("return await window.rolellm.generate(args[0])", vec![request]).await
    }

    /// What the page shows, for a failure's message.
    pub async fn report(&self) -> String {
        let text = self.client.execute("return document.body.innerText", vec![]).await.unwrap_or_default();
        format!("the page showed:\n{}", text.as_str().unwrap_or("nothing"))
    }
}

/// A file of /proc; empty where the process has just ended.
fn read(path: impl AsRef<Path>) -> String {
    std::fs::read(path).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
}

async fn connect(port: u16, width: u32, patience: Duration, profile: &Path, more: &[&str]) -> Result<Client> {
    let arguments = [
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--lang=en-US",
    ];
    let mut arguments: Vec<String> = arguments.iter().chain(more).map(ToString::to_string).collect();
    arguments.push(format!("--user-data-dir={}", profile.display()));
    arguments.push(format!("--window-size={width},900"));
    // Chromium's window is never narrower than 500 pixels; a phone is emulated.
    let mut options = json!({ "args": arguments });
    if width < 500 {
        options["mobileEmulation"] = json!({ "deviceMetrics": { "width": width, "height": 780, "pixelRatio": 2.0 } });
    }
    let capabilities = json!({ "goog:chromeOptions": options, "timeouts": { "script": patience.as_millis() } });
    let Value::Object(capabilities) = capabilities else { unreachable!("written as an object above") };
    let address = format!("http://127.0.0.1:{port}");
    let mut last = None;
    for _ in 0..100 {
        match ClientBuilder::new(HttpConnector::new()).capabilities(capabilities.clone()).connect(&address).await {
            Ok(client) => return Ok(client),
            Err(error) => last = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    bail!("chromedriver did not answer: {last:?}")
}
