//! What a run did: a page for people, and a data set's card.

use crate::{Counts, Dataset, Part, Row, Tally};
use std::fmt::Write;

/// What the report tells beside the data.
#[derive(Clone, Debug, Default)]
pub struct Circumstances {
    /// The data set's name.
    pub title: String,
    /// Its licence, as the card names it.
    pub licence: String,
    /// What the journal holds.
    pub tally: Tally,
    /// The command that made it.
    pub command: String,
}

/// A page that needs nothing else.
pub fn html(dataset: &Dataset, about: &Circumstances) -> String {
    let mut page = String::new();
    let title = escaped(&about.title);
    push(&mut page, &format!("<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>{title}</title>{STYLE}"));
    push(&mut page, &format!("<h1>{title}</h1><p>Made by <code>{}</code></p>", escaped(&about.command)));
    costs(&mut page, about);
    roles(&mut page, dataset);
    rejects(&mut page, dataset);
    lengths(&mut page, dataset);
    near(&mut page, dataset);
    page.push_str("</html>\n");
    page
}

const STYLE: &str = "<style>body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
table{border-collapse:collapse;margin:1rem 0}td,th{border:1px solid #8884;padding:.2rem .6rem;text-align:right}\
td:first-child,th:first-child{text-align:left}code{overflow-wrap:anywhere}rect{fill:#4a7ab5}\
@media(prefers-color-scheme:dark){body{background:#181818;color:#ddd}}</style>";

fn costs(page: &mut String, about: &Circumstances) {
    let Tally { answered, failed, in_doubt, spent } = about.tally;
    let rows = [
        ("requests with an answer", answered.to_string()),
        ("requests given up", failed.to_string()),
        ("requests whose answer a killed run may have lost", in_doubt.to_string()),
        ("cost, in the unit of the prices", format!("{spent:.4}")),
    ];
    push(page, "<h2>Requests</h2>");
    table(page, &["", ""], rows.into_iter().map(|(name, value)| vec![name.to_string(), value]));
}

fn roles(page: &mut String, dataset: &Dataset) {
    push(page, "<h2>Roles</h2><p>Candidates are triplets of question, confidence and answer.</p>");
    let head = ["role", "lines", "segments", "candidates", "role-specific rows", "instructions", "answers", "kept"];
    table(
        page,
        &head,
        dataset.parts.iter().map(|part| {
            let Part { profile, segments, specific, general, .. } = part;
            vec![
                profile.role.name.clone(),
                profile.dialogue.len().to_string(),
                segments.iter().map(|(_, count)| count).sum::<usize>().to_string(),
                specific.counts.found.to_string(),
                specific.rows.len().to_string(),
                general.rows.len().to_string(),
                general.counts.found.to_string(),
                general.counts.kept.to_string(),
            ]
        }),
    );
}

fn rejects(page: &mut String, dataset: &Dataset) {
    push(page, "<h2>Dropped</h2>");
    for (name, counts) in STEPS.iter().zip(dataset.counts()) {
        let Counts { requests, found, kept, rejects } = counts;
        push(page, &format!("<h3>{name}</h3><p>{requests} requests, {found} found, {kept} kept.</p>"));
        let rows = rejects.iter().map(|(reason, count)| vec![reason.in_words().to_string(), count.to_string()]);
        table(page, &["reason", "count"], rows);
    }
}

const STEPS: [&str; 3] = ["Profiles", "Context-Instruct", "RoleGPT"];

fn lengths(page: &mut String, dataset: &Dataset) {
    push(page, "<h2>Lengths</h2><p>Words, or Chinese characters.</p>");
    for (language, splits) in &dataset.splits {
        let specific: Vec<&Row> = splits.specific.iter().flatten().collect();
        let general: Vec<&Row> = splits.general[..2].iter().flatten().collect();
        for (name, rows) in [("role-specific", specific), ("general", general)] {
            let questions: Vec<usize> = rows.iter().map(|row| length(&row.question)).collect();
            let answers: Vec<usize> = rows.iter().flat_map(|row| &row.generated).map(|text| length(text)).collect();
            for (what, lengths) in [("questions", questions), ("answers", answers)] {
                histogram(page, &format!("{language}, {name}, {what}"), &lengths);
            }
        }
    }
}

fn length(text: &str) -> usize {
    crate::text::tokens(text).len()
}

fn histogram(page: &mut String, name: &str, lengths: &[usize]) {
    let Some(&longest) = lengths.iter().max() else { return };
    let width = longest.div_ceil(20).max(1);
    let mut bars = vec![0usize; longest / width + 1];
    lengths.iter().for_each(|length| bars[length / width] += 1);
    let most = bars.iter().copied().max().unwrap_or(1).max(1);
    let mean = lengths.iter().sum::<usize>() as f64 / lengths.len() as f64;
    push(page, &format!("<h4>{name}: {} of them, mean {mean:.1}, longest {longest}</h4>", lengths.len()));
    push(page, &format!("<svg width=\"{}\" height=\"80\" role=\"img\" aria-label=\"{name}\">", bars.len() * 22));
    for (at, &count) in bars.iter().enumerate() {
        let height = count * 76 / most;
        let (from, to) = (at * width, (at + 1) * width - 1);
        push(
            page,
            &format!(
                "<rect x=\"{}\" y=\"{}\" width=\"20\" height=\"{}\"><title>{from} to {to}: {count}</title></rect>",
                at * 22,
                80 - height.max(1),
                height.max(1)
            ),
        );
    }
    push(page, "</svg>");
}

fn near(page: &mut String, dataset: &Dataset) {
    let report = &dataset.decontamination;
    push(page, "<h2>Near test rows</h2>");
    if report.test_questions == 0 {
        push(page, "<p>No test files were given (<code>--test</code>).</p>");
    } else {
        push(
            page,
            &format!(
                "<p>{} rows were dropped whose question has ROUGE-L F {} or more (words and Han characters) with one of {} test \
             questions. How well such rows are found was measured with planted paraphrases:</p>",
                report.dropped.len(),
                report.threshold,
                report.test_questions
            ),
        );
        let head = ["changed", "planted", "above the threshold", "recall above it", "precision", "found of all"];
        table(
            page,
            &head,
            report.planted.iter().map(|planting| {
                vec![
                    format!("1 word in {}", planting.one_in),
                    planting.planted.to_string(),
                    planting.above.to_string(),
                    format!("{:.3}", planting.recall()),
                    format!("{:.3}", planting.precision()),
                    format!("{:.3}", planting.found()),
                ]
            }),
        );
        let dropped = report.dropped.iter().take(50);
        table(
            page,
            &["dropped question", "test question", "ROUGE-L F"],
            dropped.map(|(question, test, f1)| vec![question.clone(), test.clone(), format!("{f1:.3}")]),
        );
    }
    push(page, "<h2>Leaks between the splits</h2>");
    let leaks = dataset.splits.iter().flat_map(|(language, splits)| {
        ["general", "role-specific"].into_iter().zip(splits.overlaps()).map(move |(part, overlap)| {
            let name = format!("{language}, {part}");
            vec![name, overlap.test_rows.to_string(), overlap.same_question.to_string()]
        })
    });
    table(page, &["part", "test rows", "of these, question in training"], leaks);
}

fn table(page: &mut String, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    push(page, "<table><tr>");
    head.iter().for_each(|cell| push(page, &format!("<th>{}</th>", escaped(cell))));
    for row in rows {
        push(page, "</tr><tr>");
        row.iter().for_each(|cell| push(page, &format!("<td>{}</td>", escaped(cell))));
    }
    push(page, "</tr></table>");
}

fn push(page: &mut String, text: &str) {
    page.push_str(text);
    page.push('\n');
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// The data set's card, in the form of the Hugging Face hub.
pub fn card(dataset: &Dataset, about: &Circumstances) -> String {
    let mut card = String::from("---\n");
    let mut line = |text: String| {
        let _ = writeln!(card, "{text}");
    };
    line(format!("license: {}", about.licence));
    line("language:".into());
    for language in dataset.splits.keys() {
        line(format!("- {}", if *language == "zh" { "zh" } else { "en" }));
    }
    line("task_categories:\n- text-generation\ntags:\n- role-play\n- synthetic\nconfigs:".into());
    for (language, splits) in &dataset.splits {
        let general =
            [("train", &splits.general[0]), ("test", &splits.general[1]), ("rolegpt_baseline", &splits.general[2])];
        let specific = [("train", &splits.specific[0]), ("test", &splits.specific[1])];
        for (part, files) in [("general", &general[..]), ("role_specific", &specific[..])] {
            line(format!("- config_name: {language}-{part}\n  data_files:"));
            for (split, _) in files {
                line(format!("  - split: {split}\n    path: rolebench-{language}/{part}/{split}.parquet"));
            }
        }
    }
    line(format!("---\n\n# {}\n", about.title));
    line(format!(
        "Rows in the shape of RoleBench (RoleLLM, arXiv 2310.00746), written by {}. Every answer is synthetic.\n",
        dataset.models().into_iter().collect::<Vec<_>>().join(", ")
    ));
    line("| role | language | source | role-specific rows | general rows |\n|---|---|---|---|---|".into());
    for part in &dataset.parts {
        let role = &part.profile.role;
        let scripts: Vec<&str> = part.segments.iter().map(|(title, _)| title.as_str()).collect();
        let source = if scripts.is_empty() { role.source.clone() } else { scripts.join(", ") };
        let language = crate::text::suffix(role.language);
        line(format!(
            "| {} | {language} | {source} | {} | {} |",
            role.name,
            part.specific.rows.len(),
            part.general.rows.len()
        ));
    }
    line("\n| step | requests | found | kept |\n|---|---|---|---|".into());
    for (name, counts) in STEPS.iter().zip(dataset.counts()) {
        line(format!("| {name} | {} | {} | {} |", counts.requests, counts.found, counts.kept));
    }
    line("\nDropped answers, lengths, costs and leaks are in `report.html`. Each row's `provenance` names its model, the segment of \
          the script and the teacher's reason.".into());
    card
}
