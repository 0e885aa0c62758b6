//! The arithmetic on the processor: kernels written once over [`isa`], compiled for each instruction set, chosen at run time.

/// Calls a kernel that is generic over its [`Isa`], compiled with the features of `$cpu`.
macro_rules! dispatch {
    ($cpu:expr, $kernel:ident$(::<$format:ident>)?($($arg:ident: $type:ty),* $(,)?) $(-> $out:ty)?) => {{
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx2,fma,f16c")]
        unsafe fn avx2$(<$format: $crate::cpu::Format>)?($($arg: $type),*) $(-> $out)? {
            unsafe { $kernel::<$crate::cpu::avx2::Avx2 $(, $format)?>($($arg),*) }
        }
        #[cfg(target_arch = "x86_64")]
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni,avx2,fma,f16c")]
        unsafe fn avx512$(<$format: $crate::cpu::Format>)?($($arg: $type),*) $(-> $out)? {
            unsafe { $kernel::<$crate::cpu::avx512::Avx512 $(, $format)?>($($arg),*) }
        }
        #[cfg(target_arch = "aarch64")]
        #[target_feature(enable = "dotprod")]
        unsafe fn neon_dot$(<$format: $crate::cpu::Format>)?($($arg: $type),*) $(-> $out)? {
            unsafe { $kernel::<$crate::cpu::neon::Neon<$crate::cpu::neon::DotProd> $(, $format)?>($($arg),*) }
        }
        // SAFETY: a `Cpu` comes from `Cpu::available`, so the machine has its instructions.
        unsafe {
            match $cpu.0 {
                #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
                $crate::cpu::Set::Portable => $kernel::<$crate::cpu::portable::Portable $(, $format)?>($($arg),*),
                #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
                $crate::cpu::Set::Wasm => {
                    $kernel::<$crate::cpu::wasm::Wasm<$crate::cpu::WasmProducts> $(, $format)?>($($arg),*)
                }
                #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
                $crate::cpu::Set::WasmQuads => {
                    $kernel::<$crate::cpu::wasm::Wasm<$crate::cpu::relaxed::Quads> $(, $format)?>($($arg),*)
                }
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Set::Avx2 => avx2$(::<$format>)?($($arg),*),
                #[cfg(target_arch = "x86_64")]
                $crate::cpu::Set::Avx512 => avx512$(::<$format>)?($($arg),*),
                #[cfg(target_arch = "aarch64")]
                $crate::cpu::Set::Neon => {
                    $kernel::<$crate::cpu::neon::Neon<$crate::cpu::neon::Plain> $(, $format)?>($($arg),*)
                }
                #[cfg(target_arch = "aarch64")]
                $crate::cpu::Set::NeonDot => neon_dot$(::<$format>)?($($arg),*),
            }
        }
    }};
}

mod activations;
mod attention;
#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod cache;
mod coarse;
mod elementwise;
mod fields;
mod format;
mod isa;
mod lines;
mod matmul;
#[cfg(target_arch = "aarch64")]
mod neon;
mod panels;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(target_feature = "relaxed-simd")))]
mod plain;
#[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
mod portable;
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
mod relaxed;
#[cfg(test)]
mod tests;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod wasm;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
mod words;

pub use activations::{Activations, Rounding};
pub use attention::{Attention, AttentionScratch, attend};
pub use cache::{CacheType, HeadCache};
pub use elementwise::{Rotation, add, dot, norm, quantize, rotate, swiglu};
pub use format::{
    Format, Packing, Q4_0, Q4_1, Q4K, Q5_0, Q5_1, Q5K, Q6K, Q8_0, SUB, pack, rounding, unit_bytes, unpack_lane,
};
pub use lines::Lines;
pub use matmul::{Job, Scratch};
pub use panels::Panels;

use isa::Isa;
/// What every machine multiplies that can run the module.
#[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
use relaxed::Pairs as WasmProducts;
#[cfg(all(target_arch = "wasm32", target_feature = "simd128", not(target_feature = "relaxed-simd")))]
use words::Plain as WasmProducts;

/// An instruction set of this machine that the kernels are compiled for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cpu(Set);

