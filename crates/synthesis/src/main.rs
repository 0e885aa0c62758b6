//! Makes RoleBench-shaped data with a teacher model: profiles, Context-Instruct, RoleGPT. Knows prompts and journals; never kernels or gradients.
fn main() {}
