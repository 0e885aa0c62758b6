//! Greedy answers by the model in training: keys and values are kept, so that each token costs one pass over itself.

use super::pass::Parameters;
use super::{IGNORE, Model, Pack, Workspace};
use crate::device::Device;

impl Model {
    /// What the model says after `prompt`: the likeliest token each time, at most `most` of them, up to one that `ends`.
    pub fn answer<D: Device>(
        &self,
        p: &Parameters<'_, D>,
        work: &mut Workspace<D>,
        prompt: &[u32],
        most: usize,
        ends: impl Fn(u32) -> bool,
    ) -> Vec<u32> {
        let mut kept: Vec<D::Kept> = (0..self.shape.num_hidden_layers).map(|_| D::Kept::default()).collect();
        let (mut read, mut answer, mut next) = (0, Vec::new(), prompt.to_vec());
        while answer.len() < most && read + next.len() <= self.shape.max_position_embeddings {
            let token = likeliest(&self.logits_after(p, work, &mut kept, read, &next));
            read += next.len();
            if ends(token) {
                break;
            }
            answer.push(token);
            next = vec![token];
        }
        answer
    }

    /// The logits after `tokens`, which follow the `start` tokens that `kept` has seen.
    fn logits_after<D: Device>(
        &self,
        p: &Parameters<'_, D>,
        work: &mut Workspace<D>,
        kept: &mut [D::Kept],
        start: usize,
        tokens: &[u32],
    ) -> Vec<f32> {
        let mut pack = Pack::default();
        // The prefix only tells their positions: its keys and values are the kept ones.
        pack.push_after(0..start, tokens.iter().copied(), tokens.iter().map(|_| IGNORE));
        self.forward_after(p, work, &pack, Some(kept));
        self.head_logits(p, work, tokens.len() - 1)
    }
}

fn likeliest(logits: &[f32]) -> u32 {
    let best = (0..logits.len()).max_by(|&a, &b| logits[a].total_cmp(&logits[b]));
    best.map_or(0, |index| index as u32)
}
