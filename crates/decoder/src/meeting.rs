//! Where the shards of a forward pass meet: gathers over a [`Comm`].

use std::ops::Range;

use crate::{Comm, Config, Disconnected, Wait, layout::Layout};

/// Positions that pass through the blocks together; bounds the scratch memory of a long prompt.
pub const BATCH: usize = 64;

/// What the first shard says at a meeting: that it gives up, or that it goes on, plus what else is to be said.
const ABANDON: u32 = 0;
const GO_ON: u32 = 1;

/// Why a gather did not come about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupt {
    /// The first shard has given up this forward pass.
    Abandoned,
    /// A shard broke down.
    Disconnected,
}

impl From<Disconnected> for Interrupt {
    fn from(_: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// Words that the shared buffer of `count` shards needs for a model.
pub fn comm_words(config: &Config, count: usize) -> usize {
    if count == 1 { 0 } else { 2 * half_words(config) }
}

fn half_words(config: &Config) -> usize {
    let widest = config
        .embedding_length
        .max(config.feed_forward_length)
        .max(config.head_count * config.head_dim)
        .max(1 + size_of::<u32>());
    (BATCH * widest).max(config.vocab_size)
}

/// One shard's seat. The two halves of the buffer take turns: nobody writes into a half before all have read what was in it.
pub struct Meeting {
    comm: Box<dyn Comm>,
    index: usize,
    count: usize,
    half_words: usize,
    second_half: bool,
    incoming: Vec<f32>,
}

impl Meeting {
    pub fn new(comm: Box<dyn Comm>, config: &Config, layout: &Layout) -> Self {
        let (index, count) = (layout.shard.index(), layout.shard.count());
        let half_words = half_words(config);
        assert!(
            comm.capacity() >= comm_words(config, count),
            "the shared buffer of {} words is too small",
            comm.capacity()
        );
        Self { comm, index, count, half_words, second_half: false, incoming: Vec::new() }
    }

    pub fn is_alone(&self) -> bool {
        self.count == 1
    }

    fn half(&self) -> usize {
        if self.second_half { self.half_words } else { 0 }
    }

    /// Meets the others; all learn what the first shard says.
    fn meet(&mut self, word: u32, wait: Wait) -> Result<u32, Interrupt> {
        let word = self.comm.barrier((self.index == 0).then_some(word), wait)?;
        self.second_half = !self.second_half;
        if word == ABANDON { Err(Interrupt::Abandoned) } else { Ok(word) }
    }

    /// The first shard's `words` become everybody's.
    pub fn broadcast(&mut self, words: &mut Vec<u32>) -> Result<(), Interrupt> {
        if self.is_alone() {
            return Ok(());
        }
        let half = self.half();
        if self.index == 0 {
            debug_assert!(words.len() <= self.half_words);
            self.comm.write(half, words);
        }
        let len = self.meet(GO_ON + words.len() as u32, Wait::BetweenPasses)? - GO_ON;
        if self.index > 0 {
            words.resize(len as usize, 0);
            self.comm.read(half, words);
        }
        Ok(())
    }

    /// Each shard has computed `part_of(index)` of each row, `rows × part` in `own`; `whole` becomes `rows × width` in every shard.
    pub fn gather(
        &mut self,
        (rows, width): (usize, usize),
        part_of: impl Fn(usize) -> Range<usize>,
        own: &mut Vec<f32>,
        whole: &mut Vec<f32>,
    ) -> Result<(), Interrupt> {
        if self.is_alone() {
            std::mem::swap(own, whole);
            return Ok(());
        }
        let data = self.half();
        self.comm.write(data + rows * part_of(self.index).start, bytemuck::cast_slice(own));
        self.meet(GO_ON, Wait::WithinPass)?;
        whole.resize(rows * width, 0.0);
        if rows == 1 {
            self.comm.read(data, bytemuck::cast_slice_mut(whole));
            return Ok(());
        }
        for index in 0..self.count {
            let part = part_of(index);
            self.incoming.resize(rows * part.len(), 0.0);
            self.comm.read(data + rows * part.start, bytemuck::cast_slice_mut(&mut self.incoming));
            let incoming = self.incoming.chunks_exact(part.len().max(1));
            for (row, incoming) in whole.chunks_exact_mut(width).zip(incoming) {
                row[part.clone()].copy_from_slice(incoming);
            }
        }
        Ok(())
    }

    /// As [`Self::gather`] of one row, but only the first shard gets the whole.
    pub fn gather_to_first(
        &mut self,
        width: usize,
        part_of: impl Fn(usize) -> Range<usize>,
        own: &mut Vec<f32>,
        whole: &mut Vec<f32>,
    ) -> Result<(), Interrupt> {
        if self.is_alone() {
            std::mem::swap(own, whole);
            return Ok(());
        }
        let data = self.half();
        self.comm.write(data + part_of(self.index).start, bytemuck::cast_slice(own));
        self.meet(GO_ON, Wait::WithinPass)?;
        if self.index == 0 {
            whole.resize(width, 0.0);
            self.comm.read(data, bytemuck::cast_slice_mut(whole));
        }
        Ok(())
    }

    /// Each row of `rows` is known to the one shard for which `is_own` holds of it, and becomes known to all.
    pub fn share(&mut self, width: usize, is_own: impl Fn(usize) -> bool, rows: &mut [f32]) -> Result<(), Interrupt> {
        if self.is_alone() {
            return Ok(());
        }
        let data = self.half();
        for (index, row) in rows.chunks_exact(width).enumerate().filter(|&(index, _)| is_own(index)) {
            self.comm.write(data + index * width, bytemuck::cast_slice(row));
        }
        self.meet(GO_ON, Wait::WithinPass)?;
        self.comm.read(data, bytemuck::cast_slice_mut(rows));
        Ok(())
    }

    /// The first shard gives up a forward pass: the others learn it where they wait for its next part.
    pub fn abandon(&mut self) -> Result<(), Disconnected> {
        match self.is_alone() {
            true => Ok(()),
            false => match self.meet(ABANDON, Wait::WithinPass) {
                Err(Interrupt::Disconnected) => Err(Disconnected),
                _ => Ok(()),
            },
        }
    }
}
