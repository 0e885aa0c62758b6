//! The forward pass on a graphics processor: WebGPU in a browser, Vulkan or Metal natively.

mod bind;
mod check;
mod kernels;
mod matrix;
mod runner;
mod signal;

use std::{
    fmt,
    future::poll_fn,
    sync::{Arc, Mutex, PoisonError},
};

use wgpu::{
    Adapter, Buffer, BufferDescriptor, BufferUsages, Device, DeviceDescriptor, Instance, InstanceDescriptor, Queue,
    RequestAdapterOptions,
};

use crate::{Config, GpuError, LoadError};

use signal::Signal;

pub use matrix::Matrix;
pub use runner::Runner;

/// Elements of a head that the kernels have room for.
const WIDEST_HEAD: usize = 256;

/// An open graphics processor; clones are the same one.
#[derive(Clone)]
pub struct Gpu(Arc<Inner>);

struct Inner {
    device: Device,
    queue: Queue,
    name: String,
    /// What has gone wrong so far: WebGPU reports errors behind the caller's back.
    trouble: Arc<Mutex<Option<GpuError>>>,
}

impl Gpu {
    /// Opens the processor that the browser or the system prefers for hard work.
    ///
    /// # Errors
    /// There is none, or it cannot be had.
    pub async fn open() -> Result<Self, GpuError> {
        let instance = Instance::new(InstanceDescriptor::new_without_display_handle());
        let options = RequestAdapterOptions {
            power_preference: wgpu::PowerPreference::HighPerformance,
            ..RequestAdapterOptions::default()
        };
        let none = |error: wgpu::RequestAdapterError| GpuError::None { reason: error.to_string() };
        let adapter = instance.request_adapter(&options).await.map_err(none)?;
        Self::from_adapter(&adapter).await
    }

    async fn from_adapter(adapter: &Adapter) -> Result<Self, GpuError> {
        let name = adapter.get_info().name;
        let wanted = DeviceDescriptor { required_limits: adapter.limits(), ..DeviceDescriptor::default() };
        let refused = |error: wgpu::RequestDeviceError| GpuError::None { reason: error.to_string() };
        let (device, queue) = adapter.request_device(&wanted).await.map_err(refused)?;
        let trouble = Arc::new(Mutex::new(None));
        let (failed, lost) = (Arc::clone(&trouble), Arc::clone(&trouble));
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            keep_first(&failed, GpuError::Failed { reason: error.to_string() });
        }));
        device.set_device_lost_callback(move |_, reason| keep_first(&lost, GpuError::Lost { reason }));
        Ok(Self(Arc::new(Inner { device, queue, name, trouble })))
    }

    /// Waits until it has done all that it was given.
    ///
    /// # Errors
    /// What has gone wrong so far.
    pub async fn settled(&self) -> Result<(), GpuError> {
        let signal = Signal::default();
        let given = signal.clone();
        self.queue().on_submitted_work_done(move || given.give());
        self.wait();
        poll_fn(|context| signal.poll(context)).await;
        self.check()
    }

    /// # Errors
    /// A model that the kernels have no room for.
    pub fn check_shape(&self, config: &Config) -> Result<(), LoadError> {
        let head_dim = config.head_dim;
        match head_dim <= WIDEST_HEAD && head_dim.is_multiple_of(2) {
            true => Ok(()),
            false => Err(GpuError::Unsupported { feature: format!("heads of {head_dim} elements") }.into()),
        }
    }

    /// What the system calls it; empty where a browser does not tell.
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// # Errors
    /// What has gone wrong so far.
    fn check(&self) -> Result<(), GpuError> {
        let trouble = self.0.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.clone().map_or(Ok(()), Err)
    }

    /// Waits for what was submitted, where that is possible: a browser tells when it is done, by a callback.
    fn wait(&self) {
        // An error is kept by the callbacks, too.
        let _ = self.device().poll(wgpu::PollType::wait_indefinitely());
    }

    fn device(&self) -> &Device {
        &self.0.device
    }

    fn queue(&self) -> &Queue {
        &self.0.queue
    }

    /// The largest buffer that a kernel can see whole, in bytes.
    fn most_bytes(&self) -> u64 {
        let limits = self.device().limits();
        limits.max_buffer_size.min(limits.max_storage_buffer_binding_size)
    }

    fn buffer(&self, bytes: u64, usage: BufferUsages) -> Buffer {
        let size = bytes.next_multiple_of(4).max(16);
        self.device().create_buffer(&BufferDescriptor { label: None, size, usage, mapped_at_creation: false })
    }

    /// Memory for kernels to read and write.
    fn storage(&self, bytes: u64) -> Buffer {
        self.buffer(bytes, BufferUsages::STORAGE | BufferUsages::COPY_DST | BufferUsages::COPY_SRC)
    }

    fn storage_of(&self, values: &[f32]) -> Buffer {
        let buffer = self.storage(size_of_val(values) as u64);
        self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(values));
        buffer
    }

    /// Numbers that all invocations of a kernel share.
    fn uniform(&self, words: &[u32]) -> Buffer {
        let buffer = self.buffer(size_of_val(words) as u64, BufferUsages::UNIFORM | BufferUsages::COPY_DST);
        self.queue().write_buffer(&buffer, 0, bytemuck::cast_slice(words));
        buffer
    }
}

fn keep_first(trouble: &Mutex<Option<GpuError>>, error: GpuError) {
    trouble.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
}

impl Drop for Inner {
    /// A browser would wait for JavaScript's garbage collector, which knows nothing of the processor's memory.
    fn drop(&mut self) {
        self.device.destroy();
    }
}

impl fmt::Debug for Gpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Gpu").field(&self.name()).finish()
    }
}
