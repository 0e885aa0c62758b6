//! What the sampler chooses, and how often.

use generate::{Error, Options, Sampler};

/// Every filter off, plain sampling at temperature 1.
fn plain() -> Options {
    Options { temperature: 1.0, top_k: 0, top_p: 1.0, min_p: 0.0, repetition_penalty: 1.0, ..Options::default() }
}

fn sampler(options: Options) -> Sampler {
    Sampler::new(options).expect("the options are valid")
}

/// Relative frequencies over 20,000 draws.
fn frequencies(options: Options, logits: &[f32]) -> Vec<f64> {
    const DRAWS: u32 = 20_000;
    let mut sampler = sampler(options);
    let mut counts = vec![0u32; logits.len()];
    for _ in 0..DRAWS {
        counts[sampler.sample(logits, &[]) as usize] += 1;
    }
    counts.into_iter().map(|count| f64::from(count) / f64::from(DRAWS)).collect()
}

fn assert_close(frequencies: &[f64], expected: &[f64]) {
    for (frequency, expected) in frequencies.iter().zip(expected) {
        // Four standard deviations of 20,000 draws.
        assert!((frequency - expected).abs() < 0.015, "{frequencies:?} is not {expected:?}");
    }
}

/// Logits of the probabilities 0.5, 0.3, 0.15 and 0.05, not in order.
fn logits() -> Vec<f32> {
    [0.15f32, 0.5, 0.05, 0.3].iter().map(|p| p.ln()).collect()
}

#[test]
fn frequencies_are_the_probabilities() {
    assert_close(&frequencies(plain(), &logits()), &[0.15, 0.5, 0.05, 0.3]);
}

#[test]
fn temperature_sharpens() {
    // Squared and normalised.
    let sum = 0.0225 + 0.25 + 0.0025 + 0.09;
    let expected = [0.0225 / sum, 0.25 / sum, 0.0025 / sum, 0.09 / sum];
    assert_close(&frequencies(Options { temperature: 0.5, ..plain() }, &logits()), &expected);
}

#[test]
fn filters_keep_the_best_tokens_only() {
    let two = [0.0, 0.625, 0.0, 0.375];
    assert_close(&frequencies(Options { top_k: 2, ..plain() }, &logits()), &two);
    assert_close(&frequencies(Options { top_p: 0.75, ..plain() }, &logits()), &two);
    assert_close(&frequencies(Options { min_p: 0.4, ..plain() }, &logits()), &two);
    // Top-p of what top-k has left: 0.5 of 0.8 is 0.625.
    assert_close(&frequencies(Options { top_k: 2, top_p: 0.6, ..plain() }, &logits()), &[0.0, 1.0, 0.0, 0.0]);
}

#[test]
fn greedy_takes_the_first_maximum_and_never_a_nan() {
    let mut greedy = sampler(Options { temperature: 0.0, ..plain() });
    assert_eq!(greedy.sample(&[1.0, 3.0, 3.0, 2.0], &[]), 1);
    assert_eq!(greedy.sample(&[f32::NAN, -5.0, f32::NEG_INFINITY], &[]), 1);
    assert_eq!(greedy.sample(&[f32::NAN, f32::NAN], &[]), 0);
    assert_eq!(greedy.sample(&[], &[]), 0);
    assert_eq!(sampler(plain()).sample(&[f32::NAN, 1.0, f32::NEG_INFINITY], &[]), 1);
    assert_eq!(sampler(plain()).sample(&[0.0, f32::INFINITY], &[]), 1);
}

#[test]
fn a_seed_repeats_its_sequence() {
    let flat = [0.0; 50];
    let sequence = |seed| {
        let mut sampler = sampler(Options { seed, ..plain() });
        (0..32).map(|_| sampler.sample(&flat, &[])).collect::<Vec<_>>()
    };
    assert_eq!(sequence(1), sequence(1));
    assert_ne!(sequence(1), sequence(2));
}

#[test]
fn the_penalty_weakens_recent_tokens_once_each_whatever_their_sign() {
    let options = Options { temperature: 0.0, repetition_penalty: 2.0, repetition_window: 3, ..plain() };
    let mut penalized = sampler(options);
    assert_eq!(penalized.sample(&[2.0, 1.5], &[0]), 1);
    assert_eq!(penalized.sample(&[-1.0, -1.5], &[0]), 1);
    // Twice in the window counts once: 3.5 / 2 is still above 1.5.
    assert_eq!(penalized.sample(&[3.5, 1.5], &[0, 0, 0]), 0);
    // Token 0 has left the window.
    assert_eq!(penalized.sample(&[2.0, 1.5, 0.0], &[0, 2, 2, 2]), 0);
    // A history from a larger vocabulary is no reason to panic.
    assert_eq!(penalized.sample(&[2.0, 1.5], &[99]), 0);
}

#[test]
fn options_out_of_range_are_named() {
    let cases = [
        (Options { temperature: -1.0, ..plain() }, "temperature"),
        (Options { temperature: f32::NAN, ..plain() }, "temperature"),
        (Options { top_p: 0.0, ..plain() }, "top-p"),
        (Options { min_p: 1.0, ..plain() }, "min-p"),
        (Options { repetition_penalty: 0.0, ..plain() }, "repetition penalty"),
        (Options { max_tokens: 0, ..plain() }, "max-tokens"),
    ];
    for (options, expected) in cases {
        assert!(matches!(options.validate(), Err(Error::Option { name, .. }) if name == expected), "{expected}");
    }
}
