use leptos::prelude::*;

use crate::library::Character;

/// A character's picture; the first letter of its name where there is none.
#[component]
pub fn Portrait(#[prop(into)] character: Character) -> impl IntoView {
    let source = character.portrait();
    let name = character.role.name;
    match source {
        Some(source) => view! { <img class="portrait" src=source alt="" width="96" height="96" /> }.into_any(),
        None => {
            let initial = name.chars().next().unwrap_or('?').to_string();
            view! { <span class="portrait monogram" aria-hidden="true">{initial}</span> }.into_any()
        }
    }
}

/// The role's colour; a colour made of the name where it has none.
pub fn accent(character: &Character) -> String {
    if !character.role.accent.trim().is_empty() {
        return character.role.accent.clone();
    }
    let hue =
        character.role.name.chars().fold(7_u32, |hue, letter| hue.wrapping_mul(31).wrapping_add(letter as u32)) % 360;
    format!("hsl({hue} 38% 38%)")
}
