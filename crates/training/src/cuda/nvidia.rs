//! The driver of a real GPU. CUDA's libraries are opened here, when a run asks for them.

use super::KERNELS;
use super::driver::{Driver, Element, Factor, Launch, Outcome, Product};
use crate::{Error, Result};
use cudarc::cublas::{result as cublas, sys as cublas_sys};
use cudarc::driver::{result as cuda, sys as cuda_sys};
use cudarc::nvrtc::{result as nvrtc, sys as nvrtc_sys};
use std::collections::HashMap;
use std::ffi::{CString, c_int, c_void};
use std::ptr::null_mut;
use std::sync::Mutex;

/// Bytes of shared memory that a block gets without being asked for more.
const SHARED_UNASKED: u32 = 48 << 10;

/// The first GPU, its default stream and the compiled kernels.
pub struct Nvidia {
    name: String,
    context: cuda_sys::CUcontext,
    module: cuda_sys::CUmodule,
    functions: Mutex<HashMap<&'static str, cuda_sys::CUfunction>>,
    cublas: cublas_sys::cublasHandle_t,
}

// SAFETY: CUDA's handles may be used by any thread that makes the context current, as every call here does; cuBLAS's is
// used by one thread at a time, because the device guards its driver.
unsafe impl Send for Nvidia {}
// SAFETY: as above.
unsafe impl Sync for Nvidia {}

impl Nvidia {
    /// Opens the first GPU and compiles the kernels for values of this type.
    pub fn open(values: Element) -> Result<Nvidia> {
        // SAFETY: opening NVIDIA's libraries runs their own initialisers only.
        let present =
            unsafe { [cuda_sys::is_culib_present(), nvrtc_sys::is_culib_present(), cublas_sys::is_culib_present()] };
        let remedies = [
            ("libcuda", "it comes with NVIDIA's driver; install that, or take --device cpu"),
            ("libnvrtc", "it comes with CUDA's toolkit; install that and name its lib folder in LD_LIBRARY_PATH"),
            ("libcublas", "it comes with CUDA's toolkit; install that and name its lib folder in LD_LIBRARY_PATH"),
        ];
        if let Some((_, (library, remedy))) = present.into_iter().zip(remedies).find(|(present, _)| !present) {
            return Err(Error::Device(format!("--device cuda needs {library}, which is not found: {remedy}")));
        }
        Self::start(values).map_err(|reason| Error::Device(format!("--device cuda: {reason}")))
    }

    fn start(values: Element) -> Outcome<Nvidia> {
        cuda::init().map_err(failed("the driver does not start"))?;
        let device = cuda::device::get(0).map_err(failed("no GPU"))?;
        let name = cuda::device::get_name(device).map_err(failed("no name of the GPU"))?;
        // SAFETY: the device exists; its primary context is kept for the life of the program.
        let context = unsafe { cuda::primary_ctx::retain(device) }.map_err(failed("no context"))?;
        // SAFETY: the context was just made.
        unsafe { cuda::ctx::set_current(context) }.map_err(failed("no context"))?;
        use cuda_sys::CUdevice_attribute::{
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR as MAJOR,
            CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR as MINOR,
        };
        let attribute = |attribute| {
            // SAFETY: the device exists.
            unsafe { cuda::device::get_attribute(device, attribute) }.map_err(failed("no compute capability"))
        };
        let (major, minor) = (attribute(MAJOR)?, attribute(MINOR)?);
        if values == Element::Bf16 && major < 8 {
            return Err(format!("{name} has compute capability {major}.{minor}, bf16 needs 8.0: take --precision f32"));
        }
        let ptx = compile(values, major, minor)?;
        // SAFETY: the image ends with a zero, as nvrtcGetPTX gives it.
        let module = unsafe { cuda::module::load_data(ptx.as_ptr().cast()) }
            .map_err(failed("the driver refuses the kernels; is it older than the toolkit?"))?;
        let cublas = cublas::create_handle().map_err(failed("cuBLAS does not start"))?;
        Ok(Nvidia { name, context, module, functions: Mutex::default(), cublas })
    }

    fn enter(&self) -> Outcome {
        // SAFETY: the context is kept for the life of the program.
        unsafe { cuda::ctx::set_current(self.context) }.map_err(failed("no context"))
    }

    fn function(&self, kernel: &'static str, shared: u32) -> Outcome<cuda_sys::CUfunction> {
        let mut functions = self.functions.lock().map_err(|error| error.to_string())?;
        if let Some(&function) = functions.get(kernel) {
            return Ok(function);
        }
        let name = CString::new(kernel).map_err(|error| error.to_string())?;
        // SAFETY: the module stays loaded.
        let function = unsafe { cuda::module::get_function(self.module, name) }.map_err(failed(kernel))?;
        if shared > SHARED_UNASKED {
            let most = cuda_sys::CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
            // SAFETY: the function was just found.
            unsafe { cuda::function::set_function_attribute(function, most, shared as c_int) }
                .map_err(failed(kernel))?;
        }
        functions.insert(kernel, function);
        Ok(function)
    }
}

