use super::{Model, Pack, Workspace};
use crate::kernels;
use crate::matmul::{Matrix, MatrixMut, Write, matmul};

/// `out = x * weight^T`, or added to `out`. `weight` is `[outputs, inputs]`.
pub(super) fn project(out: &mut [f32], write: Write, x: &[f32], weight: &[f32], inputs: usize) {
    let (rows, outputs) = (x.len() / inputs, weight.len() / inputs);
    matmul(
        MatrixMut::new(out, rows, outputs, outputs),
        write,
        1.0,
        Matrix::new(x, rows, inputs, inputs),
        Matrix::new(weight, outputs, inputs, inputs).t(),
    );
}

/// The gradient of [`project`]'s input: `d_x = d_out * weight`.
pub(super) fn project_input_gradient(d_x: &mut [f32], d_out: &[f32], weight: &[f32], inputs: usize) {
    let outputs = weight.len() / inputs;
    let rows = d_out.len() / outputs;
    matmul(
        MatrixMut::new(d_x, rows, inputs, inputs),
        Write::Replace,
        1.0,
        Matrix::new(d_out, rows, outputs, outputs),
        Matrix::new(weight, outputs, inputs, inputs),
    );
}

/// The gradient of [`project`]'s weight: `d_weight += d_out^T * x`.
pub(super) fn project_weight_gradient(d_weight: &mut [f32], d_out: &[f32], x: &[f32], inputs: usize) {
    let outputs = d_weight.len() / inputs;
    let rows = x.len() / inputs;
    matmul(
        MatrixMut::new(d_weight, outputs, inputs, inputs),
        Write::Add,
        1.0,
        Matrix::new(d_out, rows, outputs, outputs).t(),
        Matrix::new(x, rows, inputs, inputs),
    );
}

impl Model {
    pub(super) fn block_forward(&self, weights: &[f32], work: &mut Workspace, pack: &Pack, layer: usize) {
        let c = &self.config;
        let (hidden, inner, eps) = (c.hidden_size, c.intermediate_size, c.rms_norm_eps as f32);
        let at = &self.map.blocks[layer];
        let weight = |range: &std::ops::Range<usize>| &weights[range.clone()];
        let Workspace { blocks, residual, scores, .. } = work;
        let (block, (before, after)) = (&mut blocks[layer], residual.split_at_mut(layer + 1));
        let (x, out) = (&before[layer], &mut after[0]);

        let norm = weight(&at.attention_norm);
        kernels::rms_norm(&mut block.attention_normed, &mut block.attention_inverse_rms, x, norm, eps);
        project(&mut block.qkv, Write::Replace, &block.attention_normed, weight(&at.qkv), hidden);
        self.rotate(&mut block.qkv, pack, 1.0);
        self.attend(block, pack, scores);
        block.middle.copy_from_slice(x);
        project(&mut block.middle, Write::Add, &block.attended, weight(&at.output), c.query_size());

        let norm = weight(&at.mlp_norm);
        kernels::rms_norm(&mut block.mlp_normed, &mut block.mlp_inverse_rms, &block.middle, norm, eps);
        project(&mut block.gate_up, Write::Replace, &block.mlp_normed, weight(&at.gate_up), hidden);
        kernels::swiglu(&mut block.activated, &block.gate_up, inner);
        out.copy_from_slice(&block.middle);
        project(out, Write::Add, &block.activated, weight(&at.down), inner);
    }

    /// Turns `work.d_residual` from the gradient after the block into the one before it.
    pub(super) fn block_backward(
        &self,
        weights: &[f32],
        gradient: &mut [f32],
        work: &mut Workspace,
        pack: &Pack,
        layer: usize,
    ) {
        let c = &self.config;
        let (hidden, inner) = (c.hidden_size, c.intermediate_size);
        let at = &self.map.blocks[layer];
        let weight = |range: &std::ops::Range<usize>| &weights[range.clone()];
        let Workspace { blocks, residual, d_residual, d_normed, d_activated, d_attended, d_qkv, .. } = work;
        let block = &mut blocks[layer];

        project_weight_gradient(&mut gradient[at.down.clone()], d_residual, &block.activated, inner);
        project_input_gradient(d_activated, d_residual, weight(&at.down), inner);
        kernels::swiglu_backward(&mut block.gate_up, d_activated, inner);
        let d_gate_up = &block.gate_up;
        project_weight_gradient(&mut gradient[at.gate_up.clone()], d_gate_up, &block.mlp_normed, hidden);
        project_input_gradient(d_normed, d_gate_up, weight(&at.gate_up), hidden);
        kernels::rms_norm_backward(
            d_residual,
            &mut gradient[at.mlp_norm.clone()],
            d_normed,
            &block.middle,
            &block.mlp_inverse_rms,
            weight(&at.mlp_norm),
        );

        project_weight_gradient(&mut gradient[at.output.clone()], d_residual, &block.attended, c.query_size());
        project_input_gradient(d_attended, d_residual, weight(&at.output), c.query_size());
        self.attend_backward(block, d_attended, d_qkv, pack, &mut work.scores, &mut work.d_scores);
        self.rotate(d_qkv, pack, -1.0);
        project_weight_gradient(&mut gradient[at.qkv.clone()], d_qkv, &block.attention_normed, hidden);
        project_input_gradient(d_normed, d_qkv, weight(&at.qkv), hidden);
        kernels::rms_norm_backward(
            d_residual,
            &mut gradient[at.attention_norm.clone()],
            d_normed,
            &residual[layer],
            &block.attention_inverse_rms,
            weight(&at.attention_norm),
        );
    }

    /// Rotates queries and keys of `qkv` by their positions, or back.
    fn rotate(&self, qkv: &mut [f32], pack: &Pack, direction: f32) {
        let c = &self.config;
        let (half, heads) = (c.head_dim() / 2, c.num_attention_heads + c.num_key_value_heads);
        let width = c.query_size() + 2 * c.key_size();
        for segment in &pack.segments {
            let rows = &mut qkv[segment.tokens.start * width..segment.tokens.end * width];
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                let position = segment.prefix.len() + i;
                let angles = position * half..(position + 1) * half;
                kernels::rotate_row(row, heads, &self.cos[angles.clone()], &self.sin[angles], direction);
            }
        }
    }
}
