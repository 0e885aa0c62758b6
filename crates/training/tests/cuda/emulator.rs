//! A driver without a GPU: the kernels as C++ behind a header that emulates CUDA, memory with guarded ends, products by
//! the processor.

use libloading::Library;
use std::alloc::{Layout, alloc, dealloc};
use std::collections::HashMap;
use std::ffi::{CStr, CString, c_char, c_void};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock};
use training::cpu::matmul::{Matrix, MatrixMut, matmul};
use training::cuda::KERNELS;
use training::cuda::driver::{Driver, Element, Factor, Launch, Outcome, Product};
use training::device::Write;

/// Bytes on both sides of a buffer that nobody may write to. All bits set, they are NaN to who reads them.
const GUARD: usize = 256;
const FILLING: u8 = 0xff;

type Emulate = unsafe extern "C" fn(*const c_char, u32, u32, u32, u32, *mut *mut c_void) -> *const c_char;

/// One emulated GPU; kernels of all of them run one at a time, because the emulator is one.
pub struct Emulator {
    library: &'static Library,
    memory: Mutex<HashMap<u64, usize>>,
}

/// How the kernels are compiled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Build {
    pub values: Element,
    /// Whether f32 goes through the tensor cores, as bf16 does.
    pub tf32: bool,
    pub barriers: bool,
}

impl Build {
    /// As for a GPU of today.
    pub fn of(values: Element) -> Build {
        Build { values, tf32: values == Element::F32, barriers: true }
    }
}

impl Emulator {
    pub fn new(build: Build) -> Emulator {
        static BUILT: OnceLock<Mutex<Vec<(Build, &'static Library)>>> = OnceLock::new();
        let mut built = BUILT.get_or_init(Mutex::default).lock().unwrap();
        let library = built.iter().find(|(of, _)| *of == build).map(|(_, library)| *library).unwrap_or_else(|| {
            let library: &'static Library = Box::leak(Box::new(compile(build)));
            built.push((build, library));
            library
        });
        Emulator { library, memory: Mutex::default() }
    }

    /// The whole of what was allocated at `pointer`, guards included.
    fn block(pointer: u64, bytes: usize) -> (*mut u8, Layout) {
        ((pointer as usize - GUARD) as *mut u8, Layout::from_size_align(bytes + 2 * GUARD, 256).unwrap())
    }

    /// Whether someone wrote beside a buffer.
    fn check_guards(&self) -> Outcome {
        for (&pointer, &bytes) in self.memory.lock().unwrap().iter() {
            let (start, layout) = Self::block(pointer, bytes);
            // SAFETY: the memory is allocated and was filled as a whole.
            let all = unsafe { std::slice::from_raw_parts(start, layout.size()) };
            if all[..GUARD].iter().chain(&all[GUARD + bytes..]).any(|&byte| byte != FILLING) {
                return Err(format!("something was written beside a buffer of {bytes} bytes"));
            }
        }
        Ok(())
    }
}

fn compile(build: Build) -> Library {
    let name = format!("kernels-{:?}-{}-{}-{}.so", build.values, build.tf32, build.barriers, std::process::id());
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    compile_with(build, "", &path);
    // SAFETY: the library has no initialisers of its own.
    let library = unsafe { Library::new(&path) }.unwrap();
    std::fs::remove_file(&path).unwrap();
    library
}

/// Has the C++ compiler make a library of the kernels, a table of their names, and `more`.
pub fn compile_with(build: Build, more: &str, library: &Path) {
    let kernels = KERNELS.lines().filter_map(|line| line.strip_prefix("KERNEL void ")?.split('(').next());
    let entries: Vec<String> = kernels.map(|kernel| format!("{{\"{kernel}\", call<{kernel}>}}")).collect();
    let (count, entries) = (entries.len(), entries.join(", "));
    let table = format!("const Entry entries[] = {{{entries}}}; const unsigned entry_count = {count};");
    let code = format!("{}\n{KERNELS}\nnamespace {{ {table} }}\n{more}\n", include_str!("emulator.h"));
    let source = library.with_extension("cpp");
    std::fs::write(&source, code).unwrap();
    let mut compiler = Command::new(std::env::var_os("CXX").unwrap_or("c++".into()));
    compiler.args(["-std=c++17", "-O2", "-shared", "-fPIC", "-w", "-U_FORTIFY_SOURCE", "-ffp-contract=off"]);
    if build.values == Element::Bf16 {
        compiler.arg("-DBF16");
    }
    if build.tf32 {
        compiler.arg("-DTF32");
    }
    if !build.barriers {
        compiler.arg("-DWITHOUT_BARRIERS");
    }
    let status = compiler.arg(&source).arg("-o").arg(library).status().expect("a C++ compiler, c++ or that of CXX");
    assert!(status.success(), "{} does not compile", source.display());
    std::fs::remove_file(&source).unwrap();
}

/// One kernel at a time: the emulator's fibers are global.
fn one_at_a_time() -> MutexGuard<'static, ()> {
    static RUNNING: Mutex<()> = Mutex::new(());
    RUNNING.lock().unwrap()
}

