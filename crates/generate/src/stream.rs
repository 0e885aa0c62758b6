/// Turns the bytes of tokens into text that may be shown at once: never half a character, never part of a stop text.
#[derive(Debug, Clone, Default)]
pub struct TextStream {
    stops: Vec<String>,
    /// Bytes of a character that is not complete yet.
    partial: Vec<u8>,
    /// Complete text that may turn out to be the start of a stop text.
    held: String,
    stopped: bool,
}

impl TextStream {
    /// A stream that ends at the first of `stops`; empty ones are ignored.
    pub fn new(stops: impl IntoIterator<Item = String>) -> Self {
        let stops = stops.into_iter().filter(|stop| !stop.is_empty()).collect();
        Self { stops, ..Self::default() }
    }

    /// Takes the bytes of one token and returns what can be shown now.
    pub fn push(&mut self, bytes: &[u8]) -> String {
        if self.stopped {
            return String::new();
        }
        self.partial.extend_from_slice(bytes);
        let complete = complete_len(&self.partial);
        let rest = self.partial.split_off(complete);
        self.held.push_str(&String::from_utf8_lossy(&self.partial));
        self.partial = rest;
        self.release()
    }

    /// Whether a stop text was met; what precedes it has been returned.
    pub fn is_stopped(&self) -> bool {
        self.stopped
    }

    /// Returns what was held back, at the end of the tokens. An incomplete character becomes U+FFFD.
    pub fn flush(&mut self) -> String {
        let mut text = std::mem::take(&mut self.held);
        text.push_str(&String::from_utf8_lossy(&std::mem::take(&mut self.partial)));
        text
    }

    fn release(&mut self) -> String {
        if let Some(at) = self.stops.iter().filter_map(|stop| self.held.find(stop.as_str())).min() {
            self.stopped = true;
            self.partial.clear();
            let mut text = std::mem::take(&mut self.held);
            text.truncate(at);
            return text;
        }
        let held_from = self.held.len() - self.stop_prefix_len();
        let rest = self.held.split_off(held_from);
        std::mem::replace(&mut self.held, rest)
    }

    /// Length of the longest end of the text that a stop text starts with.
    fn stop_prefix_len(&self) -> usize {
        let ends = self.held.char_indices().map(|(index, _)| &self.held[index..]);
        ends.filter(|end| self.stops.iter().any(|stop| stop.starts_with(end))).map(str::len).max().unwrap_or(0)
    }
}

/// Length of `bytes` without an incomplete character at the end; invalid bytes count as complete.
fn complete_len(bytes: &[u8]) -> usize {
    for start in (bytes.len().saturating_sub(3)..bytes.len()).rev() {
        let needed = match bytes[start] {
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        let available = bytes.len() - start;
        return if needed > available { start } else { bytes.len() };
    }
    bytes.len()
}
