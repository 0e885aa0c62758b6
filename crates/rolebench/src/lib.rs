//! RoleBench: schema, reading, splits, leaks, statistics; RAW, CUS, SPE. Knows roles and rouge; never models.

mod bootstrap;
mod check;
mod compare;
mod csv;
mod join;
mod leaks;
mod random;
mod report;
mod sample;
mod split;
mod statistics;
mod table;

pub use bootstrap::Bootstrap;
pub use check::{Notice, Oddity, check};
pub use compare::{Comparison, compare};
pub use csv::{CSV_HEAD, ScoredRow};
pub use join::{Joined, Pair, join, raw_rows};
pub use leaks::{Overlap, question_overlap};
pub use random::draw;
pub use report::{Part, Report, interval, score, score_pair, unit};
pub use roles::Language;
pub use sample::{Instruction, Kind, Line, ParseError, Sample, parse_instructions, parse_lines, parse_samples};
pub use split::{Split, UnknownRole, draw_roles, split_by_question, split_by_role};
pub use statistics::{Lengths, Statistics, statistics};
pub use table::{References, Table, table};
