//! Scores predictions over RoleBench, makes them with a model and lets a model judge them. Knows files and models; never gradients.

mod files;
mod gather;
pub mod judge;
mod parquet;
pub mod report;
mod run;

pub use files::{Character, FileError, Reader, read_characters, read_lines};
pub use parquet::ParquetError;
pub use run::{Plan, RunError, Settings, Told};
