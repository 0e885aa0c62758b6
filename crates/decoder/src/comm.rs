use std::ops::Range;

use thiserror::Error;

/// A part of every matrix's rows, held by one of the workers that run the same forward pass together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    count: usize,
}

impl Shard {
    /// Everything.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Part `index` of `count`.
    ///
    /// # Panics
    /// `index` is not below `count`.
    pub fn new(index: usize, count: usize) -> Self {
        assert!(index < count, "shard {index} of {count}");
        Self { index, count }
    }

    /// Which of [`Self::count`] parts this is.
    pub fn index(self) -> usize {
        self.index
    }

    /// How many parts there are.
    pub fn count(self) -> usize {
        self.count
    }

    /// The units of `total` that part `index` of as many parts holds: contiguous, in order, as even as can be.
    pub fn range_of(self, index: usize, total: usize) -> Range<usize> {
        let bound = |index: usize| (total as u64 * index as u64 / self.count as u64) as usize;
        bound(index)..bound(index + 1)
    }

    /// The units of `total` that this part holds.
    pub fn range(self, total: usize) -> Range<usize> {
        self.range_of(self.index, total)
    }
}

/// Another shard is gone; the forward pass cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a worker that holds a part of the model broke down; load the model again")]
pub struct Disconnected;

/// What the others may be doing while one waits for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// Their part of the same pass.
    WithinPass,
    /// What the first shard does between two passes: it chooses a token, tells it, looks for messages. To sleep over that costs a small model more
    /// time than its pass.
    BetweenPasses,
}

/// How the shards of one forward pass meet: a buffer of 32-bit words that all of them see, and a barrier.
///
/// Between two barriers no word is written by one shard and touched by another.
pub trait Comm {
    /// Words that the shared buffer holds.
    fn capacity(&self) -> usize;

    /// Copies `words` into the shared buffer, to `at` and behind.
    fn write(&mut self, at: usize, words: &[u32]);

    /// Copies words out of the shared buffer, from `at` on.
    fn read(&mut self, at: usize, words: &mut [u32]);

    /// Returns when every shard has called it; what was written before is then seen by all. One shard gives a word, which all get.
    ///
    /// # Errors
    /// Another shard broke down.
    fn barrier(&mut self, word: Option<u32>, wait: Wait) -> Result<u32, Disconnected>;
}

/// The company of a single shard: there is none.
#[derive(Debug, Clone, Copy, Default)]
pub struct Alone;

impl Comm for Alone {
    fn capacity(&self) -> usize {
        0
    }

    fn write(&mut self, _: usize, _: &[u32]) {}

    fn read(&mut self, _: usize, _: &mut [u32]) {}

    fn barrier(&mut self, word: Option<u32>, _: Wait) -> Result<u32, Disconnected> {
        Ok(word.unwrap_or_default())
    }
}
