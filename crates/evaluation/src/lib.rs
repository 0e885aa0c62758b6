//! Scores predictions over RoleBench and makes them with a local model. Knows files and models; never gradients.

mod files;
mod ledger;
mod run;

pub use files::{FileError, read_roles, read_rows, read_test, read_train};
pub use ledger::{Ledger, LedgerError};
pub use run::{Answer, RunError, Runner, check_roles};
