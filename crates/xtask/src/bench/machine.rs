//! Which machine this is, without its name.

use crate::process::{command, output};
use std::time::{SystemTime, UNIX_EPOCH};

/// The processor's model, as it calls itself.
pub fn processor() -> String {
    let told = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = told.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    model.map_or_else(|| std::env::consts::ARCH.to_string(), |(_, name)| name.trim().to_string())
}

/// Chromium's version.
pub fn chromium() -> Option<String> {
    output(&mut command("chromium", "--version"))
        .map(|text| text.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
}

/// What a run is called: its day and its processor.
pub fn run_name() -> String {
    format!("{}-{}", today(), slug(&processor()))
}

/// The day in UTC.
pub fn today() -> String {
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = date(i64::try_from(seconds / 86_400).unwrap_or_default());
    format!("{year:04}-{month:02}-{day:02}")
}

/// The Gregorian date of a day counted from 1970-01-01, in years that begin in March, where leap days come last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, carry) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    (year + era * 400 + carry, month, day)
}

fn slug(name: &str) -> String {
    let plain = name.to_lowercase().replace("(r)", "").replace("(tm)", "");
    let words: Vec<&str> = plain.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    words[..words.len().min(5)].join("-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_around_leap_days() {
        assert_eq!(date(0), (1970, 1, 1));
        assert_eq!(date(19_782), (2024, 2, 29));
        assert_eq!(date(20_781), (2026, 11, 24));
    }

    #[test]
    fn a_processor_becomes_a_slug() {
        assert_eq!(slug("Intel(R) Core(TM) i7-1185G7 @ 3.00GHz"), "intel-core-i7-1185g7-3");
    }
}
