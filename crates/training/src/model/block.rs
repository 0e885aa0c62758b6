use super::linear::Linear;
use super::pass::{Gradient, Parameters};
use super::workspace::BlockState;
use super::{Model, Workspace};
use crate::device::{Attended, Device, NormedHeads, Write};
use crate::lora::Site;
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
    pub(super) fn block_forward<D: Device>(
        &self,
        p: &Parameters<'_, D>,
        work: &mut Workspace<D>,
        layer: usize,
        kept: Option<&mut D::Kept>,
    ) {
        let (inner, eps) = (self.shape.intermediate_size, self.shape.rms_norm_eps as f32);
        let at = &self.map.blocks[layer];
        let state = work.state_of(layer);
        let Workspace { device: d, blocks, batch, residual, attention, lora, .. } = work;
        let (block, (before, after)) = (&mut blocks[state], residual.split_at_mut(layer + 1));
        let (x, out) = (&before[layer], &mut after[0]);

        let norm = p.weight(&at.attention_norm);
        d.rms_norm(&mut block.attention_normed, &mut block.attention_inverse_rms, x, norm, eps);
        self.linear(layer, Site::Qkv).forward(d, p, &mut block.qkv, Write::Replace, &block.attention_normed, lora);
        self.norm_heads(d, p, block, layer);
        d.rotate(&mut block.qkv, batch, &self.shape, 1.0);
        match kept {
            Some(kept) => d.attend_kept(&mut block.attended, &block.qkv, kept, &self.shape),
            None => {
                let (attended, log_sums) = (&mut block.attended, &mut block.log_sums);
                d.attend(attended, log_sums, &block.qkv, batch, &self.shape, attention);
            }
        }
        let linear = self.linear(layer, Site::Output);
        d.copy(&mut block.middle, x);
        if at.attention_post_norm.is_empty() {
            linear.forward(d, p, &mut block.middle, Write::Add, &block.attended, lora);
        } else {
            linear.forward(d, p, &mut block.attention_added, Write::Replace, &block.attended, lora);
            let norm = p.weight(&at.attention_post_norm);
            let (normed, inverse) = (&mut block.post_normed, &mut block.attention_post_inverse_rms);
            d.rms_norm(normed, inverse, &block.attention_added, norm, eps);
            d.add(&mut block.middle, normed);
        }

        let norm = p.weight(&at.mlp_norm);
        d.rms_norm(&mut block.mlp_normed, &mut block.mlp_inverse_rms, &block.middle, norm, eps);
        self.linear(layer, Site::GateUp).forward(d, p, &mut block.gate_up, Write::Replace, &block.mlp_normed, lora);
        d.swiglu(&mut block.activated, &block.gate_up, inner);
        let linear = self.linear(layer, Site::Down);
        d.copy(out, &block.middle);
        if at.mlp_post_norm.is_empty() {
            linear.forward(d, p, out, Write::Add, &block.activated, lora);
        } else {
            linear.forward(d, p, &mut block.mlp_added, Write::Replace, &block.activated, lora);
            let norm = p.weight(&at.mlp_post_norm);
            let (normed, inverse) = (&mut block.post_normed, &mut block.mlp_post_inverse_rms);
            d.rms_norm(normed, inverse, &block.mlp_added, norm, eps);
            d.add(out, normed);
        }
    }

    /// Turns `work.d_residual` from the gradient after the block into the one before it. Where the block is the `last`
    /// whose gradient is wanted, what only the blocks before it would need is not computed.
    pub(super) fn block_backward<D: Device>(
        &self,
        p: &Parameters<'_, D>,
        gradient: &mut Gradient<'_, D>,
        work: &mut Workspace<D>,
        layer: usize,
        last: bool,
    ) {
        let inner = self.shape.intermediate_size;
        let at = &self.map.blocks[layer];
        let state = work.state_of(layer);
        let Workspace {
            device: d,
            blocks,
            batch,
            residual,
            d_residual,
            d_normed,
            d_activated,
            d_attended,
            d_qkv,
            attention,
            d_added,
            lora,
            ..
        } = work;
        let block = &mut blocks[state];

        let d_added_by_mlp = match at.mlp_post_norm.is_empty() {
            true => &*d_residual,
            false => {
                d.clear(d_added);
                let d_norm = gradient.of(&at.mlp_post_norm);
                let (x, inverse) = (&block.mlp_added, &block.mlp_post_inverse_rms);
                d.rms_norm_backward(d_added, d_norm, d_residual, x, inverse, p.weight(&at.mlp_post_norm));
                &*d_added
            }
        };
        let linear = self.linear(layer, Site::Down);
        linear.backward(d, p, gradient, Some(d_activated), d_added_by_mlp, &block.activated, lora);
        d.swiglu_backward(&mut block.gate_up, d_activated, inner);
        let linear = self.linear(layer, Site::GateUp);
        linear.backward(d, p, gradient, Some(d_normed), &block.gate_up, &block.mlp_normed, lora);
        let d_norm = gradient.of(&at.mlp_norm);
        let (x, inverse) = (&block.middle, &block.mlp_inverse_rms);
        d.rms_norm_backward(d_residual, d_norm, d_normed, x, inverse, p.weight(&at.mlp_norm));

        let d_added_by_attention = match at.attention_post_norm.is_empty() {
            true => &*d_residual,
            false => {
                d.clear(d_added);
                let d_norm = gradient.of(&at.attention_post_norm);
                let (x, inverse) = (&block.attention_added, &block.attention_post_inverse_rms);
                d.rms_norm_backward(d_added, d_norm, d_residual, x, inverse, p.weight(&at.attention_post_norm));
                &*d_added
            }
        };
        let linear = self.linear(layer, Site::Output);
        linear.backward(d, p, gradient, Some(d_attended), d_added_by_attention, &block.attended, lora);
        let forward = Attended { qkv: &*block.qkv, log_sums: &*block.log_sums, attended: &*block.attended };
        d.attend_backward(d_qkv, d_attended, forward, batch, &self.shape, attention);
        d.rotate(d_qkv, batch, &self.shape, -1.0);
        self.norm_heads_backward(d, p, gradient, block, d_qkv, layer);
        let d_x = (!last).then_some(&mut **d_normed);
        self.linear(layer, Site::Qkv).backward(d, p, gradient, d_x, d_qkv, &block.attention_normed, lora);
        if !last {
            let d_norm = gradient.of(&at.attention_norm);
            let (x, inverse) = (&residual[layer], &block.attention_inverse_rms);
            d.rms_norm_backward(d_residual, d_norm, d_normed, x, inverse, p.weight(&at.attention_norm));
        }
    }

    /// The columns of the queries and of the keys in a row of queries, keys and values, each with its norm.
    fn normed_heads(&self, layer: usize) -> [(NormedHeads, &Range<usize>); 2] {
        let (at, shape) = (&self.map.blocks[layer], &self.shape);
        let (queries, keys) = (shape.num_attention_heads, shape.num_key_value_heads);
        let of_queries = NormedHeads {
            stride: shape.qkv_size(),
            column: 0,
            heads: queries,
            inverse_column: 0,
            inverse_stride: queries + keys,
        };
        let of_keys = NormedHeads { column: shape.query_size(), heads: keys, inverse_column: queries, ..of_queries };
        [(of_queries, &at.query_norm), (of_keys, &at.key_norm)]
    }

    /// Norms each query and key head of `block.qkv`, where the family does; what they were goes to `block.raw_qkv`.
    fn norm_heads<D: Device>(&self, d: &D, p: &Parameters<'_, D>, block: &mut BlockState<D>, layer: usize) {
        if !self.shape.head_norms {
            return;
        }
        let BlockState { qkv, raw_qkv, head_inverse_rms, .. } = block;
        d.copy(raw_qkv, qkv);
        for (heads, norm) in self.normed_heads(layer) {
            let eps = self.shape.rms_norm_eps as f32;
            d.norm_heads(qkv, head_inverse_rms, raw_qkv, p.weight(norm), heads, eps);
        }
    }

    fn norm_heads_backward<D: Device>(
        &self,
        d: &D,
        p: &Parameters<'_, D>,
        gradient: &mut Gradient<'_, D>,
        block: &BlockState<D>,
        d_qkv: &mut D::Values,
        layer: usize,
    ) {
        if !self.shape.head_norms {
            return;
        }
        for (heads, norm) in self.normed_heads(layer) {
            let (d_norm, weight) = (gradient.of(norm), p.weight(norm));
            d.norm_heads_backward(d_qkv, d_norm, &block.raw_qkv, &block.head_inverse_rms, weight, heads);
        }
    }
}
