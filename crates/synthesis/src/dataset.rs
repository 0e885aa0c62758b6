//! Many roles' parts as one data set in RoleBench's shape: decontaminated, split, written.

use crate::{Counts, Decontamination, Instruction, Part, Row, decontaminate, measure, parquet_file, text::suffix};
use rolebench::{Overlap, Sample, question_overlap};
use roles::Language;
use serde::Serialize;
use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    fs, io,
    path::{Path, PathBuf},
};

/// How a data set is made of parts.
#[derive(Clone, Copy, Debug)]
pub struct Assembly {
    /// Share of the questions that become the test, in [0, 1).
    pub test_share: f64,
    /// Which questions.
    pub seed: u64,
    /// ROUGE-L F to a question of a test file from which on a row is dropped.
    pub contamination: f64,
}

/// A data set, and what became of everything on the way.
#[derive(Clone, Debug, Default)]
pub struct Dataset {
    /// The roles' parts, without their rows' dropped ones.
    pub parts: Vec<Part>,
    /// By language.
    pub splits: BTreeMap<&'static str, Splits>,
    /// What was asked in general.
    pub instructions: Vec<(Language, Instruction)>,
    /// What was too near to test files.
    pub decontamination: Decontamination,
}

/// The rows of one language.
#[derive(Clone, Debug, Default)]
pub struct Splits {
    /// General rows: training, test, and `RoleGPT`'s own answers.
    pub general: [Vec<Row>; 3],
    /// Role-specific rows: training and test.
    pub specific: [Vec<Row>; 2],
}

/// Why a data set cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum DatasetError {
    /// The system says no.
    #[error("cannot write {}: {reason}", path.display())]
    Io {
        /// What it says.
        reason: io::Error,
        /// The file.
        path: PathBuf,
    },
    /// The parquet library says no.
    #[error("cannot write {}: {reason}", path.display())]
    Parquet {
        /// What it says.
        reason: parquet::errors::ParquetError,
        /// The file.
        path: PathBuf,
    },
}

impl Assembly {
    /// Puts parts together; `test` are rows of test files that nothing may be near to.
    pub fn assemble(
        &self,
        mut parts: Vec<Part>,
        instructions: Vec<(Language, Instruction)>,
        test: &[Sample],
    ) -> Dataset {
        let mut decontamination = Decontamination { threshold: self.contamination, ..Decontamination::default() };
        if !test.is_empty() {
            decontamination.test_questions = test.iter().map(|sample| sample.key().1).collect::<HashSet<_>>().len();
            decontamination.planted = measure(test, self.contamination);
        }
        let mut splits: BTreeMap<&'static str, Splits> = BTreeMap::new();
        for part in &mut parts {
            let Part { specific, general, .. } = part;
            for (rows, counts) in [(&mut specific.rows, &mut specific.counts), (&mut general.rows, &mut general.counts)]
            {
                let mut drop = |row: &Row, reason| {
                    counts.kept = counts.kept.saturating_sub(row.generated.len());
                    counts.reject(reason);
                };
                if !test.is_empty() {
                    decontaminate(rows, test, self.contamination, &mut decontamination, &mut drop);
                }
            }
            let language = part.profile.role.language;
            let splits = splits.entry(suffix(language)).or_default();
            // Every role's questions are split alike, so that a question is never on both sides.
            self.split(&general.rows, &mut splits.general[..2]);
            self.split(&specific.rows, &mut splits.specific);
            splits.general[2].extend(general.baseline.iter().cloned());
        }
        Dataset { parts, splits, instructions, decontamination }
    }

    /// A question's side depends on its text and the seed alone.
    fn split(&self, rows: &[Row], sides: &mut [Vec<Row>]) {
        for row in rows {
            sides[usize::from(self.is_test(&row.question))].push(row.clone());
        }
    }

    fn is_test(&self, question: &str) -> bool {
        const PARTS: u64 = 10_000;
        // FNV-1a, and a step of SplitMix64 to mix its bits.
        let hash = question.trim().bytes().fold(self.seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (((mixed >> 31) % PARTS) as f64) < self.test_share * PARTS as f64
    }
}

impl Splits {
    /// How much the training sets give away of the tests: general, role-specific.
    pub fn overlaps(&self) -> [Overlap; 2] {
        let samples = |rows: &[Row]| rows.iter().map(sample).collect::<Vec<_>>();
        [
            question_overlap(&samples(&self.general[0]), &samples(&self.general[1])),
            question_overlap(&samples(&self.specific[0]), &samples(&self.specific[1])),
        ]
    }
}

fn sample(row: &Row) -> Sample {
    Sample {
        role: row.role.clone(),
        question: row.question.clone(),
        generated: row.generated.clone(),
        kind: row.kind.into_iter().collect(),
    }
}

impl Dataset {
    /// What became of everything, over all roles: profiles, role-specific, general.
    pub fn counts(&self) -> [Counts; 3] {
        let mut sums: [Counts; 3] = Default::default();
        for part in &self.parts {
            let counts = [&part.profile_counts, &part.specific.counts, &part.general.counts];
            sums.iter_mut().zip(counts).for_each(|(sum, counts)| sum.add(counts));
        }
        sums
    }

