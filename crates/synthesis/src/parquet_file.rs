//! Rows as a parquet file, for loaders that want one.

use crate::Row;
use parquet::{
    basic::Compression,
    data_type::{ByteArray, ByteArrayType},
    errors::ParquetError,
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use std::{fs::File, path::Path, sync::Arc};

/// Values, and the levels at which each is defined and repeated.
type Column = (Vec<ByteArray>, Option<Vec<i16>>, Option<Vec<i16>>);

const SCHEMA: &str = "message row {
    required binary role (STRING);
    required binary question (STRING);
    required group generated (LIST) { repeated group list { required binary element (STRING); } }
    optional binary type (STRING);
    required binary provenance (STRING);
}";

/// Writes rows; `provenance` is JSON. Rows are taken to have at least one answer each.
///
/// # Errors
/// The file cannot be written.
pub fn write(path: &Path, rows: &[Row]) -> Result<(), ParquetError> {
    let schema = Arc::new(parse_message_type(SCHEMA)?);
    let properties = WriterProperties::builder().set_compression(Compression::SNAPPY).build();
    let mut writer = SerializedFileWriter::new(File::create(path)?, schema, Arc::new(properties))?;
    let mut group = writer.next_row_group()?;
    let texts = |text: &dyn Fn(&Row) -> String| -> Vec<ByteArray> {
        rows.iter().map(|row| ByteArray::from(text(row).into_bytes())).collect()
    };
    let kinds: Vec<Option<String>> =
        rows.iter().map(|row| row.kind.map(|kind| json(&kind).trim_matches('"').to_string())).collect();
    let columns: [Column; 5] = [
        (texts(&|row| row.role.clone()), None, None),
        (texts(&|row| row.question.clone()), None, None),
        (
            rows.iter().flat_map(|row| &row.generated).map(|text| ByteArray::from(text.as_str())).collect(),
            Some(rows.iter().flat_map(|row| row.generated.iter().map(|_| 1)).collect()),
            // 0 begins a row's list, 1 goes on with it.
            Some(rows.iter().flat_map(|row| (0..row.generated.len()).map(|at| i16::from(at > 0))).collect()),
        ),
        (
            kinds.iter().flatten().map(|kind| ByteArray::from(kind.as_str())).collect(),
            Some(kinds.iter().map(|kind| i16::from(kind.is_some())).collect()),
            None,
        ),
        (texts(&|row| json(&row.provenance)), None, None),
    ];
    for (values, defined, repeated) in columns {
        let mut column = group.next_column()?.ok_or_else(|| ParquetError::General("a column is missing".into()))?;
        column.typed::<ByteArrayType>().write_batch(&values, defined.as_deref(), repeated.as_deref())?;
        column.close()?;
    }
    group.close()?;
    writer.close()?;
    Ok(())
}

fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).expect("rows are always JSON")
}
