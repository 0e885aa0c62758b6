//! Which documents a step sees: a function of the seed and the step alone.

use crate::corpus::{Source, StoredDocument};
use crate::model::Pack;
use rand::Rng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use std::collections::HashMap;
use std::ops::Range;

/// Text is not split for the sake of fewer positions than this at the end of a row.
const MIN_PIECE: usize = 32;

/// Chats under the same system instruction that share it in a row. More save little and make batches alike.
const CHATS_TOGETHER: usize = 8;

/// Fills rows of at most `context` positions with whole documents, each source in its own shuffled order.
/// Chats under one system instruction come together and share its tokens.
pub struct Sampler<'a> {
    sources: &'a [Source],
    cursors: Vec<Cursor>,
    batch: usize,
    context: usize,
    seed: u64,
    step: u64,
}

/// A part of a row: a part of a text, one chat, or chats that share their prefix.
struct Piece {
    documents: Vec<u32>,
    /// Of the only document.
    positions: Range<usize>,
}

impl<'a> Sampler<'a> {
    /// A sampler that stands before step `step`. Earlier steps are played through without reading their tokens.
    pub fn new(sources: &'a [Source], batch: usize, context: usize, seed: u64, step: u64) -> Sampler<'a> {
        let cursors = (0..sources.len()).map(|i| Cursor::new(&sources[i].documents, context, seed, i as u64)).collect();
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

    /// For each row of the next step its source and pieces.
    fn next_pieces(&mut self) -> Vec<(usize, Vec<Piece>)> {
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
                (source, self.cursors[source].fill(&self.sources[source].documents, self.context))
            })
            .collect()
    }
}

impl Iterator for Sampler<'_> {
    type Item = Vec<Pack>;

    /// The rows of the next step. It never ends.
    fn next(&mut self) -> Option<Vec<Pack>> {
        let rows = self.next_pieces().into_iter().map(|(source, pieces)| {
            let mut pack = Pack::default();
            for piece in &pieces {
                push(&mut pack, &self.sources[source], piece);
            }
            pack
        });
        Some(rows.collect())
    }
}

/// Adds what `piece` names; chats that share a prefix follow it once.
fn push(pack: &mut Pack, source: &Source, piece: &Piece) {
    let document = |index: &u32| &source.documents[*index as usize];
    if let [only] = piece.documents.as_slice() {
        let (tokens, targets) = source.read(document(only), piece.positions.clone());
        pack.push(tokens, targets);
        return;
    }
    let mut prefix = 0..0;
    for index in &piece.documents {
        let chat = document(index);
        if prefix.is_empty() {
            let (tokens, targets) = source.read(chat, 0..chat.prefix);
            prefix = pack.push(tokens, targets);
        }
        let (tokens, targets) = source.read(chat, chat.prefix..chat.positions());
        pack.push_after(prefix.clone(), tokens, targets);
    }
}

/// A place in a source's documents, which are bundled and shuffled anew for each epoch.
struct Cursor {
    /// Each a text, a chat, or chats that share a prefix and fit into a row.
    bundles: Vec<Bundle>,
    next: usize,
    /// Positions of the next bundle that earlier rows have used.
    used: usize,
    epoch: u64,
    context: usize,
    seed: u64,
    stream: u64,
}

struct Bundle {
    documents: Vec<u32>,
    positions: usize,
}

impl Cursor {
    fn new(documents: &[StoredDocument], context: usize, seed: u64, index: u64) -> Cursor {
        let mut cursor = Cursor { bundles: vec![], next: 0, used: 0, epoch: 0, context, seed, stream: index << 32 };
        cursor.shuffle(documents);
        cursor
    }

    fn shuffle(&mut self, documents: &[StoredDocument]) {
        let mut rng = ChaCha8Rng::seed_from_u64(!self.seed);
        rng.set_stream(self.stream + self.epoch);
        let mut order: Vec<u32> = (0..documents.len() as u32).collect();
        order.shuffle(&mut rng);
        let mut open: HashMap<u32, usize> = HashMap::new();
        self.bundles.clear();
        for index in order {
            let document = &documents[index as usize];
            let own = document.positions() - document.prefix;
            if let Some(group) = document.group {
                let last = open.get(&group).map(|&i| &mut self.bundles[i]);
                let fitting = |b: &&mut Bundle| b.documents.len() < CHATS_TOGETHER && b.positions + own <= self.context;
                if let Some(bundle) = last.filter(fitting) {
                    bundle.documents.push(index);
                    bundle.positions += own;
                    continue;
                }
                open.insert(group, self.bundles.len());
            }
            self.bundles.push(Bundle { documents: vec![index], positions: document.positions() });
        }
        self.bundles.shuffle(&mut rng);
    }

    fn advance(&mut self, documents: &[StoredDocument]) {
        (self.next, self.used) = (self.next + 1, 0);
        if self.next == self.bundles.len() {
            self.next = 0;
            self.epoch += 1;
            self.shuffle(documents);
        }
    }

    /// One row. Only text is split; everything else fits into an empty row.
    fn fill(&mut self, documents: &[StoredDocument], context: usize) -> Vec<Piece> {
        let (mut pieces, mut space) = (Vec::new(), context);
        while space > 0 {
            let bundle = &self.bundles[self.next];
            let splittable = documents[bundle.documents[0] as usize].splittable;
            let left = bundle.positions - self.used;
            if left > space && !pieces.is_empty() && (!splittable || space < MIN_PIECE) {
                break;
            }
            let taken = left.min(space);
            pieces.push(Piece { documents: bundle.documents.clone(), positions: self.used..self.used + taken });
            space -= taken;
            self.used += taken;
            if self.used == bundle.positions {
                self.advance(documents);
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
            Some(row) if row.tokens.len() + positions <= context => _ = row.push(tokens, targets),
            _ => {
                let mut row = Pack::default();
                row.push(tokens, targets);
                rows.push(row);
            }
        }
    }
    rows
}
