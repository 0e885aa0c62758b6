use std::{collections::HashSet, sync::Arc};

use leptos::prelude::*;
use protocol::{ErrorKind, Failure};
use rolebench::{Comparison, Sample, compare};

use super::{Activity, Evaluation, Sheet};
use crate::slices;

/// Two systems and how they compare.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The first's name.
    pub first: String,
    /// The second's name.
    pub second: String,
    /// The figures.
    pub figures: Comparison,
}

impl Evaluation {
    /// Compares two runs or files, by their ids, under the chosen rule.
    pub fn compare(self, first: String, second: String) {
        self.work(Activity::Comparing, async move |turn| {
            let first = self.sheet_of(&first).await?;
            let second = self.sheet_of(&second).await?;
            let scorer = self.scorer().await?;
            let test = both_tests(&first, &second);
            // The words that it is being done are painted before.
            slices::pause(30).await;
            let figures = compare(&scorer, &test, &first.predictions, &second.predictions);
            if figures.rows == 0 {
                let message = format!("no test row was answered by both {} and {}", first.name, second.name);
                return Err(Failure::new(ErrorKind::InvalidRequest, message));
            }
            if self.is_current(turn) {
                let (first, second) = (first.name.clone(), second.name.clone());
                self.compared.set(Some(Compared { first, second, figures }));
            }
            Ok(())
        });
    }

    async fn sheet_of(self, id: &str) -> Result<Arc<Sheet>, Failure> {
        if let Some(file) = self.files.with_untracked(|files| files.iter().find(|file| file.id == id).cloned()) {
            return Ok(file);
        }
        let run = self.runs.with_untracked(|runs| runs.iter().find(|run| run.id == id).cloned());
        let gone = || Failure::new(ErrorKind::Other, "this run is no longer kept");
        Ok(Arc::new(self.stored(run.ok_or_else(gone)?).await?))
    }
}

/// The test rows of the first, and those of the second that the first lacks.
fn both_tests(first: &Sheet, second: &Sheet) -> Vec<Sample> {
    let known: HashSet<_> = first.test.iter().map(Sample::key).collect();
    let others = second.test.iter().filter(|row| !known.contains(&row.key()));
    first.test.iter().chain(others).cloned().collect()
}
