//! The page in headless Chromium, as a visitor uses it. `cargo xtask test` serves it and sets `ROLELLM_PAGE`.

mod engine;
mod evaluate;
mod exported;
mod folder;
mod server;
mod visit;

use anyhow::Result;
use browser::Browser;

/// Runs `visit` in a fresh browser window of this width; without a served page there is nothing to look at.
fn in_browser(width: u32, visit: impl AsyncFnOnce(&Browser) -> Result<()>) {
    in_window(async |page: &str| Browser::open(page, width).await, visit);
}

/// As [`in_browser`], in a browser that has a GPU.
fn with_gpu(visit: impl AsyncFnOnce(&Browser) -> Result<()>) {
    in_window(async |page: &str| Browser::open_with_gpu(page, 1280).await, visit);
}

fn in_window(open: impl AsyncFnOnce(&str) -> Result<Browser>, visit: impl AsyncFnOnce(&Browser) -> Result<()>) {
    let Ok(page) = std::env::var("ROLELLM_PAGE") else {
        eprintln!("skipped: set ROLELLM_PAGE to the address of a served page");
        return;
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let outcome = runtime.block_on(async {
        let browser = open(&page).await?;
        let outcome = visit(&browser).await;
        if outcome.is_err() {
            eprintln!("{}", browser.report().await);
        }
        browser.close().await;
        outcome
    });
    if let Err(error) = outcome {
        panic!("{error:?}");
    }
}

#[test]
fn a_visitor_talks_to_a_character() {
    in_browser(1280, visit::talk);
}

#[test]
fn stop_keeps_what_was_said() {
    in_browser(1280, visit::stop);
}

#[test]
fn the_loaded_model_is_scored_in_the_page() {
    in_browser(1280, visit::evaluate);
}

#[test]
fn the_page_and_the_command_line_give_identical_json() {
    in_browser(1280, evaluate::same_json);
}

#[test]
fn a_file_of_answers_is_scored_and_its_bad_lines_are_listed() {
    in_browser(1280, evaluate::files);
}

#[test]
fn a_paused_run_outlives_a_reload_and_is_compared_with_another() {
    in_browser(1280, evaluate::pause_and_compare);
}

#[test]
fn ten_thousand_rows_leave_the_page_alive() {
    in_browser(1280, evaluate::frames);
}

#[test]
fn a_blind_comparison_is_voted_by_keys_and_kept_over_a_reload() {
    in_browser(1280, evaluate::arena);
}

#[test]
fn bad_models_are_refused_in_words_and_the_page_goes_on() {
    in_browser(1280, visit::bad_models);
}

#[test]
fn a_card_without_a_name_is_refused_and_a_good_one_is_taken() {
    in_browser(1280, visit::cards);
}

#[test]
fn a_prompt_longer_than_the_context_is_refused_with_both_numbers() {
    in_browser(1280, visit::long_prompt);
}

#[test]
fn stories260k_gives_the_same_text_as_natively() {
    in_browser(1280, visit::golden);
}

#[test]
fn nothing_overflows_a_narrow_screen_in_either_language() {
    in_browser(360, visit::narrow);
}

#[test]
fn the_demo_model_gives_the_same_tokens_as_natively() {
    in_browser(1280, visit::same_as_native);
}

#[test]
fn every_number_of_workers_and_every_build_gives_the_published_text() {
    in_browser(1280, engine::golden);
}

#[test]
fn a_gpu_gives_the_published_text() {
    with_gpu(engine::gpu);
}

#[test]
fn the_reader_chooses_the_gpu_and_the_model_moves_there() {
    with_gpu(engine::choose_gpu);
}

#[test]
fn a_folder_with_adapters_goes_to_the_cpu_and_the_page_says_why() {
    with_gpu(folder::on_gpu);
}

#[test]
fn a_gpu_that_is_lost_ends_the_reply_in_words() {
    with_gpu(engine::lost_gpu);
}

#[test]
fn without_a_gpu_the_page_says_so_and_goes_on_with_the_cpu() {
    in_browser(1280, engine::no_gpu);
}

#[test]
fn the_page_says_how_many_workers_there_are() {
    in_browser(1280, engine::worker_count);
}

#[test]
fn without_isolation_one_worker_does_it_and_the_page_says_so() {
    in_browser(1280, engine::not_isolated);
}

#[test]
fn a_late_call_breaks_no_meeting() {
    in_browser(1280, engine::late_call);
}

#[test]
fn stop_is_heard_within_a_long_prompt() {
    in_browser(1280, engine::stop_in_prompt);
}

#[test]
fn a_silent_download_is_cancelled() {
    in_browser(1280, engine::cancel_loading);
}

#[test]
fn a_broken_download_goes_on_and_a_complete_one_is_kept() {
    in_browser(1280, engine::downloads);
}

#[test]
fn keys_and_values_are_kept_as_asked_for() {
    in_browser(1280, engine::cache);
}

#[test]
fn a_stored_model_is_shared_with_whoever_else_reads_or_writes_it() {
    in_browser(1280, engine::stored);
}

#[test]
fn a_model_is_read_by_ranges() {
    in_browser(1280, engine::streaming);
}

#[test]
fn a_split_model_opens_by_its_files_and_by_one_address() {
    in_browser(1280, engine::split);
}

#[test]
fn a_folder_opens_by_address_and_its_adapters_write_as_natively() {
    in_browser(1280, folder::by_address);
}

#[test]
fn a_folder_is_picked_and_parts_are_dropped() {
    in_browser(1280, folder::by_hand);
}

#[test]
fn an_adapter_is_dropped_on_a_model_and_refused_by_another() {
    in_browser(1280, folder::adapter_file);
}

#[test]
fn a_damaged_chunk_is_named_or_fetched_again() {
    in_browser(1280, folder::damaged);
}

#[test]
fn a_folder_whose_download_broke_off_goes_on() {
    in_browser(1280, folder::broken_off);
}

#[test]
fn twenty_models_leave_no_memory_behind() {
    in_browser(1280, engine::unload);
}
