//! The leptos page: chat, evaluate, arena, models. Knows the DOM and messages; never weights.

mod api;
mod app;
mod arena;
mod chat;
mod database;
mod dropped;
mod engine;
mod evaluation;
mod folder;
mod i18n;
mod library;
mod markdown;
mod models;
mod net;
mod route;
mod settings;
mod slices;
mod store;
mod views;

use leptos::prelude::*;

fn main() {
    console_error_panic_hook::set_once();
    let ready = api::announce();
    if let Some(boot) = document().get_element_by_id("boot") {
        boot.remove();
    }
    mount_to_body(|| view! { <app::Page ready /> });
}
