//! What a model is computed on: buffers, and the operations of the forward and the backward pass on them.
//!
//! A device keeps two kinds of numbers: values (activations and the weights that passes read), in the precision that it
//! computes in, and floats (gradients, moments, sums over rows), which are f32 everywhere. Operations on a device that works
//! in the background return at once; what went wrong is told by [`Device::check`].

use crate::Result;
use crate::cpu::kernels::{AdamwRates, DropMask};
use crate::model::Segment;
use checkpoint::Shape;
use std::borrow::Cow;
use std::ops::{Deref, DerefMut, Range};

/// The length of a buffer.
pub trait Length {
    /// How many numbers it holds.
    fn length(&self) -> usize;
}

/// Part of a buffer, to be read.
pub struct Part<'a, B: ?Sized> {
    /// The buffer.
    pub buffer: &'a B,
    /// The part's place in it.
    pub range: Range<usize>,
}

/// Part of a buffer, to be written.
pub struct PartMut<'a, B: ?Sized> {
    /// The buffer.
    pub buffer: &'a mut B,
    /// The part's place in it.
    pub range: Range<usize>,
}

/// What happens to the values that a product is written over.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Write {
    /// They are lost.
    Replace,
    /// The product is added to them.
    Add,
}

/// A matrix that lies in a buffer, to be read.
pub struct Matrix<'a, B: ?Sized> {
    /// The buffer.
    pub buffer: &'a B,
    /// Place of the first number.
    pub start: usize,
    /// Rows as they lie in the buffer.
    pub rows: usize,
    /// Columns as they lie in the buffer.
    pub columns: usize,
    /// From a row to the next.
    pub stride: usize,
    /// Whether the transpose is meant.
    pub transposed: bool,
}

/// A matrix that lies in a buffer by rows, to be written.
pub struct MatrixMut<'a, B: ?Sized> {
    /// The buffer.
    pub buffer: &'a mut B,
    /// Place of the first number.
    pub start: usize,
    /// Rows.
    pub rows: usize,
    /// Columns.
    pub columns: usize,
    /// From a row to the next.
    pub stride: usize,
}

impl<'a, B: ?Sized> Part<'a, B> {
    /// As a matrix with rows of `columns`.
    pub fn matrix(self, columns: usize) -> Matrix<'a, B> {
        let (start, rows) = (self.range.start, self.range.len() / columns);
        Matrix { buffer: self.buffer, start, rows, columns, stride: columns, transposed: false }
    }
}

impl<'a, B: ?Sized> PartMut<'a, B> {
    /// As a matrix with rows of `columns`.
    pub fn matrix(self, columns: usize) -> MatrixMut<'a, B> {
        let (start, rows) = (self.range.start, self.range.len() / columns);
        MatrixMut { buffer: self.buffer, start, rows, columns, stride: columns }
    }
}

// Derived, these would ask the buffer for what only references need.
impl<B: ?Sized> Clone for Matrix<'_, B> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<B: ?Sized> Copy for Matrix<'_, B> {}

