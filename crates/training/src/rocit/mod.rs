//! RoCIT (arXiv 2310.00746, section 4): one LoRA for all roles, trained on the answers only.

mod curve;
mod options;
mod run;
mod samples;
mod trainer;

pub use options::RocitOptions;
pub use run::{rocit, rocit_at};
pub use trainer::{LoraTrainer, TrainerOptions};
