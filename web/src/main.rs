//! The leptos page: chat, evaluate, models. Knows the DOM and messages; never weights.
fn main() {}
