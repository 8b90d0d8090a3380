//! parquet: the rows of an Apache Parquet file, row groups in order.
//!
//! The parquet crate panics on some damaged files (in roughly one of 500 with a few random bytes changed), so
//! it runs shielded.

use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader as _, SerializedFileReader};
use parquet::record::{Field, Row as ParquetRow};
use serde_json::{Map, Value};

use super::{Failure, Row, Rows, shielded};
use crate::bounds::{DATA_FILE_BYTES_MAX, RECORDS_MAX};

/// The rows of the file; their lines are their places in it.
pub(super) fn rows(bytes: Vec<u8>) -> Result<Rows, Failure> {
    shielded(|| {
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes)).map_err(broken)?;
        check_size(reader.metadata())?;
        let mut rows = Vec::new();
        for (line, row) in (1..).zip(reader.get_row_iter(None).map_err(broken)?) {
            rows.push(Row {
                line,
                fields: object(&row.map_err(broken)?),
            });
        }
        Ok(Rows {
            rows,
            encoding: "UTF-8",
        })
    })
}

/// The footer says how many rows and bytes will come: what is beyond the bounds is refused before
/// anything is unpacked.
pub(crate) fn check_size(metadata: &ParquetMetaData) -> Result<(), String> {
    let rows = metadata.file_metadata().num_rows();
    let sizes = metadata
        .row_groups()
        .iter()
        .map(|group| group.total_byte_size());
    let bytes = sizes.fold(0i64, i64::saturating_add);
    if u64::try_from(rows).map_or(true, |rows| rows > RECORDS_MAX as u64)
        || u64::try_from(bytes).map_or(true, |bytes| bytes > DATA_FILE_BYTES_MAX)
    {
        return Err(format!(
            "its footer promises {rows} rows in {bytes} bytes; the bounds are {RECORDS_MAX} and {DATA_FILE_BYTES_MAX}"
        ));
    }
    Ok(())
}

fn broken(error: parquet::errors::ParquetError) -> Failure {
    Failure::Format(format!("it is no parquet file that can be read: {error}"))
}

/// A row as an object.
pub(crate) fn object(row: &ParquetRow) -> Result<Map<String, Value>, String> {
    row.get_column_iter()
        .map(|(name, field)| {
            let value = value(field).map_err(|reason| format!("`{name}` {reason}"))?;
            Ok((name.clone(), value))
        })
        .collect()
}

fn value(field: &Field) -> Result<Value, String> {
    Ok(match field {
        Field::Null => Value::Null,
        Field::Bool(truth) => Value::Bool(*truth),
        Field::Byte(whole) => Value::from(*whole),
        Field::Short(whole) => Value::from(*whole),
        Field::Int(whole) => Value::from(*whole),
        Field::Long(whole) => Value::from(*whole),
        Field::UByte(whole) => Value::from(*whole),
        Field::UShort(whole) => Value::from(*whole),
        Field::UInt(whole) => Value::from(*whole),
        Field::ULong(whole) => Value::from(*whole),
        Field::Float16(float) => finite(f64::from(*float))?,
        // By way of its decimal spelling: 0.1 stays 0.1 and gains no digits of binary noise.
        Field::Float(float) => finite(float.to_string().parse().unwrap_or(f64::NAN))?,
        Field::Double(float) => finite(*float)?,
        Field::Str(text) => Value::from(text.as_str()),
        Field::Bytes(_) => return Err("holds bytes instead of text".to_owned()),
        Field::Group(row) => Value::Object(object(row)?),
        Field::ListInternal(list) => Value::Array(
            list.elements()
                .iter()
                .map(value)
                .collect::<Result<_, _>>()?,
        ),
        Field::MapInternal(_) => return Err("holds a map, which is not read".to_owned()),
        // Decimals, dates and times: as text, the way the format's own library prints them.
        other => Value::from(other.to_string()),
    })
}

fn finite(float: f64) -> Result<Value, String> {
    if float.is_finite() {
        Ok(Value::from(float))
    } else {
        Err(format!("is {float}, which is no number"))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, DoubleType};
    use parquet::file::properties::{EnabledStatistics, WriterProperties};
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    use super::*;

    fn file(texts: &[&str], means: &[f64]) -> Vec<u8> {
        let schema = "message rows { required binary text (UTF8); required double mean; }";
        let schema = Arc::new(parse_message_type(schema).unwrap());
        let properties = WriterProperties::builder()
            .set_compression(parquet::basic::Compression::SNAPPY)
            .set_statistics_enabled(EnabledStatistics::None);
        let mut bytes = Vec::new();
        let mut writer =
            SerializedFileWriter::new(&mut bytes, schema, Arc::new(properties.build())).unwrap();
        let mut group = writer.next_row_group().unwrap();
        let texts: Vec<_> = texts.iter().map(|text| ByteArray::from(*text)).collect();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<ByteArrayType>()
            .write_batch(&texts, None, None)
            .unwrap();
        column.close().unwrap();
        let mut column = group.next_column().unwrap().unwrap();
        column
            .typed::<DoubleType>()
            .write_batch(means, None, None)
            .unwrap();
        column.close().unwrap();
        group.close().unwrap();
        writer.close().unwrap();
        bytes
    }

    #[test]
    fn rows_come_typed_and_odd_ones_are_broken() {
        let rows = rows(file(&["good", "价格"], &[1.5, f64::NAN]))
            .unwrap()
            .rows;
        let first = rows[0].fields.as_ref().unwrap();
        assert_eq!(
            Value::from(first.clone()),
            serde_json::json!({"text": "good", "mean": 1.5})
        );
        assert_eq!(
            rows[1].fields,
            Err("`mean` is NaN, which is no number".to_owned())
        );
    }

    #[test]
    fn truncated_and_changed_files_are_refused_or_read_but_never_panic() {
        let whole = file(&["one", "two", "three"], &[1.0, 2.0, 3.0]);
        for cut in 0..whole.len() {
            assert!(rows(whole[..cut].to_vec()).is_err(), "cut at {cut}");
            let mut changed = whole.clone();
            changed[cut] ^= 0xff;
            let _read_or_refused = rows(changed);
        }
    }
}
