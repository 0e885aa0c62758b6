//! RoleBench's rows out of parquet files, as data set hubs hold them.

use parquet::{
    errors::ParquetError as Reason,
    file::reader::{FileReader, SerializedFileReader},
    record::{Field, Row},
};
use rolebench::{Kind, Sample};
use std::{fs::File, io, path::Path};

/// Why a file's rows cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum ParquetError {
    /// It cannot be opened.
    #[error("cannot be opened: {0}")]
    Open(#[from] io::Error),
    /// It is damaged, or compressed in a way that is not built in.
    #[error("not a readable parquet file: {0}")]
    Format(#[from] Reason),
    /// A row is none of RoleBench's.
    #[error("row {row}: {message}; the columns are role, question, generated (a list of texts) and type")]
    Row {
        /// The row, counted from 1.
        row: usize,
        /// What is wrong with it.
        message: String,
    },
}

/// Reads all rows.
///
/// # Errors
/// The first row that is none.
pub fn read(path: &Path) -> Result<Vec<Sample>, ParquetError> {
    let reader = SerializedFileReader::new(File::open(path)?)?;
    let rows = reader.get_row_iter(None)?.enumerate();
    rows.map(|(at, row)| sample(&row?).map_err(|message| ParquetError::Row { row: at + 1, message })).collect()
}

fn sample(row: &Row) -> Result<Sample, String> {
    let mut sample = Sample::default();
    for (name, field) in row.get_column_iter() {
        match name.as_str() {
            "role" => sample.role = text(name, field)?,
            "question" => sample.question = text(name, field)?,
            "generated" => sample.generated = texts(name, field)?,
            "type" => sample.kind = texts(name, field)?.iter().map(|word| kind(word)).collect(),
            _ => {}
        }
    }
    let empty = [("role", sample.key().0.is_empty()), ("question", sample.key().1.is_empty())];
    let empty = empty.into_iter().chain([("generated", sample.generated.is_empty())]).find(|(_, empty)| *empty);
    match empty {
        Some((name, _)) => Err(format!("the column \"{name}\" is missing or empty")),
        None => Ok(sample),
    }
}

fn text(name: &str, field: &Field) -> Result<String, String> {
    match field {
        Field::Str(text) => Ok(text.clone()),
        Field::Null => Ok(String::new()),
        other => Err(format!("the column \"{name}\" holds {other}, no text")),
    }
}

/// A list of texts; one text counts as a list of one.
fn texts(name: &str, field: &Field) -> Result<Vec<String>, String> {
    match field {
        Field::ListInternal(list) => list.elements().iter().map(|field| text(name, field)).collect(),
        Field::Null => Ok(Vec::new()),
        one => Ok(vec![text(name, one)?]),
    }
}

fn kind(word: &str) -> Kind {
    [Kind::ScriptBased, Kind::ScriptAgnostic].into_iter().find(|kind| kind.name() == word).unwrap_or(Kind::Other)
}