/// Every set; a [`Cpu`] is proof that the machine has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Set {
    /// Plain Rust. Where the module itself needs SIMD, it would only be compiled for nothing, by the browser too.
    #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
    Portable,
    /// WebAssembly SIMD: what the module was compiled for.
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    Wasm,
    /// Relaxed SIMD on a machine whose dot product sums four bytes.
    #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
    WasmQuads,
    /// AVX2, FMA and F16C.
    #[cfg(target_arch = "x86_64")]
    Avx2,
    /// AVX-512 (F, BW, VL) with VNNI.
    #[cfg(target_arch = "x86_64")]
    Avx512,
    /// NEON, which every aarch64 has.
    #[cfg(target_arch = "aarch64")]
    Neon,
    /// NEON with the dot product extension.
    #[cfg(target_arch = "aarch64")]
    NeonDot,
}

impl Cpu {
    /// The sets that this machine has, the fastest last.
    pub fn available() -> Vec<Self> {
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        let least = Set::Portable;
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        let least = Set::Wasm;
        #[cfg_attr(
            all(target_arch = "wasm32", not(target_feature = "relaxed-simd")),
            expect(unused_mut, reason = "such a module has what it was compiled for")
        )]
        let mut available = vec![least];
        #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
        if relaxed::SecondOperand::is_whole() {
            available.push(Set::WasmQuads);
        }
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") && is_x86_feature_detected!("f16c") {
                available.push(Set::Avx2);
            }
            let avx512 = is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("avx512vnni");
            if avx512 && available.contains(&Set::Avx2) {
                available.push(Set::Avx512);
            }
        }
        #[cfg(target_arch = "aarch64")]
        {
            available.push(Set::Neon);
            if std::arch::is_aarch64_feature_detected!("dotprod") {
                available.push(Set::NeonDot);
            }
        }
        available.into_iter().map(Self).collect()
    }

    /// The fastest set of this machine.
    pub fn detect() -> Self {
        Self::available().pop().unwrap_or_else(|| unreachable!("every build has a set for every machine"))
    }

    /// Its name, for people.
    pub fn name(self) -> &'static str {
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Set::Portable => "portable",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Wasm if cfg!(target_feature = "relaxed-simd") => "relaxed-simd",
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Wasm => "simd128",
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::WasmQuads => "relaxed-simd dot",
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => "avx2",
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => "avx512-vnni",
            #[cfg(target_arch = "aarch64")]
            Set::Neon => "neon",
            #[cfg(target_arch = "aarch64")]
            Set::NeonDot => "neon-dotprod",
        }
    }

    /// How its kernels want weights to lie.
    pub fn packing(self) -> Packing {
        let quads = |lanes| Packing { lanes, bias: 0, fields: false };
        match self.0 {
            #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
            Set::Portable => quads(portable::Portable::LANES),
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            Set::Wasm => Packing { fields: wasm::FIELDS, ..quads(wasm::Wasm::<WasmProducts>::LANES) },
            #[cfg(all(target_arch = "wasm32", target_feature = "relaxed-simd"))]
            Set::WasmQuads => {
                Packing { bias: wasm::Wasm::<relaxed::Quads>::BIAS, ..quads(wasm::Wasm::<relaxed::Quads>::LANES) }
            }
            #[cfg(target_arch = "x86_64")]
            Set::Avx2 => quads(avx2::Avx2::LANES),
            #[cfg(target_arch = "x86_64")]
            Set::Avx512 => Packing { bias: avx512::Avx512::BIAS, ..quads(avx512::Avx512::LANES) },
            #[cfg(target_arch = "aarch64")]
            Set::Neon | Set::NeonDot => quads(neon::Neon::<neon::Plain>::LANES),
        }
    }

    /// Columns of the KV cache that its attention wants side by side.
    fn strip(self) -> usize {
        dispatch!(self, strip() -> usize)
    }

    /// Has the machine what candle's dot products need? On aarch64 they use the dot product extension without asking for it.
    pub(crate) fn suits_candle(self) -> bool {
        #[cfg(target_arch = "aarch64")]
        return self.0 == Set::NeonDot;
        #[cfg(not(target_arch = "aarch64"))]
        true
    }

    /// Are activations wanted as `i16`, too?
    fn wants_words(self) -> bool {
        #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
        return self.0 == Set::Wasm;
        #[cfg(not(all(target_arch = "wasm32", target_feature = "simd128")))]
        false
    }
}

unsafe fn strip<I: Isa>() -> usize {
    I::STRIP
}

/// The product of packed weights: see [`Job`].
pub fn matmul<F: Format>(cpu: Cpu, job: &mut Job<'_>) {
    use matmul::matmul;
    dispatch!(cpu, matmul::<F>(job: &mut Job<'_>));
}
