//! What ends up in the rows.

use std::collections::BTreeMap;
use std::fs;
use training::batch::{Sampler, held_out_rows};
use training::corpus::{RoleFolder, Source, SourceSpec};
use training::model::{IGNORE, Pack};
use training::tokenizer::{BOS_ID, EOS_ID, Tokenizer};

const CONTEXT: usize = 60;

fn sources(lines: &[Vec<String>], held_out: f64) -> Vec<Source> {
    let tokenizer = Tokenizer::train(&["A short text to learn from.".to_string()], 259).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let load = |(i, lines): (usize, &Vec<String>)| {
        let path = folder.path().join(format!("{i}.jsonl"));
        fs::write(&path, lines.join("\n")).unwrap();
        let spec = SourceSpec { path, weight: 1.0 + 2.0 * i as f64 };
        Source::load(&spec, &RoleFolder::default(), &tokenizer, held_out, CONTEXT).unwrap()
    };
    lines.iter().enumerate().map(load).collect()
}

/// Texts of 2 to 161 bytes that differ in their first two.
fn texts() -> Vec<String> {
    (0..40).map(|i| format!("{{\"text\": \"{i:02}{}\"}}", "x".repeat(i * i / 10))).collect()
}

fn chats() -> Vec<String> {
    (0..20).map(|i| format!("{{\"instruction\": \"Q{i}\", \"answer\": \"{}\"}}", "y".repeat(i % 5))).collect()
}

#[test]
fn a_step_is_the_same_whether_reached_or_jumped_to() {
    let sources = sources(&[texts(), chats()], 0.0);
    let straight: Vec<Vec<Pack>> = Sampler::new(&sources, 3, CONTEXT, 9, 0).take(30).collect();
    for step in [0, 1, 17] {
        let jumped: Vec<Vec<Pack>> = Sampler::new(&sources, 3, CONTEXT, 9, step as u64).take(13).collect();
        assert_eq!(jumped, straight[step..step + 13]);
    }
    let other_seed: Vec<Vec<Pack>> = Sampler::new(&sources, 3, CONTEXT, 10, 0).take(30).collect();
    assert_ne!(other_seed, straight);
}

#[test]
fn an_epoch_trains_every_token_of_every_text_once() {
    let sources = sources(&[texts()], 0.0);
    let mut sampler = Sampler::new(&sources, 1, CONTEXT, 1, 0);
    let mut seen: BTreeMap<u32, usize> = BTreeMap::new();
    while sampler.epochs()[0] < 1 {
        let rows = sampler.next().unwrap();
        for row in &rows {
            assert!(row.tokens.len() <= CONTEXT && !row.tokens.is_empty());
            row.targets.iter().for_each(|&t| *seen.entry(t).or_default() += 1);
        }
    }
    // The row that ends the epoch may hold the beginning of the next one.
    let expected: usize = (0..40).map(|i| i * i / 10).sum();
    let (letters, ends) = (seen.values().max().copied().unwrap(), seen[&EOS_ID]);
    assert!((expected..=expected + CONTEXT).contains(&letters), "{letters} of {expected}");
    assert!((40..=60).contains(&ends), "{ends}");
    assert!(!seen.contains_key(&IGNORE) && !seen.contains_key(&BOS_ID));
}

#[test]
fn chats_are_whole_and_train_only_their_answers() {
    let sources = sources(&[chats()], 0.0);
    for rows in Sampler::new(&sources, 2, CONTEXT, 1, 0).take(20) {
        for row in &rows {
            for segment in row.segments.iter().map(|s| s.tokens.clone()) {
                assert_eq!(row.tokens[segment.start], BOS_ID);
                assert_eq!(row.targets[segment.end - 1], EOS_ID);
                let trained = row.targets[segment.clone()].iter().filter(|&&t| t != IGNORE).count();
                assert!((1..=5).contains(&trained), "{trained}");
            }
        }
    }
}

#[test]
fn weights_share_the_rows() {
    let sources = sources(&[texts(), chats()], 0.0);
    let rows: Vec<Pack> = Sampler::new(&sources, 4, CONTEXT, 3, 0).take(500).flatten().collect();
    let chats = rows.iter().filter(|r| r.targets.contains(&IGNORE)).count();
    let share = chats as f64 / rows.len() as f64;
    assert!((0.71..0.79).contains(&share), "three quarters expected, found {share}");
}

#[test]
fn held_out_documents_are_never_trained() {
    let sources = sources(&[texts()], 0.3);
    let source = &sources[0];
    assert_eq!(source.documents.len() + source.held_out.len(), 40);
    let starts = |rows: &[Pack]| -> Vec<Vec<u32>> {
        let segments = rows.iter().flat_map(|r| r.segments.iter().map(|s| r.tokens[s.tokens.clone()].to_vec()));
        segments.filter(|s| s[0] == BOS_ID && s.len() > 2).map(|s| s[1..3].to_vec()).collect()
    };
    let held_out = starts(&held_out_rows(source, CONTEXT, usize::MAX));
    assert!(held_out.len() > 4, "{}", held_out.len());
    let trained: Vec<Pack> = Sampler::new(&sources, 1, CONTEXT, 1, 0).take(200).flatten().collect();
    assert!(starts(&trained).iter().all(|start| !held_out.contains(start)));
}

#[test]
fn chats_under_one_instruction_share_its_tokens_and_come_once_an_epoch() {
    let chat = |i: usize| {
        let message = |role: &str, content: String| format!("{{\"role\": \"{role}\", \"content\": \"{content}\"}}");
        let system = message("system", ["Be A", "Be B", "Be C"][i % 3].into());
        let messages = [system, message("user", "Q".into()), message("assistant", format!("{i:03}"))];
        format!("{{\"messages\": [{}]}}", messages.join(", "))
    };
    let tokenizer = Tokenizer::train(&["### Instruction:\n### Input:\n### Response:\n".repeat(3)], 300).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("chats.jsonl");
    fs::write(&path, (0..100).map(chat).collect::<Vec<_>>().join("\n")).unwrap();
    let spec = SourceSpec { path, weight: 1.0 };
    let source = Source::load(&spec, &RoleFolder::default(), &tokenizer, 0.0, 200).unwrap();
    let (chats, mut read) = (source.documents.len(), 0);
    let sources = [source];
    let mut sampler = Sampler::new(&sources, 1, 200, 4, 0);
    let mut answers: BTreeMap<Vec<u32>, usize> = BTreeMap::new();
    for row in sampler.by_ref().take(9).flatten() {
        assert!(row.tokens.len() <= 200);
        read += row.tokens.len();
        for segment in row.segments.iter().filter(|s| !s.prefix.is_empty()) {
            let whole = [&row.tokens[segment.prefix.clone()], &row.tokens[segment.tokens.clone()]].concat();
            let text = tokenizer.decode(&whole).unwrap();
            assert!(text.starts_with("<s>### Instruction:\nBe "), "{text}");
            let answer = &row.targets[segment.tokens.clone()];
            let answer: Vec<u32> = answer.iter().copied().filter(|&t| t != IGNORE).collect();
            let number: usize = tokenizer.decode(&answer[..3]).unwrap().parse().unwrap();
            assert!(text.contains(["Be A", "Be B", "Be C"][number % 3]), "{text}");
            *answers.entry(answer).or_default() += 1;
        }
    }
    assert_eq!((chats, sampler.epochs()[0]), (100, 0));
    assert!(answers.len() > 60 && answers.values().all(|&n| n == 1), "{} of {read} tokens", answers.len());
}
