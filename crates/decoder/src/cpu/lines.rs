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
    /// So many zeros, or `None` where there is no memory for them.
    pub fn zeros(len: usize) -> Option<Self> {
        let mut lines = Vec::new();
        lines.try_reserve_exact(len.div_ceil(LINE)).ok()?;
        ask_for_huge_pages(&lines);
        lines.resize(len.div_ceil(LINE), Line([0; LINE]));
        Some(Self { lines, len })
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

/// Streaming through huge pages walks fewer page tables. Where the system has none to give, nothing changes.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages(lines: &Vec<Line>) {
    /// A multiple of every page size.
    const ALIGNMENT: usize = 1 << 16;
    let start = lines.as_ptr().cast::<u8>();
    let skipped = start.align_offset(ALIGNMENT);
    let len = (lines.capacity() * LINE).saturating_sub(skipped) / ALIGNMENT * ALIGNMENT;
    if len > 0 {
        // SAFETY: these pages lie within the vector's memory, and the advice changes no byte of them.
        unsafe { libc::madvise(start.wrapping_add(skipped).cast_mut().cast(), len, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages(_: &Vec<Line>) {}
