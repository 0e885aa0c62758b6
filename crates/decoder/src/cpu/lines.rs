use std::slice;

/// As long as the widest vector, and a cache line of most machines.
const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Bytes that begin at a cache line, so that aligned vectors of them never straddle two.
#[derive(Default)]
pub struct Lines {
    lines: Vec<Line>,
    len: usize,
}

impl Lines {
    /// Room for `capacity` bytes, or `None` where there is no memory for them.
    pub fn with_capacity(capacity: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(capacity.div_ceil(LINE)).ok()?;
        Some(Self { lines, len: 0 })
    }

    /// Appends zeros; `false` where there is no memory for them.
    pub fn grow(&mut self, bytes: usize) -> bool {
        let lines = (self.len + bytes).div_ceil(LINE);
        if self.lines.try_reserve(lines - self.lines.len()).is_err() {
            return false;
        }
        self.lines.resize(lines, Line([0; LINE]));
        self.len += bytes;
        true
    }

    pub fn as_slice(&self) -> &[u8] {
        // SAFETY: the lines are that many initialised bytes without padding.
        unsafe { slice::from_raw_parts(self.lines.as_ptr().cast(), self.len) }
    }

    pub fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`, and borrowed alone.
        unsafe { slice::from_raw_parts_mut(self.lines.as_mut_ptr().cast(), self.len) }
    }
}
