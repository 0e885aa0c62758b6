use super::linear::{project, project_input_gradient, project_weight_gradient};
use super::pass::{Gradient, Parameters};
use super::{Model, Pack, Workspace};
use crate::device::{Device, Matrix, PartMut, Write};

impl Model {
    /// The summed loss. With `gradient`, also the head's gradients, and the one before the final norm in
    /// `work.d_residual`. Only positions with a target reach the head, some at a time.
    pub(super) fn head_loss<D: Device>(
        &self,
        p: &Parameters<'_, D>,
        mut gradient: Option<&mut Gradient<'_, D>>,
        work: &mut Workspace<D>,
        pack: &Pack,
        scale: f32,
    ) {
        let (hidden, vocab) = (self.shape.hidden_size, self.shape.vocab_size);
        let Workspace { device: d, batch, final_normed, d_normed, logits, losses, picked, d_picked, .. } = work;
        d.clear(d_normed);
        let targets = pack.target_count();
        let at_once = d.logits_at_once(vocab);
        for first in (0..targets).step_by(at_once) {
            let rows = first..(first + at_once).min(targets);
            let count = rows.len();
            d.resize(logits, count * vocab);
            d.resize(picked, count * hidden);
            d.resize(d_picked, count * hidden);
            d.gather(picked, final_normed, batch, rows.clone(), hidden);
            let head = || p.weight(&self.map.head);
            let x = Matrix::new(&**picked, count, hidden);
            project(d, logits, Write::Replace, x, head());
            d.cross_entropy(logits, losses, batch, rows.clone(), vocab, scale);
            let Some(gradient) = gradient.as_deref_mut() else { continue };
            let d_logits = Matrix::new(&**logits, count, vocab);
            if let Gradient::Weights(gradient) = gradient {
                let d_head = PartMut { buffer: &mut **gradient, range: self.map.head.clone() };
                project_weight_gradient(d, d_head, d_logits, x);
            }
            project_input_gradient(d, d_picked, d_logits, head());
            d.scatter(d_normed, d_picked, batch, rows, hidden);
        }
        if let Some(gradient) = gradient {
            d.clear(&mut work.d_residual);
            d.rms_norm_backward(
                &mut work.d_residual,
                gradient.of(&self.map.final_norm),
                &work.d_normed,
                &work.residual[self.shape.num_hidden_layers],
                &work.final_inverse_rms,
                p.weight(&self.map.final_norm),
            );
        }
    }

    /// The summed loss that [`Self::head_loss`] has left.
    pub(super) fn read_loss<D: Device>(&self, work: &Workspace<D>, pack: &Pack) -> f64 {
        let losses = work.device.read_floats(&work.losses);
        losses[..pack.target_count()].iter().fold(0.0, |sum, &loss| sum + f64::from(loss))
    }

    /// The logits of the positions from `first` on.
    pub(super) fn head_logits<D: Device>(&self, p: &Parameters<'_, D>, work: &Workspace<D>, first: usize) -> Vec<f32> {
        let (d, hidden) = (&work.device, self.shape.hidden_size);
        let normed = Matrix::all(&*work.final_normed, hidden);
        let x = Matrix { start: first * hidden, rows: normed.rows - first, ..normed };
        let mut logits = D::ValueBuffer::default();
        d.resize(&mut logits, x.rows * self.shape.vocab_size);
        project(d, &mut logits, Write::Replace, x, p.weight(&self.map.head));
        d.read(&logits).into_owned()
    }
}
