//! NVIDIA's GPUs: the kernels are compiled when a run starts, the products are cuBLAS's. Values are f32 or bf16; gradients,
//! moments and the trained parameters themselves are f32 either way.

mod batch;
pub mod driver;
mod launches;
mod memory;
mod muon;
mod nvidia;
mod operations;

pub use memory::{DeviceSlice, DeviceVec, Storage};
pub use nvidia::Nvidia;

use driver::{Argument, Driver, Launch, Product};
use memory::Guarded;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::{Arc, Mutex};

/// The kernels. `BF16` is defined where values are bf16, `TF32` where f32 goes through tensor cores.
pub const KERNELS: &str = concat!(
    include_str!("numbers.cu"),
    include_str!("kernels.cu"),
    include_str!("tiles.cu"),
    include_str!("attention.cu")
);

/// Threads of a block of most kernels.
const BLOCK: u32 = 256;
const WARP: u32 = 32;
/// Most blocks of a kernel whose threads take more than one element.
const MOST_BLOCKS: usize = 4096;
/// Widest head that attention.cu is instantiated for.
const WIDEST_HEAD: usize = 128;
/// Tokens of a pass, if nothing else is said: enough to keep a large GPU busy.
pub const TOKENS_AT_ONCE: usize = 8192;
/// Most numbers of the logits that exist at one time.
const LOGITS_AT_ONCE: usize = 1 << 26;

/// A GPU with values of type `T`. Clones are the same GPU.
pub struct Cuda<T> {
    owner: Arc<Guarded>,
    /// What a kernel leaves for the next one.
    scratch: Arc<Mutex<DeviceVec<f32>>>,
    tokens_at_once: usize,
    values: PhantomData<T>,
}

impl<T> Clone for Cuda<T> {
    fn clone(&self) -> Cuda<T> {
        let Cuda { owner, scratch, tokens_at_once, values } = self;
        Cuda { owner: owner.clone(), scratch: scratch.clone(), tokens_at_once: *tokens_at_once, values: *values }
    }
}

/// Trained parameters: the values that passes read, and beside rounded ones the f32 that the optimizer updates.
pub struct Trained<T> {
    values: DeviceVec<T>,
    masters: Option<DeviceVec<f32>>,
}

impl<T> Trained<T> {
    /// Where the parameters from `at` on lie, in full precision and as passes read them.
    fn places(&self, at: usize) -> [u64; 2] {
        let values = self.values.at(at);
        [self.masters.as_ref().map_or(values, |masters| masters.at(at)), values]
    }
}

impl<T> Deref for Trained<T> {
    type Target = DeviceSlice<T>;

    fn deref(&self) -> &DeviceSlice<T> {
        &self.values
    }
}

/// The keys and values of one block, a row for each token read so far.
pub struct Kept<T> {
    keys: DeviceVec<T>,
    values: DeviceVec<T>,
    tokens: usize,
}

impl<T> Default for Kept<T> {
    fn default() -> Kept<T> {
        Kept { keys: DeviceVec::default(), values: DeviceVec::default(), tokens: 0 }
    }
}

impl<T: Storage> Cuda<T> {
    /// The GPU of `driver`, which runs [`KERNELS`] for values of type `T`.
    pub fn new(driver: Box<dyn Driver>) -> Cuda<T> {
        let owner = Guarded::new(driver);
        Cuda { owner, scratch: Arc::default(), tokens_at_once: TOKENS_AT_ONCE, values: PhantomData }
    }

    /// The same GPU with passes of about `tokens`: fewer need less memory, more keep a larger GPU busy.
    pub fn with_tokens_at_once(self, tokens: usize) -> Cuda<T> {
        Cuda { tokens_at_once: tokens, ..self }
    }

    fn launch(&self, kernel: &'static str, grid: [usize; 2], shared: usize, block: u32, arguments: &[Argument]) {
        if grid.contains(&0) {
            return;
        }
        let (grid, shared) = (grid.map(|n| n as u32), shared as u32);
        self.owner.run(|driver| driver.launch(Launch { kernel, grid, block, shared, arguments }));
    }

    /// A thread for each of `elements`, or for several.
    fn each(&self, kernel: &'static str, elements: usize, arguments: &[Argument]) {
        let blocks = elements.div_ceil(BLOCK as usize).min(MOST_BLOCKS);
        self.launch(kernel, [blocks, 1], 0, BLOCK, arguments);
    }

    /// A block for each of `rows`, with a thread for each chunk of `width` numbers, or for several.
    fn rows(&self, kernel: &'static str, rows: usize, width: usize, arguments: &[Argument]) {
        let threads = (width.div_ceil(Self::CHUNK) as u32).next_multiple_of(WARP).min(BLOCK);
        self.launch(kernel, [rows, 1], 0, threads, arguments);
    }

    /// Numbers of a chunk, CHUNK in numbers.cu.
    const CHUNK: usize = 16 / size_of::<T>();

    /// A block for each of `blocks`.
    fn blocks(&self, kernel: &'static str, blocks: usize, arguments: &[Argument]) {
        self.launch(kernel, [blocks, 1], 0, BLOCK, arguments);
    }

    fn clear_bytes(&self, at: u64, bytes: usize) {
        if bytes > 0 {
            self.owner.run(|driver| driver.clear(at, bytes));
        }
    }

    fn multiply(&self, product: &Product) {
        if product.rows > 0 && product.columns > 0 && product.inner > 0 {
            self.owner.run(|driver| driver.multiply(product));
        }
    }
}
