//! Buffers in a device's memory, and the device's first error.

use super::driver::{Driver, Element, Outcome};
use crate::device::Length;
use half::bf16;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, PoisonError};

/// The type of a device's values.
pub trait Storage: bytemuck::Pod + Send + Sync {
    /// Its name among the types.
    const ELEMENT: Element;
    /// Rounds.
    fn from_f32(value: f32) -> Self;
    /// Widens.
    fn to_f32(self) -> f32;
}

impl Storage for f32 {
    const ELEMENT: Element = Element::F32;

    fn from_f32(value: f32) -> f32 {
        value
    }

    fn to_f32(self) -> f32 {
        self
    }
}

impl Storage for bf16 {
    const ELEMENT: Element = Element::Bf16;

    fn from_f32(value: f32) -> bf16 {
        bf16::from_f32(value)
    }

    fn to_f32(self) -> f32 {
        self.to_f32()
    }
}

/// A driver that does nothing any more after its first error, as CUDA itself reports an error later than it happens.
pub(super) struct Guarded {
    driver: Box<dyn Driver>,
    error: Mutex<Option<String>>,
}

impl Guarded {
    pub fn new(driver: Box<dyn Driver>) -> Arc<Guarded> {
        Arc::new(Guarded { driver, error: Mutex::new(None) })
    }

    pub fn name(&self) -> String {
        self.driver.name()
    }

    pub fn error(&self) -> Option<String> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What `ask` gives, unless something failed before or fails now.
    pub fn run<R>(&self, ask: impl FnOnce(&dyn Driver) -> Outcome<R>) -> Option<R> {
        let mut error = self.error.lock().unwrap_or_else(PoisonError::into_inner);
        if error.is_some() {
            return None;
        }
        ask(&*self.driver).map_err(|reason| *error = Some(format!("{}: {reason}", self.driver.name()))).ok()
    }
}

/// Numbers in a device's memory, borrowed.
pub struct DeviceSlice<T> {
    pointer: u64,
    length: usize,
    element: PhantomData<T>,
}

impl<T> DeviceSlice<T> {
    /// Address of the number at `index`, which may be the end.
    pub(super) fn at(&self, index: usize) -> u64 {
        assert!(index <= self.length, "{index} in {}", self.length);
        self.pointer + (index * size_of::<T>()) as u64
    }
}

impl<T> Length for DeviceSlice<T> {
    fn length(&self) -> usize {
        self.length
    }
}

/// Numbers in a device's memory, owned.
pub struct DeviceVec<T> {
    slice: DeviceSlice<T>,
    capacity: usize,
    owner: Option<Arc<Guarded>>,
}

impl<T> Default for DeviceVec<T> {
    fn default() -> DeviceVec<T> {
        DeviceVec { slice: DeviceSlice { pointer: 0, length: 0, element: PhantomData }, capacity: 0, owner: None }
    }
}

impl<T> Deref for DeviceVec<T> {
    type Target = DeviceSlice<T>;

    fn deref(&self) -> &DeviceSlice<T> {
        &self.slice
    }
}

impl<T> DerefMut for DeviceVec<T> {
    fn deref_mut(&mut self) -> &mut DeviceSlice<T> {
        &mut self.slice
    }
}

impl<T> Drop for DeviceVec<T> {
    fn drop(&mut self) {
        if let Some(owner) = &self.owner {
            owner.driver.free(self.slice.pointer);
        }
    }
}

impl<T: bytemuck::Pod> DeviceVec<T> {
    /// A copy of `host`.
    pub(super) fn from(owner: &Arc<Guarded>, host: &[T]) -> DeviceVec<T> {
        let mut buffer = DeviceVec::default();
        buffer.fill(owner, host);
        buffer
    }

    /// Becomes a copy of `host`.
    pub(super) fn fill(&mut self, owner: &Arc<Guarded>, host: &[T]) {
        self.resize(owner, host.len());
        if !host.is_empty() {
            owner.run(|driver| driver.upload(self.pointer, bytemuck::cast_slice(host)));
        }
    }

    /// Room for `length` numbers, which are undefined.
    pub(super) fn resize(&mut self, owner: &Arc<Guarded>, length: usize) {
        if length > self.capacity {
            *self = DeviceVec::default();
            if let Some(pointer) = owner.run(|driver| driver.allocate(length * size_of::<T>())) {
                self.slice.pointer = pointer;
                self.owner = Some(owner.clone());
            }
            self.capacity = length;
        }
        self.slice.length = length;
    }

    /// Room for `length` numbers; those that were there stay.
    pub(super) fn grow(&mut self, owner: &Arc<Guarded>, length: usize) {
        if length > self.capacity {
            let mut larger = DeviceVec::default();
            larger.resize(owner, length.max(2 * self.capacity));
            let bytes = self.length * size_of::<T>();
            if bytes > 0 {
                owner.run(|driver| driver.copy(larger.pointer, self.pointer, bytes));
            }
            *self = larger;
        }
        self.slice.length = length;
    }
}

impl<T: bytemuck::Pod> DeviceSlice<T> {
    /// A copy on the host; zeros after an error.
    pub(super) fn read(&self, owner: &Guarded) -> Vec<T> {
        let mut host = vec![T::zeroed(); self.length];
        if !host.is_empty() {
            owner.run(|driver| driver.download(bytemuck::cast_slice_mut(&mut host), self.pointer));
        }
        host
    }
}
