use super::decode::KeptBlock;
use super::linear::Linear;
use super::workspace::BlockState;
use super::{Gradient, Model, Pack, Parameters, Workspace};
use crate::kernels;
use crate::lora::Site;
use crate::matmul::Write;
use checkpoint::RotaryLayout;
use std::ops::Range;

impl Model {
    fn linear(&self, layer: usize, site: Site) -> Linear<'_> {
        let (at, shape) = (&self.map.blocks[layer], &self.shape);
        let none = &self.no_bias;
        let (weight, bias, inputs) = match site {
            Site::Qkv => (&at.qkv, &at.qkv_bias, shape.hidden_size),
            Site::Output => (&at.output, &at.output_bias, shape.query_size()),
            Site::GateUp => (&at.gate_up, none, shape.hidden_size),
            Site::Down => (&at.down, none, shape.intermediate_size),
        };
        Linear { weight, bias, inputs, layer, site }
    }

    /// Fills the state of a block; where keys and values are kept, its tokens see those, too.
    pub(super) fn block_forward(
        &self,
        p: &Parameters<'_>,
        work: &mut Workspace,
        pack: &Pack,
        layer: usize,
        kept: Option<&mut KeptBlock>,
    ) {
        let (inner, eps) = (self.shape.intermediate_size, self.shape.rms_norm_eps as f32);
        let at = &self.map.blocks[layer];
        let state = work.state_of(layer);
        let Workspace { blocks, residual, scores, lora, .. } = work;
        let (block, (before, after)) = (&mut blocks[state], residual.split_at_mut(layer + 1));
        let (x, out) = (&before[layer], &mut after[0]);

        let norm = p.weight(&at.attention_norm);
        kernels::rms_norm(&mut block.attention_normed, &mut block.attention_inverse_rms, x, norm, eps);
        self.linear(layer, Site::Qkv).forward(p, &mut block.qkv, Write::Replace, &block.attention_normed, lora);
        self.norm_heads(p, block, layer);
        self.rotate(&mut block.qkv, pack, 1.0);
        match kept {
            Some(kept) => self.attend_kept(block, kept),
            None => self.attend(block, pack, scores),
        }
        let linear = self.linear(layer, Site::Output);
        block.middle.copy_from_slice(x);
        if at.attention_post_norm.is_empty() {
            linear.forward(p, &mut block.middle, Write::Add, &block.attended, lora);
        } else {
            linear.forward(p, &mut block.attention_added, Write::Replace, &block.attended, lora);
            let norm = p.weight(&at.attention_post_norm);
            let (normed, inverse) = (&mut block.post_normed, &mut block.attention_post_inverse_rms);
            kernels::rms_norm(normed, inverse, &block.attention_added, norm, eps);
            kernels::add(&mut block.middle, normed);
        }

        let norm = p.weight(&at.mlp_norm);
        kernels::rms_norm(&mut block.mlp_normed, &mut block.mlp_inverse_rms, &block.middle, norm, eps);
        self.linear(layer, Site::GateUp).forward(p, &mut block.gate_up, Write::Replace, &block.mlp_normed, lora);
        kernels::swiglu(&mut block.activated, &block.gate_up, inner);
        let linear = self.linear(layer, Site::Down);
        out.copy_from_slice(&block.middle);
        if at.mlp_post_norm.is_empty() {
            linear.forward(p, out, Write::Add, &block.activated, lora);
        } else {
            linear.forward(p, &mut block.mlp_added, Write::Replace, &block.activated, lora);
            let norm = p.weight(&at.mlp_post_norm);
            let (normed, inverse) = (&mut block.post_normed, &mut block.mlp_post_inverse_rms);
            kernels::rms_norm(normed, inverse, &block.mlp_added, norm, eps);
            kernels::add(out, normed);
        }
    }

    /// Turns `work.d_residual` from the gradient after the block into the one before it. Where the block is the `last`
    /// whose gradient is wanted, what only the blocks before it would need is not computed.
    pub(super) fn block_backward(
        &self,
        p: &Parameters<'_>,
        gradient: &mut Gradient<'_>,
        work: &mut Workspace,
        pack: &Pack,
        layer: usize,
        last: bool,
    ) {
        let inner = self.shape.intermediate_size;
        let at = &self.map.blocks[layer];
        let state = work.state_of(layer);
        let Workspace {
            blocks,
            residual,
            d_residual,
            d_normed,
            d_activated,
            d_attended,
            d_qkv,
            d_added,
            lora,
            unused,
            ..
        } = work;
        let block = &mut blocks[state];

        let d_added_by_mlp = match at.mlp_post_norm.is_empty() {
            true => &*d_residual,
            false => {
                d_added.fill(0.0);
                let d_norm = gradient.of(&at.mlp_post_norm, unused);
                let (x, inverse) = (&block.mlp_added, &block.mlp_post_inverse_rms);
                kernels::rms_norm_backward(d_added, d_norm, d_residual, x, inverse, p.weight(&at.mlp_post_norm));
                &*d_added
            }
        };
        let linear = self.linear(layer, Site::Down);
        linear.backward(p, gradient, Some(d_activated), d_added_by_mlp, &block.activated, lora);
        kernels::swiglu_backward(&mut block.gate_up, d_activated, inner);
        let linear = self.linear(layer, Site::GateUp);
        linear.backward(p, gradient, Some(d_normed), &block.gate_up, &block.mlp_normed, lora);
        let d_norm = gradient.of(&at.mlp_norm, unused);
        let (x, inverse) = (&block.middle, &block.mlp_inverse_rms);
        kernels::rms_norm_backward(d_residual, d_norm, d_normed, x, inverse, p.weight(&at.mlp_norm));

        let d_added_by_attention = match at.attention_post_norm.is_empty() {
            true => &*d_residual,
            false => {
                d_added.fill(0.0);
                let d_norm = gradient.of(&at.attention_post_norm, unused);
                let (x, inverse) = (&block.attention_added, &block.attention_post_inverse_rms);
                kernels::rms_norm_backward(d_added, d_norm, d_residual, x, inverse, p.weight(&at.attention_post_norm));
                &*d_added
            }
        };
        let linear = self.linear(layer, Site::Output);
        linear.backward(p, gradient, Some(d_attended), d_added_by_attention, &block.attended, lora);
        self.attend_backward(block, d_attended, d_qkv, pack, &mut work.scores, &mut work.d_scores);
        self.rotate(d_qkv, pack, -1.0);
        self.norm_heads_backward(p, gradient, block, d_qkv, layer, unused);
        let d_x = (!last).then_some(d_normed.as_mut_slice());
        self.linear(layer, Site::Qkv).backward(p, gradient, d_x, d_qkv, &block.attention_normed, lora);
        if !last {
            let d_norm = gradient.of(&at.attention_norm, unused);
            let (x, inverse) = (&residual[layer], &block.attention_inverse_rms);
            kernels::rms_norm_backward(d_residual, d_norm, d_normed, x, inverse, p.weight(&at.attention_norm));
        }
    }

    /// The columns of the queries and of the keys in a row of `qkv`, each with its norm and its first head's number.
    fn normed_heads(&self, layer: usize) -> [(Range<usize>, &Range<usize>, usize); 2] {
        let (at, query) = (&self.map.blocks[layer], self.shape.query_size());
        [
            (0..query, &at.query_norm, 0),
            (query..query + self.shape.key_size(), &at.key_norm, self.shape.num_attention_heads),
        ]
    }

    /// Norms each query and key head of `block.qkv`, where the family does; what they were goes to `block.raw_qkv`.
    fn norm_heads(&self, p: &Parameters<'_>, block: &mut BlockState, layer: usize) {
        if !self.shape.head_norms {
            return;
        }
        let (width, eps) = (self.shape.qkv_size(), self.shape.rms_norm_eps as f32);
        let heads = self.shape.num_attention_heads + self.shape.num_key_value_heads;
        let BlockState { qkv, raw_qkv, head_inverse_rms, .. } = block;
        raw_qkv.copy_from_slice(qkv);
        let rows = qkv.chunks_exact_mut(width).zip(raw_qkv.chunks_exact(width));
        for ((row, raw), inverse) in rows.zip(head_inverse_rms.chunks_exact_mut(heads)) {
            for (columns, norm, first) in self.normed_heads(layer) {
                let inverse = &mut inverse[first..];
                kernels::rms_norm(&mut row[columns.clone()], inverse, &raw[columns], p.weight(norm), eps);
            }
        }
    }

    fn norm_heads_backward(
        &self,
        p: &Parameters<'_>,
        gradient: &mut Gradient<'_>,
        block: &BlockState,
        d_qkv: &mut [f32],
        layer: usize,
        unused: &mut [f32],
    ) {
        if !self.shape.head_norms {
            return;
        }
        let width = self.shape.qkv_size();
        let heads = self.shape.num_attention_heads + self.shape.num_key_value_heads;
        let mut d_raw = vec![0.0; self.shape.query_size()];
        let rows = d_qkv.chunks_exact_mut(width).zip(block.raw_qkv.chunks_exact(width));
        for ((d_row, raw), inverse) in rows.zip(block.head_inverse_rms.chunks_exact(heads)) {
            for (columns, norm, first) in self.normed_heads(layer) {
                let d_raw = &mut d_raw[..columns.len()];
                d_raw.fill(0.0);
                let inverse = &inverse[first..first + columns.len() / self.shape.head_dim];
                let d_norm = gradient.of(norm, unused);
                kernels::rms_norm_backward(
                    d_raw,
                    d_norm,
                    &d_row[columns.clone()],
                    &raw[columns.clone()],
                    inverse,
                    p.weight(norm),
                );
                d_row[columns].copy_from_slice(d_raw);
            }
        }
    }

    /// Rotates queries and keys of `qkv` by their positions, or back.
    fn rotate(&self, qkv: &mut [f32], pack: &Pack, direction: f32) {
        let shape = &self.shape;
        let (half, head_dim) = (shape.rotary.width / 2, shape.head_dim);
        let heads = shape.num_attention_heads + shape.num_key_value_heads;
        let width = shape.qkv_size();
        for segment in &pack.segments {
            let rows = &mut qkv[segment.tokens.start * width..segment.tokens.end * width];
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                let position = segment.prefix.len() + i;
                let angles = position * half..(position + 1) * half;
                let (cos, sin) = (&self.cos[angles.clone()], &self.sin[angles]);
                match shape.rotary.layout {
                    RotaryLayout::Halves => kernels::rotate_halves(row, heads, head_dim, cos, sin, direction),
                    RotaryLayout::Neighbours => kernels::rotate_neighbours(row, heads, head_dim, cos, sin, direction),
                }
            }
        }
    }
}
