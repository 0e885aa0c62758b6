//! Which documents a step sees: a function of the seed and the step alone.

use crate::corpus::{Source, StoredDocument};
use crate::model::Pack;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::ops::Range;

/// Text is not split for the sake of fewer positions than this at the end of a row.
const MIN_PIECE: usize = 32;

/// Fills rows of at most `context` positions with whole documents, each source in its own shuffled order.
pub struct Sampler<'a> {
    sources: &'a [Source],
    cursors: Vec<Cursor>,
    batch: usize,
    context: usize,
    seed: u64,
    step: u64,
}

/// A part of a document in a row.
struct Piece {
    source: usize,
    document: usize,
    positions: Range<usize>,
}

impl<'a> Sampler<'a> {
    /// A sampler that stands before step `step`. Earlier steps are played through without reading their tokens.
    pub fn new(sources: &'a [Source], batch: usize, context: usize, seed: u64, step: u64) -> Sampler<'a> {
        let cursors = (0..sources.len()).map(|i| Cursor::new(&sources[i], seed, i as u64)).collect();
        let mut sampler = Sampler { sources, cursors, batch, context, seed, step: 0 };
        for _ in 0..step {
            sampler.next_pieces();
        }
        sampler
    }

    /// How often each source has been read to its end.
    pub fn epochs(&self) -> Vec<u64> {
        self.cursors.iter().map(|c| c.epoch).collect()
    }

    fn next_pieces(&mut self) -> Vec<Vec<Piece>> {
        let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
        rng.set_stream(self.step + 1);
        self.step += 1;
        let total: f64 = self.sources.iter().map(|s| s.weight).sum();
        (0..self.batch)
            .map(|_| {
                let mut point = rng.random::<f64>() * total;
                let last = self.sources.len() - 1;
                let chosen = self.sources.iter().take(last).position(|s| {
                    point -= s.weight;
                    point < 0.0
                });
                let source = chosen.unwrap_or(last);
                self.cursors[source].fill(&self.sources[source].documents, self.context, source)
            })
            .collect()
    }
}

impl Iterator for Sampler<'_> {
    type Item = Vec<Pack>;

    /// The rows of the next step. It never ends.
    fn next(&mut self) -> Option<Vec<Pack>> {
        let rows = self.next_pieces();
        Some(
            rows.into_iter()
                .map(|pieces| {
                    let mut pack = Pack::default();
                    for piece in pieces {
                        let source = &self.sources[piece.source];
                        let (tokens, targets) = source.read(&source.documents[piece.document], piece.positions);
                        pack.push(tokens, targets);
                    }
                    pack
                })
                .collect(),
        )
    }
}

/// A place in a source's documents, which are shuffled anew for each epoch.
struct Cursor {
    order: Vec<u32>,
    next: usize,
    /// Positions of the next document that earlier rows have used.
    used: usize,
    epoch: u64,
    seed: u64,
    stream: u64,
}

impl Cursor {
    fn new(source: &Source, seed: u64, index: u64) -> Cursor {
        let order = (0..source.documents.len() as u32).collect();
        let mut cursor = Cursor { order, next: 0, used: 0, epoch: 0, seed, stream: index << 32 };
        cursor.shuffle();
        cursor
    }

    fn shuffle(&mut self) {
        let mut rng = ChaCha8Rng::seed_from_u64(!self.seed);
        rng.set_stream(self.stream + self.epoch);
        self.order.sort_unstable();
        self.order.shuffle(&mut rng);
    }

    fn advance(&mut self) {
        (self.next, self.used) = (self.next + 1, 0);
        if self.next == self.order.len() {
            self.next = 0;
            self.epoch += 1;
            self.shuffle();
        }
    }

    /// One row. Only text is split; a chat fits into an empty row.
    fn fill(&mut self, documents: &[StoredDocument], context: usize, source: usize) -> Vec<Piece> {
        let (mut pieces, mut space) = (Vec::new(), context);
        while space > 0 {
            let document = self.order[self.next] as usize;
            let stored = &documents[document];
            let left = stored.positions() - self.used;
            if left > space && !pieces.is_empty() && (!stored.splittable || space < MIN_PIECE) {
                break;
            }
            let taken = left.min(space);
            pieces.push(Piece { source, document, positions: self.used..self.used + taken });
            space -= taken;
            self.used += taken;
            if self.used == stored.positions() {
                self.advance();
            }
        }
        pieces
    }
}

/// Rows of held-out documents of one source, about `limit` positions in all, always the same.
pub fn held_out_rows(source: &Source, context: usize, limit: usize) -> Vec<Pack> {
    let mut rows: Vec<Pack> = Vec::new();
    let mut total = 0;
    for document in &source.held_out {
        let positions = document.positions().min(context);
        if total + positions > limit && total > 0 {
            break;
        }
        total += positions;
        let (tokens, targets) = source.read(document, 0..positions);
        match rows.last_mut() {
            Some(row) if row.tokens.len() + positions <= context => row.push(tokens, targets),
            _ => {
                rows.push(Pack::default());
                rows.last_mut().expect("just pushed").push(tokens, targets);
            }
        }
    }
    rows
}