impl<'a, B: Length + ?Sized> Matrix<'a, B> {
    /// The first `rows` rows of a buffer with rows of `columns`.
    pub fn new(buffer: &'a B, rows: usize, columns: usize) -> Matrix<'a, B> {
        Part { buffer, range: 0..rows * columns }.matrix(columns)
    }

    /// The whole of a buffer with rows of `columns`.
    pub fn all(buffer: &'a B, columns: usize) -> Matrix<'a, B> {
        Matrix::new(buffer, buffer.length() / columns, columns)
    }

    /// Some columns of a buffer with rows of `stride`.
    pub fn columns(buffer: &'a B, columns: Range<usize>, stride: usize) -> Matrix<'a, B> {
        let all = Matrix::all(buffer, stride);
        Matrix { start: columns.start, columns: columns.len(), ..all }
    }

    /// The transpose.
    pub fn t(self) -> Matrix<'a, B> {
        Matrix { transposed: !self.transposed, ..self }
    }
}

impl<'a, B: Length + ?Sized> MatrixMut<'a, B> {
    /// The first `rows` rows of a buffer with rows of `columns`.
    pub fn new(buffer: &'a mut B, rows: usize, columns: usize) -> MatrixMut<'a, B> {
        PartMut { buffer, range: 0..rows * columns }.matrix(columns)
    }

    /// Some columns of a buffer with rows of `stride`.
    pub fn columns(buffer: &'a mut B, columns: Range<usize>, stride: usize) -> MatrixMut<'a, B> {
        let rows = buffer.length() / stride;
        MatrixMut { buffer, start: columns.start, rows, columns: columns.len(), stride }
    }
}

/// What the operations need to know of a pack.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// The tokens.
    pub tokens: Vec<u32>,
    /// The documents.
    pub segments: Vec<Segment>,
    /// Cosines of each token's rotary angles, `[tokens, rotary width / 2]`.
    pub cos: Vec<f32>,
    /// Their sines.
    pub sin: Vec<f32>,
    /// The positions that are trained on.
    pub rows: Vec<u32>,
    /// What should follow each of them.
    pub targets: Vec<u32>,
}

/// Which columns of each row of queries, keys and values are normed, head by head.
#[derive(Clone, Copy, Debug)]
pub struct NormedHeads {
    /// Width of a row.
    pub stride: usize,
    /// Column of the first head.
    pub column: usize,
    /// How many heads.
    pub heads: usize,
    /// Where the heads' inverse root mean squares begin in a row of them.
    pub inverse_column: usize,
    /// Width of such a row.
    pub inverse_stride: usize,
}

/// A matrix that Muon updates.
#[derive(Clone, Debug)]
pub struct PlacedMatrix {
    /// Its place in the flat buffer.
    pub range: Range<usize>,
    /// Rows and columns.
    pub shape: [usize; 2],
}

/// A processor with its memory. Rows are tokens; buffers have the lengths that the shapes below say.
pub trait Device: Clone + Send + Sync {
    /// Values, borrowed.
    type Values: Length + ?Sized + Sync;
    /// Values, owned.
    type ValueBuffer: DerefMut<Target = Self::Values> + Default + Send + Sync;
    /// Floats, borrowed.
    type Floats: Length + ?Sized + Sync;
    /// Floats, owned.
    type FloatBuffer: DerefMut<Target = Self::Floats> + Default + Send + Sync;
    /// Parameters that an optimizer updates in f32 and passes read as values.
    type Trained: Deref<Target = Self::Values> + Send + Sync;
    /// A [`Batch`] where the operations find it.
    type Batch: Default + Send;
    /// Scratch memory of attention.
    type Scratch: Default + Send;
    /// The keys and values of one block, a row for each token read so far.
    type Kept: Default + Send;

    /// What it is, for people.
    fn description(&self) -> String;
    /// How many threads share a step's rows, each with gradients of its own.
    fn workers(&self) -> usize;
    /// Tokens of a pass, of which a worker of a processor would take `tokens`.
    fn tokens_at_once(&self, tokens: usize) -> usize;
    /// Rows of logits over `vocab` that exist at one time.
    fn logits_at_once(&self, vocab: usize) -> usize;
    /// Refuses a model that the operations cannot compute.
    fn accepts(&self, shape: &Shape) -> Result<()>;
    /// The first error since the device was opened. Until it is asked, operations after an error do nothing.
    fn check(&self) -> Result<()>;

    /// Values on the device.
    fn values(&self, host: Vec<f32>) -> Self::ValueBuffer;
    /// Floats on the device.
    fn floats(&self, host: Vec<f32>) -> Self::FloatBuffer;
    /// Parameters on the device.
    fn trained(&self, host: Vec<f32>) -> Self::Trained;
    /// Values read back.
    fn read<'a>(&self, values: &'a Self::Values) -> Cow<'a, [f32]>;
    /// Floats read back.
    fn read_floats<'a>(&self, floats: &'a Self::Floats) -> Cow<'a, [f32]>;
    /// Parameters read back, in full precision.
    fn read_trained<'a>(&self, trained: &'a Self::Trained) -> Cow<'a, [f32]>;
    /// Makes room for `length` values. What they are is undefined.
    fn resize(&self, buffer: &mut Self::ValueBuffer, length: usize);
    /// Makes room for `length` floats. What they are is undefined.
    fn resize_floats(&self, buffer: &mut Self::FloatBuffer, length: usize);
    /// Puts a batch where the operations find it.
    fn load(&self, to: &mut Self::Batch, batch: Batch);

    /// `out = scale * a * b`, or `out += scale * a * b`.
    fn matmul(
        &self,
        out: MatrixMut<'_, Self::Values>,
        write: Write,
        scale: f32,
        a: Matrix<'_, Self::Values>,
        b: Matrix<'_, Self::Values>,
    );
    /// `sum += scale * a * b` in f32.
    fn add_product(
        &self,
        sum: MatrixMut<'_, Self::Floats>,
        scale: f32,
        a: Matrix<'_, Self::Values>,
        b: Matrix<'_, Self::Values>,
    );