fn failed<E: std::fmt::Debug>(what: &str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

/// The kernels as the driver's assembly, for the GPU's compute capability.
fn compile(values: Element, major: c_int, minor: c_int) -> Outcome<Vec<std::ffi::c_char>> {
    let source = CString::new(KERNELS).map_err(|error| error.to_string())?;
    let program = nvrtc::create_program(&source, None).map_err(failed("NVRTC does not start"))?;
    let mut options = vec![format!("--gpu-architecture=compute_{major}{minor}"), "--std=c++17".to_string()];
    match values {
        Element::Bf16 => options.push("-DBF16".to_string()),
        Element::F32 if major >= 8 => options.push("-DTF32".to_string()),
        Element::F32 => {}
    }
    // SAFETY: the program is destroyed only after its last use.
    unsafe {
        let compiled = nvrtc::compile_program(program, &options);
        let outcome = match compiled {
            Ok(()) => nvrtc::get_ptx(program).map_err(failed("no code of the kernels")),
            Err(error) => {
                let log = nvrtc::get_program_log(program).unwrap_or_default();
                let log: String = log.iter().map(|&c| char::from(c as u8)).collect();
                Err(format!("the kernels do not compile: {error:?}: {}", log.trim_end_matches('\0')))
            }
        };
        nvrtc::destroy_program(program).map_err(failed("NVRTC"))?;
        outcome
    }
}

impl Driver for Nvidia {
    fn name(&self) -> String {
        self.name.clone()
    }

    fn allocate(&self, bytes: usize) -> Outcome<u64> {
        self.enter()?;
        // SAFETY: the context is current; who gets the address writes before reading.
        unsafe { cuda::malloc_sync(bytes) }.map_err(|error| {
            let free = cuda::mem_get_info().map_or(0, |(free, _)| free);
            let (bytes, free) = (bytes >> 20, free >> 20);
            format!("no room for {bytes} MB, {free} MB are free; take a smaller --tokens-at-once: {error:?}")
        })
    }

    fn free(&self, pointer: u64) {
        // An error would be one of an earlier kernel, which the next call reports.
        if self.enter().is_ok() {
            // SAFETY: the address came from `allocate`, and its owner is gone.
            let _ = unsafe { cuda::free_sync(pointer) };
        }
    }

    fn upload(&self, to: u64, bytes: &[u8]) -> Outcome {
        self.enter()?;
        // SAFETY: the caller owns as many bytes at `to`.
        unsafe { cuda::memcpy_htod_sync(to, bytes) }.map_err(failed("copying to the GPU"))
    }

    fn download(&self, bytes: &mut [u8], from: u64) -> Outcome {
        self.enter()?;
        // SAFETY: the caller owns as many bytes at `from`.
        unsafe { cuda::memcpy_dtoh_sync(bytes, from) }.map_err(failed("copying from the GPU"))
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller owns as many bytes at both places.
        unsafe { cuda::memcpy_dtod_async(to, from, bytes, null_mut()) }.map_err(failed("copying on the GPU"))
    }

    fn clear(&self, at: u64, bytes: usize) -> Outcome {
        self.enter()?;
        // SAFETY: the caller owns as many bytes.
        unsafe { cuda::memset_d8_async(at, 0, bytes, null_mut()) }.map_err(failed("clearing memory"))
    }

    fn launch(&self, launch: Launch<'_>) -> Outcome {
        self.enter()?;
        let function = self.function(launch.kernel, launch.shared)?;
        let mut parameters: Vec<*mut c_void> =
            launch.arguments.iter().map(|argument| argument.pointer().cast_mut().cast()).collect();
        let (grid, block) = ((launch.grid[0], launch.grid[1], 1), (launch.block, 1, 1));
        // SAFETY: the arguments have the kernel's types and lie within their buffers; CUDA copies them now.
        unsafe { cuda::launch_kernel(function, grid, block, launch.shared, null_mut(), &mut parameters) }
            .map_err(failed(launch.kernel))
    }

    fn multiply(&self, product: &Product) -> Outcome {
        self.enter()?;
        let Product { a, b, out, rows, columns, inner, .. } = *product;
        let size = |n: usize| c_int::try_from(n).map_err(|_| format!("a matrix product of {n} is too large"));
        let (scale, kept) = (product.scale, if product.is_added { 1.0f32 } else { 0.0 });
        let operation = |factor: Factor| match factor.transposed {
            true => cublas_sys::cublasOperation_t::CUBLAS_OP_T,
            false => cublas_sys::cublasOperation_t::CUBLAS_OP_N,
        };
        let [factors, result] = [product.factors, product.product].map(|element| match element {
            Element::F32 => cublas_sys::cudaDataType::CUDA_R_32F,
            Element::Bf16 => cublas_sys::cudaDataType::CUDA_R_16BF,
        });
        // cuBLAS reads matrices by columns, that is, transposed: out^T = b^T a^T.
        // SAFETY: the callers checked that every matrix lies within its buffer; the two numbers outlive the call.
        unsafe {
            cublas::gemm_ex(
                self.cublas,
                operation(b),
                operation(a),
                size(columns)?,
                size(rows)?,
                size(inner)?,
                (&raw const scale).cast(),
                b.pointer as *const c_void,
                factors,
                size(b.stride)?,
                a.pointer as *const c_void,
                factors,
                size(a.stride)?,
                (&raw const kept).cast(),
                out.pointer as *mut c_void,
                result,
                size(out.stride)?,
                cublas_sys::cublasComputeType_t::CUBLAS_COMPUTE_32F,
                cublas_sys::cublasGemmAlgo_t::CUBLAS_GEMM_DEFAULT,
            )
        }
        .map_err(failed("cuBLAS"))
    }
}
