//! General instructions from published formats, and their sampling.

use roles::Language;
use synthesis::{Bm25, Instruction, Sampler, parse_instructions};

fn instruction(instruction: &str, answer: &str) -> Instruction {
    Instruction { instruction: instruction.into(), answer: answer.into() }
}

#[test]
fn every_published_shape_is_known() {
    let alpaca = r#"[{"instruction": "Add.", "input": "1 and 2", "output": "3"}, {"instruction": "Why?", "input": "", "output": "So."}]"#;
    assert_eq!(
        parse_instructions(alpaca).expect("Alpaca"),
        [instruction("Add.\n1 and 2", "3"), instruction("Why?", "So.")]
    );
    let lines = "{\"instruction\": \"为什么？\", \"input\": \"\", \"output\": \"因为。\"}\n\n{\"instruction\": \"Who?\", \"answer\": \"I.\"}\n";
    assert_eq!(
        parse_instructions(lines).expect("BELLE, JSONL"),
        [instruction("为什么？", "因为。"), instruction("Who?", "I.")]
    );
    let ultrachat = r#"{"id": "0", "data": ["How?", "Thus.", "And?", "No."]}"#;
    assert_eq!(parse_instructions(ultrachat).expect("UltraChat"), [instruction("How?", "Thus.")]);
    let natural = r#"{"Definition": ["Translate."], "Instances": [{"input": "a", "output": ["b", "c"]}, {"input": "d", "output": "e"}]}"#;
    let expected = [instruction("Translate.\na", "b"), instruction("Translate.\nd", "e")];
    assert_eq!(parse_instructions(natural).expect("Super-NaturalInstructions"), expected);
    let belle =
        r#"{"id": "1", "conversations": [{"from": "human", "value": "你好"}, {"from": "assistant", "value": "好"}]}"#;
    assert_eq!(parse_instructions(belle).expect("BELLE, many turns"), [instruction("你好", "好")]);
    let coig = r#"{"instruction": "闲谈", "conversations": [{"question": "几点了？", "answer": "三点。"}]}"#;
    assert_eq!(parse_instructions(coig).expect("COIG"), [instruction("几点了？", "三点。")]);
    let exam = r#"{"textbox_q_instruction": "选择题", "textbox_question": "一加一？", "textbox_answer": "二"}"#;
    assert_eq!(parse_instructions(exam).expect("COIG, exams"), [instruction("选择题\n一加一？", "二")]);
}

#[test]
fn a_row_of_no_known_shape_is_refused_with_its_line() {
    let error = parse_instructions("{\"instruction\": \"a\", \"answer\": \"\"}\n{\"x\": 1}\n")
        .expect_err("refused")
        .to_string();
    assert!(error.starts_with("line 2") && error.contains("Alpaca"), "{error}");
    let error = parse_instructions("{\"instruction\": \"a\"}\nnot JSON\n").expect_err("refused").to_string();
    assert!(error.starts_with("line 2"), "{error}");
}

#[test]
fn sampling_passes_over_long_foreign_and_near_texts_and_is_the_seeds_own() {
    let mut all: Vec<Instruction> = (0..40u64)
        .map(|nth| {
            let word = |seed: u64| format!("{:x}", (nth * 7 + seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40);
            instruction(&format!("Tell me of {} and {} and {}", word(1), word(2), word(3)), "")
        })
        .collect();
    all.push(instruction("What makes a good friend in bad times?", ""));
    all.push(instruction("What makes a good friend in very bad times?", ""));
    all.push(instruction(&"word ".repeat(101), ""));
    all.push(instruction("什么是好朋友？", ""));
    let sampler = Sampler { count: 100, seed: 1, nearness: 0.7 };
    let sampled = sampler.sample(&all, Language::En);
    assert_eq!((sampled.too_long, sampled.other_language), (1, 1));
    let friends = sampled.taken.iter().filter(|taken| taken.instruction.contains("friend")).count();
    assert_eq!(friends, 1, "one of two near questions is taken");
    assert_eq!(sampler.sample(&all, Language::En), sampled);
    let few = Sampler { count: 5, ..sampler }.sample(&all, Language::En);
    assert_eq!(few.taken[..], sampled.taken[..5]);
}

#[test]
fn bm25_finds_the_text_that_shares_the_rarest_words() {
    let index = Bm25::new(["the sea is deep", "the sea is blue", "金箍棒有多重", "花果山有多高"]);
    assert_eq!(index.best("how deep is the sea", 2).iter().map(|(place, _)| *place).collect::<Vec<_>>(), [0, 1]);
    assert_eq!(index.best("你的金箍棒", 1)[0].0, 2);
    assert!(index.best("nothing shared whatever", 5).is_empty());
    assert!((index.nearness("the sea is deep") - 1.0).abs() < 1e-9);
}
