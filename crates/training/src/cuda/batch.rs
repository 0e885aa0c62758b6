//! A batch in a device's memory, with the tables of the attention kernels.

use super::memory::{DeviceVec, Guarded};
use crate::device::Batch;
use crate::model::Segment;
use std::sync::Arc;

/// Queries or keys of a block, TILE in attention.cu.
pub(super) const TILE: usize = 64;

/// [`Batch`], and what the kernels look up.
#[derive(Default)]
pub struct DeviceBatch {
    pub(super) tokens: DeviceVec<u32>,
    pub(super) cos: DeviceVec<f32>,
    pub(super) sin: DeviceVec<f32>,
    pub(super) rows: DeviceVec<u32>,
    pub(super) targets: DeviceVec<u32>,
    /// The tokens that occur; the places of token i are `places[starts[i]..starts[i + 1]]`.
    pub(super) distinct: DeviceVec<u32>,
    pub(super) starts: DeviceVec<u32>,
    pub(super) places: DeviceVec<u32>,
    pub(super) query_tiles: DeviceVec<[u32; 6]>,
    pub(super) key_tiles: DeviceVec<[u32; 4]>,
    pub(super) spans: DeviceVec<[u32; 5]>,
}

impl DeviceBatch {
    pub(super) fn load(&mut self, owner: &Arc<Guarded>, batch: &Batch) {
        self.tokens.fill(owner, &batch.tokens);
        self.cos.fill(owner, &batch.cos);
        self.sin.fill(owner, &batch.sin);
        self.rows.fill(owner, &batch.rows);
        self.targets.fill(owner, &batch.targets);

        let mut places: Vec<(u32, u32)> = batch.tokens.iter().copied().zip(0..).collect();
        places.sort_unstable();
        let (mut distinct, mut starts, mut end) = (Vec::new(), vec![0], 0);
        for same in places.chunk_by(|a, b| a.0 == b.0) {
            end += same.len() as u32;
            distinct.push(same[0].0);
            starts.push(end);
        }
        self.starts.fill(owner, &starts);
        self.distinct.fill(owner, &distinct);
        self.places.fill(owner, &places.into_iter().map(|(_, place)| place).collect::<Vec<u32>>());

        self.query_tiles.fill(owner, &query_tiles(&batch.segments));
        let (tiles, spans) = key_tiles(&batch.segments);
        self.key_tiles.fill(owner, &tiles);
        self.spans.fill(owner, &spans);
    }
}

/// Neighbouring queries of a segment: QueryTile in attention.cu.
fn query_tiles(segments: &[Segment]) -> Vec<[u32; 6]> {
    let tile = |segment: &Segment, first: usize| {
        let (start, count) = (segment.tokens.start, TILE.min(segment.tokens.end - first));
        [first, count, start, start, segment.prefix.start, segment.prefix.len()].map(|n| n as u32)
    };
    let firsts = |segment: &Segment| segment.tokens.clone().step_by(TILE);
    segments.iter().flat_map(|segment| firsts(segment).map(move |first| tile(segment, first))).collect()
}

/// The tiles of `count` queries that follow `past` kept keys and have joined them.
pub(super) fn kept_tiles(past: usize, count: usize) -> Vec<[u32; 6]> {
    let tile = |first: usize| [first, TILE.min(count - first), 0, past, 0, past].map(|n| n as u32);
    (0..count).step_by(TILE).map(tile).collect()
}

/// Neighbouring keys of a segment, and which queries see them: KeyTile and Span in attention.cu.
fn key_tiles(segments: &[Segment]) -> (Vec<[u32; 4]>, Vec<[u32; 5]>) {
    let (mut tiles, mut spans) = (Vec::new(), Vec::new());
    for segment in segments {
        let keys = &segment.tokens;
        let first_span = spans.len();
        spans.push([keys.start, keys.end, keys.start, keys.end, 1].map(|n| n as u32));
        for other in segments {
            let (prefix, queries) = (&other.prefix, &other.tokens);
            if prefix.start < keys.end && keys.start < prefix.end {
                spans.push([queries.start, queries.end, prefix.start, prefix.end, 0].map(|n| n as u32));
            }
        }
        let count = spans.len() - first_span;
        tiles.extend(
            keys.clone()
                .step_by(TILE)
                .map(|first| [first, TILE.min(keys.end - first), first_span, count].map(|n| n as u32)),
        );
    }
    (tiles, spans)
}
