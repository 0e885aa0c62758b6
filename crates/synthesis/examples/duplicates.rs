//! How long de-duplication takes, in English and in Chinese.
//!
//! `cargo run --release -p synthesis --example duplicates -- 100000 questions.txt`
//!
//! Rows are made of the file's own lines, or else of invented words, drawn by Zipf's law as words of a language are; every
//! fifth is an earlier one with a word changed.

use std::time::Instant;
use synthesis::near;

const THRESHOLD: f64 = 0.7;

#[expect(clippy::print_stdout, reason = "an example shows its figures")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let count: usize = arguments.next().map_or(Ok(100_000), |count| count.parse())?;
    let lines = arguments.next().map(std::fs::read_to_string).transpose()?;
    for (language, words, length, gap) in [("English", 20_000, 16, " "), ("Chinese", 3_500, 36, "")] {
        let rows = match &lines {
            Some(lines) => recombined(lines, count),
            None => invented(count, words, length, gap),
        };
        let texts: Vec<&str> = rows.iter().map(String::as_str).collect();
        let began = Instant::now();
        let found = near::duplicates(&texts, THRESHOLD).iter().flatten().count();
        let seconds = began.elapsed().as_secs_f64();
        println!("{language}: {count} rows of {length} words, {found} near-duplicates, {seconds:.1} s");
        if lines.is_some() {
            break;
        }
    }
    Ok(())
}

/// Halves of lines put together anew.
fn recombined(lines: &str, count: usize) -> Vec<String> {
    let lines: Vec<Vec<&str>> = lines.lines().map(|line| line.split_whitespace().collect()).collect();
    let mut random = Random(1);
    let mut half = |side: usize| {
        let line = &lines[random.below(lines.len())];
        let middle = line.len() / 2;
        if side == 0 { line[..middle].join(" ") } else { line[middle..].join(" ") }
    };
    (0..count).map(|_| format!("{} {}", half(0), half(1))).collect()
}

fn invented(count: usize, words: usize, length: usize, gap: &str) -> Vec<String> {
    let mut random = Random(7);
    let word = |rank: usize| match gap {
        "" => char::from_u32(0x4e00 + rank as u32).unwrap_or('一').to_string(),
        _ => format!("w{rank}"),
    };
    let mut rows: Vec<Vec<usize>> = Vec::with_capacity(count);
    for at in 0..count {
        let mut row: Vec<usize> = match at % 5 {
            4 => rows[random.below(at)].clone(),
            _ => (0..length).map(|_| random.zipf(words)).collect(),
        };
        let place = random.below(length);
        row[place] = random.zipf(words);
        rows.push(row);
    }
    rows.iter().map(|row| row.iter().map(|&rank| word(rank)).collect::<Vec<_>>().join(gap)).collect()
}

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb)
    }

    fn below(&mut self, bound: usize) -> usize {
        ((u128::from(self.next()) * bound as u128) >> 64) as usize
    }

    /// A rank, by Zipf's law: as often as one over it.
    fn zipf(&mut self, ranks: usize) -> usize {
        let chance = (self.next() >> 11) as f64 / (1u64 << 53) as f64;
        ((ranks as f64).powf(chance) as usize).min(ranks - 1)
    }
}
