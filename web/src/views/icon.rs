use leptos::prelude::*;

pub const BACK: &str = "M15 5l-7 7 7 7";
pub const CLOCK: &str = "M12 7v5l3 2M12 21a9 9 0 1 0 0-18 9 9 0 1 0 0 18";
pub const DOWN: &str = "M12 5v14M6 13l6 6 6-6";
pub const PLUS: &str = "M12 5v14M5 12h14";
pub const SLIDERS: &str =
    "M4 8h8m4 0h4M4 16h2m4 0h10M12 8a2 2 0 1 0 4 0 2 2 0 1 0-4 0M6 16a2 2 0 1 0 4 0 2 2 0 1 0-4 0";

/// A line drawing beside a word, or in its place where there is no room.
pub fn icon(path: &'static str) -> impl IntoView {
    view! {
        <svg class="icon" viewBox="0 0 24 24" aria-hidden="true">
            <path d=path></path>
        </svg>
    }
}
