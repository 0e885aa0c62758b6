//! What is asked of whoever runs the kernels: memory, launches and matrix products.

/// A number, a pointer or a few numbers, as a kernel's argument.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(8))]
pub struct Argument([u8; 32]);

impl Argument {
    /// The argument's bytes are those of `value`, which must not exceed 32.
    pub fn new(value: impl bytemuck::NoUninit) -> Argument {
        let bytes = bytemuck::bytes_of(&value);
        let mut argument = Argument([0; 32]);
        argument.0[..bytes.len()].copy_from_slice(bytes);
        argument
    }

    /// Where its bytes lie.
    pub fn pointer(&self) -> *const u8 {
        self.0.as_ptr()
    }
}

/// A kernel over a grid of blocks.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Blocks in both directions.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub block: u32,
    /// Bytes of shared memory whose amount the kernel does not know.
    pub shared: u32,
    /// The arguments.
    pub arguments: &'a [Argument],
}

/// The type of numbers in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Element {
    /// 32 bits.
    F32,
    /// The upper half of them.
    Bf16,
}

/// A factor of a product: a matrix stored by rows, or its transpose.
#[derive(Clone, Copy, Debug)]
pub struct Factor {
    /// Address of the first number.
    pub pointer: u64,
    /// From a stored row to the next, in numbers.
    pub stride: usize,
    /// Whether the transpose is meant.
    pub transposed: bool,
}

/// `out = scale * a * b`, or added to `out`; sums are kept in f32.
#[derive(Clone, Copy, Debug)]
pub struct Product {
    /// `[rows, inner]`.
    pub a: Factor,
    /// `[inner, columns]`.
    pub b: Factor,
    /// Type of both.
    pub factors: Element,
    /// `[rows, columns]`, stored by rows.
    pub out: Factor,
    /// Its type.
    pub product: Element,
    /// Rows of `out`.
    pub rows: usize,
    /// Columns of `out`.
    pub columns: usize,
    /// Terms of each sum.
    pub inner: usize,
    /// Factor of the product.
    pub scale: f32,
    /// Whether it is added to `out`.
    pub is_added: bool,
}

/// The outcome of what is asked of a driver; an error says what failed, and why.
pub type Outcome<T = ()> = Result<T, String>;

/// Runs kernels and products in the order in which they are asked for. Addresses are those of its own memory.
pub trait Driver: Send + Sync {
    /// Which device.
    fn name(&self) -> String;
    /// New memory; its contents are undefined.
    fn allocate(&self, bytes: usize) -> Outcome<u64>;
    /// Gives memory back.
    fn free(&self, pointer: u64);
    /// Copies to the device; the bytes may change after it.
    fn upload(&self, to: u64, bytes: &[u8]) -> Outcome;
    /// Waits for everything asked for and copies from the device.
    fn download(&self, bytes: &mut [u8], from: u64) -> Outcome;
    /// Copies on the device.
    fn copy(&self, to: u64, from: u64, bytes: usize) -> Outcome;
    /// Fills with zeros.
    fn clear(&self, at: u64, bytes: usize) -> Outcome;
    /// Starts a kernel.
    fn launch(&self, launch: Launch<'_>) -> Outcome;
    /// Starts a matrix product.
    fn multiply(&self, product: &Product) -> Outcome;
}
