//! RoleBench: schema, reading, splits, leaks, statistics; RAW, CUS, SPE. Knows roles and rouge; never models.

mod join;
mod leaks;
mod random;
mod report;
mod sample;

pub use join::{Joined, Pair, join};
pub use leaks::{Overlap, question_overlap};
pub use random::draw;
pub use report::{Report, RoleScore, score};
pub use roles::Language;
pub use sample::{Kind, ParseError, Sample, parse_samples};
