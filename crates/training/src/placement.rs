//! Where a run computes: on the processor or on a GPU.

use crate::cpu::Cpu;
use crate::device::Device;
use crate::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};

/// What a run may be asked to compute on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum DeviceChoice {
    /// NVIDIA's first GPU where it can be used, else the processor.
    Auto,
    /// The processor.
    #[default]
    Cpu,
    /// NVIDIA's first GPU.
    Cuda,
}

/// The type of activations and of the weights that passes read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Precision {
    /// 32 bits.
    F32,
    /// The upper half of them; gradients, moments and trained parameters are f32 all the same.
    Bf16,
}

/// The arguments that say where a run computes. A run may go on elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, clap::Args)]
pub struct Placement {
    /// Where to compute; auto takes the GPU where it can be used
    #[arg(long, value_enum, default_value = "cpu")]
    pub device: DeviceChoice,
    /// Numbers of activations and of the weights read: bf16 on a GPU, f32 on the processor, which knows no other;
    /// gradients and the trained weights are f32
    #[arg(long, value_enum)]
    pub precision: Option<Precision>,
    /// Tokens that a GPU reads at a time: fewer need less of its memory [default: 8192]
    #[arg(long, value_name = "TOKENS")]
    pub tokens_at_once: Option<usize>,
}

/// What a run computes on.
pub enum Place {
    /// The processor.
    Cpu,
    /// A GPU.
    #[cfg(feature = "cuda")]
    Cuda {
        /// What runs the kernels.
        driver: Box<dyn crate::cuda::driver::Driver>,
        /// The type of its values.
        precision: Precision,
        /// Tokens of a pass.
        tokens_at_once: usize,
    },
}

/// What is done on whatever device.
pub(crate) trait Job {
    /// What comes out.
    type Outcome;
    /// Does it.
    fn run<D: Device>(self, device: D) -> Result<Self::Outcome>;
}

impl Placement {
    /// Opens the device.
    pub fn open(&self) -> Result<Place> {
        match self.device {
            DeviceChoice::Cpu if self.precision == Some(Precision::Bf16) => {
                Err(Error::Argument("--precision bf16 needs --device cuda: the processor computes in f32".into()))
            }
            _ if self.tokens_at_once == Some(0) => Err(Error::Argument("--tokens-at-once must be at least 1".into())),
            DeviceChoice::Cpu => Ok(Place::Cpu),
            DeviceChoice::Cuda => self.open_cuda(),
            DeviceChoice::Auto => self.open_cuda().or_else(|reason| {
                eprintln!("on the processor: {reason}");
                Placement { device: DeviceChoice::Cpu, ..*self }.open()
            }),
        }
    }

    #[cfg(feature = "cuda")]
    fn open_cuda(&self) -> Result<Place> {
        let precision = self.precision.unwrap_or(Precision::Bf16);
        let values = match precision {
            Precision::F32 => crate::cuda::driver::Element::F32,
            Precision::Bf16 => crate::cuda::driver::Element::Bf16,
        };
        let driver = Box::new(crate::cuda::Nvidia::open(values)?);
        let tokens_at_once = self.tokens_at_once.unwrap_or(crate::cuda::TOKENS_AT_ONCE);
        Ok(Place::Cuda { driver, precision, tokens_at_once })
    }

    #[cfg(not(feature = "cuda"))]
    fn open_cuda(&self) -> Result<Place> {
        Err(Error::Device(
            "--device cuda is not in this program: build it with cargo build --release -p training --features cuda"
                .into(),
        ))
    }
}

impl Place {
    /// Notes in the arguments of `train.json` what was taken.
    pub(crate) fn note(&self, arguments: &mut Value) {
        let (device, precision) = match self {
            Place::Cpu => (DeviceChoice::Cpu, Precision::F32),
            #[cfg(feature = "cuda")]
            Place::Cuda { precision, .. } => (DeviceChoice::Cuda, *precision),
        };
        arguments["device"] = json!(device);
        arguments["precision"] = json!(precision);
    }

    /// Does `job`, on the processor with `threads`.
    pub(crate) fn run<J: Job>(self, job: J, threads: usize) -> Result<J::Outcome> {
        match self {
            Place::Cpu => job.run(Cpu::new(threads)),
            #[cfg(feature = "cuda")]
            Place::Cuda { driver, precision: Precision::F32, tokens_at_once } => {
                job.run(crate::cuda::Cuda::<f32>::new(driver).with_tokens_at_once(tokens_at_once))
            }
            #[cfg(feature = "cuda")]
            Place::Cuda { driver, precision: Precision::Bf16, tokens_at_once } => {
                job.run(crate::cuda::Cuda::<half::bf16>::new(driver).with_tokens_at_once(tokens_at_once))
            }
        }
    }
}