    /// Writes the folders of RoleBench below `folder`, each split as JSON Lines and as parquet.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), DatasetError> {
        for (language, splits) in &self.splits {
            let rolebench = folder.join(format!("rolebench-{language}"));
            for (name, rows) in ["train", "test", "rolegpt_baseline"].iter().zip(&splits.general) {
                write_split(&rolebench.join("general"), name, rows)?;
            }
            for (name, rows) in ["train", "test"].iter().zip(&splits.specific) {
                write_split(&rolebench.join("role_specific"), name, rows)?;
            }
            self.write_instructions(folder, language)?;
            self.write_profiles(folder, language)?;
        }
        Ok(())
    }

    fn write_instructions(&self, folder: &Path, language: &str) -> Result<(), DatasetError> {
        let folder = folder.join(format!("instructions-{language}"));
        let general = self.instructions.iter().filter(|(of, _)| suffix(*of) == language).map(|(_, text)| text);
        lines(&folder.join("instructions-general.jsonl"), general)?;
        let mut segments = BTreeMap::new();
        for part in self.of_language(language) {
            let name = file_name(&part.profile.role.name);
            let asked = part.specific.rows.iter().map(|row| Instruction {
                instruction: row.question.clone(),
                answer: row.generated.first().cloned().unwrap_or_default(),
            });
            lines(&folder.join(format!("role-specific-{name}.jsonl")), asked)?;
            let count: usize = part.segments.iter().map(|(_, count)| count).sum();
            segments.insert(part.profile.role.name.as_str(), count);
        }
        json(&folder.join("split_info.txt"), &segments)
    }

    fn write_profiles(&self, folder: &Path, language: &str) -> Result<(), DatasetError> {
        #[derive(Serialize)]
        struct Turn<'a> {
            role: &'a str,
            content: &'a str,
        }
        let profiles = folder.join(format!("profiles-{language}"));
        let mut descriptions = BTreeMap::new();
        for part in self.of_language(language) {
            let role = &part.profile.role;
            descriptions.insert(role.name.as_str(), role.system_instruction());
            let turns = part.profile.dialogue.iter().flat_map(|exchange| {
                let user = Turn { role: "user", content: &exchange.user };
                [user, Turn { role: &role.name, content: &exchange.reply }]
            });
            lines(&profiles.join(format!("profiles-{language}-{}.jsonl", file_name(&role.name))), turns)?;
            write_role(&folder.join("roles"), &part.profile)?;
        }
        json(&profiles.join("desc.json"), &descriptions)
    }

    fn of_language(&self, language: &str) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(move |part| suffix(part.profile.role.language) == language)
    }

    /// The models that wrote the rows.
    pub fn models(&self) -> BTreeSet<&str> {
        let rows = self.parts.iter().flat_map(|part| part.specific.rows.iter().chain(&part.general.rows));
        rows.map(|row| row.provenance.model.as_str()).collect()
    }
}

/// Writes `ROLE/role.json` and `ROLE/dialogue.jsonl`, which every program here reads.
///
/// # Errors
/// A file cannot be written.
pub fn write_role(folder: &Path, profile: &crate::Profile) -> Result<(), DatasetError> {
    let folder = folder.join(&profile.role.id);
    lines(&folder.join("dialogue.jsonl"), profile.dialogue.iter())?;
    json(&folder.join("role.json"), &profile.role)
}

fn write_split(folder: &Path, name: &str, rows: &[Row]) -> Result<(), DatasetError> {
    lines(&folder.join(format!("{name}.jsonl")), rows.iter())?;
    let path = folder.join(format!("{name}.parquet"));
    parquet_file::write(&path, rows).map_err(|reason| DatasetError::Parquet { reason, path })
}

fn lines<T: Serialize>(path: &Path, values: impl Iterator<Item = T>) -> Result<(), DatasetError> {
    let mut text = String::new();
    for value in values {
        text.push_str(&serde_json::to_string(&value).expect("rows are always JSON"));
        text.push('\n');
    }
    file(path, &text)
}

fn json<T: Serialize>(path: &Path, value: &T) -> Result<(), DatasetError> {
    file(path, &format!("{}\n", serde_json::to_string_pretty(value).expect("rows are always JSON")))
}

/// Writes a file whole or not at all, with the folders above it.
///
/// # Errors
/// The system cannot.
pub fn file(path: &Path, text: &str) -> Result<(), DatasetError> {
    let failed = |reason| DatasetError::Io { reason, path: path.into() };
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    let partial = path.with_extension("partial");
    fs::write(&partial, text).map_err(failed)?;
    fs::rename(&partial, path).map_err(failed)
}

/// A role's name without what a file's name must not hold.
fn file_name(name: &str) -> String {
    name.chars().map(|letter| if matches!(letter, '/' | '\\' | ':' | '\0') { '_' } else { letter }).collect()
}