    /// `sum += x`.
    fn add(&self, sum: &mut Self::Values, x: &Self::Values);
    /// `to = from`.
    fn copy(&self, to: &mut Self::Values, from: &Self::Values);
    /// `x = 0`.
    fn clear(&self, x: &mut Self::Values);
    /// `x = 0`.
    fn clear_floats(&self, x: &mut Self::Floats);
    /// Adds a bias to each row.
    fn add_bias(&self, x: &mut Self::Values, bias: Part<'_, Self::Values>);
    /// Adds the sum of all rows to the bias's gradient.
    fn add_bias_backward(&self, d_bias: PartMut<'_, Self::Floats>, d_out: &Self::Values);
    /// `out = x`, a share of it dropped.
    fn drop_out(&self, out: &mut Self::Values, x: &Self::Values, mask: DropMask);
    /// Adds the gradient of [`Device::drop_out`]'s input to `d_x`.
    fn drop_out_backward(&self, d_x: &mut Self::Values, d_out: &Self::Values, mask: DropMask);

    /// `out = x / rms(x) * weight` for each row; the reciprocal root mean squares go to `inverse_rms`.
    fn rms_norm(
        &self,
        out: &mut Self::Values,
        inverse_rms: &mut Self::Floats,
        x: &Self::Values,
        weight: Part<'_, Self::Values>,
        eps: f32,
    );
    /// Adds the gradient of [`Device::rms_norm`]'s input to `d_x` and that of its weight to `d_weight`, if it is wanted.
    fn rms_norm_backward(
        &self,
        d_x: &mut Self::Values,
        d_weight: Option<PartMut<'_, Self::Floats>>,
        d_out: &Self::Values,
        x: &Self::Values,
        inverse_rms: &Self::Floats,
        weight: Part<'_, Self::Values>,
    );
    /// Norms some heads of each row of `qkv`; what they were is in `raw`.
    fn norm_heads(
        &self,
        qkv: &mut Self::Values,
        inverse_rms: &mut Self::Floats,
        raw: &Self::Values,
        weight: Part<'_, Self::Values>,
        heads: NormedHeads,
        eps: f32,
    );
    /// `d_qkv` becomes the gradient of `raw`; the weight's is added to `d_weight`, if it is wanted.
    fn norm_heads_backward(
        &self,
        d_qkv: &mut Self::Values,
        d_weight: Option<PartMut<'_, Self::Floats>>,
        raw: &Self::Values,
        inverse_rms: &Self::Floats,
        weight: Part<'_, Self::Values>,
        heads: NormedHeads,
    );

    /// Rotates queries and keys by their positions (`direction` 1), or back (-1).
    fn rotate(&self, qkv: &mut Self::Values, batch: &Self::Batch, shape: &Shape, direction: f32);
    /// Causal attention within each segment and its prefix. `log_sums` gets each token's and head's logarithm of the sum
    /// of exponential scores.
    fn attend(
        &self,
        attended: &mut Self::Values,
        log_sums: &mut Self::Floats,
        qkv: &Self::Values,
        batch: &Self::Batch,
        shape: &Shape,
        scratch: &mut Self::Scratch,
    );
    /// Fills `d_qkv` from the gradient of `attended`.
    fn attend_backward(
        &self,
        d_qkv: &mut Self::Values,
        d_attended: &Self::Values,
        forward: Attended<'_, Self>,
        batch: &Self::Batch,
        shape: &Shape,
        scratch: &mut Self::Scratch,
    );
    /// As [`Device::attend`] for tokens that follow those of `kept`, which they join.
    fn attend_kept(&self, attended: &mut Self::Values, qkv: &Self::Values, kept: &mut Self::Kept, shape: &Shape);

    /// `out = silu(gate) * up` for each row `[gate, up]` of twice `width`.
    fn swiglu(&self, out: &mut Self::Values, gate_up: &Self::Values, width: usize);
    /// `gate_up` becomes its own gradient, given that of [`Device::swiglu`]'s output.
    fn swiglu_backward(&self, gate_up: &mut Self::Values, d_out: &Self::Values, width: usize);

    /// The embeddings of the batch's tokens, `[tokens, width]`.
    fn embed(&self, out: &mut Self::Values, embedding: Part<'_, Self::Values>, batch: &Self::Batch, width: usize);
    /// Adds the gradient of [`Device::embed`]'s embedding.
    fn embed_backward(
        &self,
        d_embedding: PartMut<'_, Self::Floats>,
        d_out: &Self::Values,
        batch: &Self::Batch,
        width: usize,
    );
    /// Row i of `out` becomes the row of `x` at the trained position `rows.start + i`.
    fn gather(&self, out: &mut Self::Values, x: &Self::Values, batch: &Self::Batch, rows: Range<usize>, width: usize);
    /// The reverse of [`Device::gather`].
    fn scatter(&self, out: &mut Self::Values, x: &Self::Values, batch: &Self::Batch, rows: Range<usize>, width: usize);
    /// Writes the loss -ln p(target) of each trained position in `rows` to its place in `losses`; its row of logits, which
    /// are `vocab` wide, becomes `scale` times the loss's gradient.
    fn cross_entropy(
        &self,
        logits: &mut Self::Values,
        losses: &mut Self::Floats,
        batch: &Self::Batch,
        rows: Range<usize>,
        vocab: usize,
        scale: f32,
    );

    /// Adds all gradients to the first one; returns its norm.
    fn reduce(&self, gradients: Vec<&mut Self::Floats>) -> f64;
    /// AdamW's update of `range`.
    fn adamw(
        &self,
        trained: &mut Self::Trained,
        moments: [&mut Self::Floats; 2],
        gradient: &Self::Floats,
        range: Range<usize>,
        rates: AdamwRates,
    );
    /// Muon's update of `matrices`.
    fn muon(
        &self,
        trained: &mut Self::Trained,
        momentum: &mut Self::Floats,
        gradient: &Self::Floats,
        matrices: &[PlacedMatrix],
        rates: AdamwRates,
    );
}

/// What attention's backward pass needs from its forward pass.
pub struct Attended<'a, D: Device> {
    /// Queries, keys and values.
    pub qkv: &'a D::Values,
    /// The logarithms of the sums.
    pub log_sums: &'a D::Floats,
    /// What came out.
    pub attended: &'a D::Values,
}
