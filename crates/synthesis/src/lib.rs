//! Makes RoleBench-shaped data with a teacher model: profiles, Context-Instruct, RoleGPT. Knows prompts and journals; never kernels or gradients.

mod budget;
mod dispatcher;
mod journal;
pub mod limits;
mod request;
pub mod teacher;

pub use budget::{Budget, Failure, Price};
pub use dispatcher::{Dispatcher, Endpoint, Planned, Progress, Retries};
pub use journal::{Answer, Durability, Journal, JournalError, Tally};
pub use request::{Key, Request, Sampling, Stage, estimate_tokens};
