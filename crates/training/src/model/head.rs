use super::linear::{project, project_input_gradient, project_weight_gradient};
use super::workspace::HEAD_ROWS;
use super::{Gradient, IGNORE, Model, Pack, Parameters, Workspace};
use crate::kernels;
use crate::matmul::Write;

impl Model {
    /// The summed loss. With `gradient`, also the head's gradients, and the one before the final norm in
    /// `work.d_residual`. Only positions with a target reach the head, [`HEAD_ROWS`] at a time.
    pub(super) fn head_loss(
        &self,
        p: &Parameters<'_>,
        mut gradient: Option<&mut Gradient<'_>>,
        work: &mut Workspace,
        pack: &Pack,
        scale: f32,
    ) -> f64 {
        let (hidden, vocab) = (self.shape.hidden_size, self.shape.vocab_size);
        let head = p.weight(&self.map.head);
        let rows: Vec<usize> = (0..pack.targets.len()).filter(|&i| pack.targets[i] != IGNORE).collect();
        let Workspace { final_normed, d_normed, logits, picked, d_picked, .. } = work;
        d_normed.fill(0.0);
        let mut loss = 0.0;
        for rows in rows.chunks(HEAD_ROWS) {
            let picked = &mut picked[..rows.len() * hidden];
            for (out, &row) in picked.chunks_exact_mut(hidden).zip(rows) {
                out.copy_from_slice(&final_normed[row * hidden..][..hidden]);
            }
            let logits = &mut logits[..rows.len() * vocab];
            project(logits, Write::Replace, picked, head, hidden);
            for (logits, &row) in logits.chunks_exact_mut(vocab).zip(rows) {
                loss += f64::from(kernels::cross_entropy_row(logits, pack.targets[row] as usize, scale));
            }
            let Some(gradient) = gradient.as_deref_mut() else { continue };
            if let Gradient::Weights(gradient) = gradient {
                project_weight_gradient(&mut gradient[self.map.head.clone()], logits, picked, hidden);
            }
            let d_picked = &mut d_picked[..rows.len() * hidden];
            project_input_gradient(d_picked, logits, head, hidden);
            for (d_picked, &row) in d_picked.chunks_exact(hidden).zip(rows) {
                d_normed[row * hidden..][..hidden].copy_from_slice(d_picked);
            }
        }
        if let Some(gradient) = gradient {
            work.d_residual.fill(0.0);
            kernels::rms_norm_backward(
                &mut work.d_residual,
                gradient.of(&self.map.final_norm, &mut work.unused),
                &work.d_normed,
                &work.residual[self.shape.num_hidden_layers],
                &work.final_inverse_rms,
                p.weight(&self.map.final_norm),
            );
        }
        loss
    }

    pub(super) fn head_logits(&self, p: &Parameters<'_>, work: &Workspace) -> Vec<f32> {
        let hidden = self.shape.hidden_size;
        let mut logits = vec![0.0; work.final_normed.len() / hidden * self.shape.vocab_size];
        let head = p.weight(&self.map.head);
        project(&mut logits, Write::Replace, &work.final_normed, head, hidden);
        logits
    }
}