impl Driver for Emulator {
    fn name(&self) -> String {
        "emulator".into()
    }

    fn allocate(&self, bytes: usize) -> Outcome<u64> {
        let layout = Layout::from_size_align(bytes + 2 * GUARD, 256).unwrap();
        // SAFETY: the layout is not empty; all of it is filled.
        let start = unsafe {
            let start = alloc(layout);
            start.write_bytes(FILLING, layout.size());
            start
        };
        let pointer = start as u64 + GUARD as u64;
        self.memory.lock().unwrap().insert(pointer, bytes);
        Ok(pointer)
    }

    fn free(&self, pointer: u64) {
        let bytes = self.memory.lock().unwrap().remove(&pointer).expect("memory that was allocated");
        let (start, layout) = Self::block(pointer, bytes);
        // SAFETY: it was allocated with this layout.
        unsafe { dealloc(start, layout) };
    }

    fn upload(&self, to: u64, bytes: &[u8]) -> Outcome {
        // SAFETY: `to` lies in memory of at least as many bytes; the guards tell if not.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), to as *mut u8, bytes.len()) };
        self.check_guards()
    }

    fn download(&self, bytes: &mut [u8], from: u64) -> Outcome {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, bytes.as_mut_ptr(), bytes.len()) };
        self.check_guards()
    }

    fn copy(&self, to: u64, from: u64, bytes: usize) -> Outcome {
        // SAFETY: as above.
        unsafe { std::ptr::copy_nonoverlapping(from as *const u8, to as *mut u8, bytes) };
        self.check_guards()
    }

    fn clear(&self, at: u64, bytes: usize) -> Outcome {
        // SAFETY: as above.
        unsafe { (at as *mut u8).write_bytes(0, bytes) };
        self.check_guards()
    }

    fn launch(&self, launch: Launch<'_>) -> Outcome {
        let Launch { kernel, grid, block, shared, arguments } = launch;
        let mut pointers: Vec<*mut c_void> =
            arguments.iter().map(|argument| argument.pointer().cast_mut().cast()).collect();
        let name = CString::new(kernel).unwrap();
        let running = one_at_a_time();
        // SAFETY: the library exports this function; the kernel finds the arguments that it declares.
        let failure = unsafe {
            let emulate = self.library.get::<Emulate>(b"emulate").unwrap();
            emulate(name.as_ptr(), grid[0], grid[1], block, shared, pointers.as_mut_ptr())
        };
        drop(running);
        if !failure.is_null() {
            // SAFETY: the text is a constant of the library.
            return Err(format!("{kernel}: {}", unsafe { CStr::from_ptr(failure) }.to_string_lossy()));
        }
        self.check_guards().map_err(|reason| format!("{kernel}: {reason}"))
    }

    fn multiply(&self, product: &Product) -> Outcome {
        let Product { a, b, out, rows, columns, inner, .. } = *product;
        let stored = |factor: Factor, rows, columns| if factor.transposed { [columns, rows] } else { [rows, columns] };
        let (a_stored, b_stored) = (stored(a, rows, inner), stored(b, inner, columns));
        let (a_numbers, b_numbers) = (read(a, product.factors, a_stored), read(b, product.factors, b_stored));
        let mut numbers = read(out, product.product, [rows, columns]);
        let view = |factor: Factor, numbers, [rows, columns]: [usize; 2]| {
            let matrix = Matrix::new(numbers, rows, columns, columns);
            if factor.transposed { matrix.t() } else { matrix }
        };
        let write = if product.is_added { Write::Add } else { Write::Replace };
        let (a, b) = (view(a, &a_numbers, a_stored), view(b, &b_numbers, b_stored));
        matmul(MatrixMut::new(&mut numbers, rows, columns, columns), write, product.scale, a, b);
        for (row, numbers) in numbers.chunks_exact(columns).enumerate() {
            for (column, &number) in numbers.iter().enumerate() {
                let place = row * out.stride + column;
                // SAFETY: the caller's matrix has this place; the guards tell if not.
                unsafe {
                    match product.product {
                        Element::F32 => *(out.pointer as *mut f32).add(place) = number,
                        Element::Bf16 => *(out.pointer as *mut half::bf16).add(place) = half::bf16::from_f32(number),
                    }
                }
            }
        }
        self.check_guards()
    }
}

/// A stored matrix as f32, packed.
fn read(matrix: Factor, element: Element, [rows, columns]: [usize; 2]) -> Vec<f32> {
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| row * matrix.stride + column));
    // SAFETY: the caller's matrix has these places.
    let number = |place| unsafe {
        match element {
            Element::F32 => *(matrix.pointer as *const f32).add(place),
            Element::Bf16 => (*(matrix.pointer as *const half::bf16).add(place)).to_f32(),
        }
    };
    places.map(number).collect()
}
