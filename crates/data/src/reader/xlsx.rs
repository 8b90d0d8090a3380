//! xlsx: the rows of one sheet of an Excel workbook.
//!
//! Cells are streamed, never laid out as the rectangle that a sheet claims to fill: one cell in the
//! last row and column would claim seventeen billion. Formulas count by their stored results.

use std::io::Cursor;

use calamine::{DataRef, Reader as _, Xlsx, XlsxError};
use serde_json::Value;

use super::{Columns, Failure, ReaderSpec, Row, Rows, has_header, shielded};
use crate::archive;
use crate::bounds::{FIELDS_MAX, WORKBOOK_UNPACKED_BYTES_MAX};

/// The rows of the specification's sheet, else of the first.
pub(super) fn rows(bytes: Vec<u8>, spec: &ReaderSpec) -> Result<Rows, Failure> {
    // The parser unpacks what it likes: what it may unpack is measured first.
    archive::measure_zip(&bytes, WORKBOOK_UNPACKED_BYTES_MAX).map_err(Failure::Format)?;
    let table = shielded(|| table(bytes, spec))?;
    let mut lines = table.into_iter();
    let header = match has_header(spec) {
        false => None,
        true => {
            let (_, cells) = lines
                .next()
                .ok_or_else(|| Failure::Format("the sheet is empty".to_owned()))?;
            Some(cells.iter().map(header_name).collect())
        }
    };
    let columns = Columns::new(header, spec)?;
    let width = columns.0.len();
    let rows = lines.map(|(line, mut cells)| {
        // Trailing empty cells are not stored; the row is none the worse for it.
        if cells.len() < width {
            cells.resize(width, Value::Null);
        }
        Row {
            line,
            fields: columns.fields(cells),
        }
    });
    Ok(Rows {
        rows: rows.collect(),
        encoding: "UTF-8",
    })
}

fn header_name(cell: &Value) -> String {
    match cell {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

/// The rows that hold anything, by their number counted from 1.
fn table(bytes: Vec<u8>, spec: &ReaderSpec) -> Result<Vec<(u64, Vec<Value>)>, Failure> {
    let mut workbook: Xlsx<_> = Xlsx::new(Cursor::new(bytes)).map_err(broken)?;
    let sheets = workbook.sheet_names();
    let sheet = match &spec.sheet {
        Some(name) if sheets.contains(name) => name.clone(),
        Some(name) => {
            return Err(Failure::Spec {
                key: "sheet",
                reason: format!(
                    "there is no sheet `{name}`{}",
                    crate::nearest::hint(name, sheets.iter().map(String::as_str))
                ),
            });
        }
        None => sheets
            .first()
            .cloned()
            .ok_or_else(|| Failure::Format("it has no sheet".to_owned()))?,
    };
    let mut cells = workbook.worksheet_cells_reader(&sheet).map_err(broken)?;
    let mut table: Vec<(u64, Vec<Value>)> = Vec::new();
    while let Some(cell) = cells.next_cell().map_err(broken)? {
        let (row, column) = cell.get_position();
        let value = value(cell.get_value());
        if value.is_null() {
            continue;
        }
        let (line, column) = (u64::from(row) + 1, column as usize);
        if column >= FIELDS_MAX {
            return Err(Failure::Format(format!(
                "row {line} has a cell in column {}, beyond {FIELDS_MAX}; delete it",
                column + 1
            )));
        }
        if table.last().is_none_or(|(last, _)| *last != line) {
            table.push((line, Vec::new()));
        }
        let (_, cells) = table.last_mut().expect("a row was just pushed");
        if cells.len() <= column {
            cells.resize(column + 1, Value::Null);
        }
        cells[column] = value;
    }
    Ok(table)
}

fn broken(error: XlsxError) -> Failure {
    Failure::Format(format!("it is no workbook that can be read: {error}"))
}

/// A cell as JSON. Excel knows no whole numbers: a float that is one is written as one. Dates
/// become text, as a table shows them; what is an error in the sheet is nothing here.
fn value(cell: &DataRef<'_>) -> Value {
    /// Beyond this, floats skip whole numbers.
    const WHOLE_MAX: f64 = 9_007_199_254_740_991.0;
    match cell {
        DataRef::Int(whole) => Value::from(*whole),
        DataRef::Float(float) if float.fract() == 0.0 && float.abs() <= WHOLE_MAX => {
            Value::from(*float as i64)
        }
        DataRef::Float(float) => Value::from(*float),
        DataRef::String(text) => Value::from(text.as_str()),
        DataRef::SharedString(text) => Value::from(*text),
        DataRef::Bool(truth) => Value::Bool(*truth),
        DataRef::DateTime(moment) if moment.is_datetime() => {
            let (year, month, day, hour, minute, second, _) = moment.to_ymd_hms_milli();
            Value::from(format!(
                "{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}"
            ))
        }
        DataRef::DateTime(duration) => Value::from(duration.as_f64()),
        DataRef::DateTimeIso(text) | DataRef::DurationIso(text) => Value::from(text.as_str()),
        DataRef::Error(_) | DataRef::Empty => Value::Null,
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use serde_json::json;
    use zip::ZipWriter;
    use zip::write::SimpleFileOptions;

    use super::*;

    /// The smallest workbook there is: one sheet, texts in its cells.
    fn workbook(rows: &str) -> Vec<u8> {
        let sheet = format!(
            r#"<worksheet xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"><sheetData>{rows}</sheetData></worksheet>"#
        );
        let files = [
            (
                "[Content_Types].xml",
                r#"<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="xml" ContentType="application/xml"/></Types>"#,
            ),
            (
                "_rels/.rels",
                r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="xl/workbook.xml"/></Relationships>"#,
            ),
            (
                "xl/workbook.xml",
                r#"<workbook xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"><sheets><sheet name="Reviews" sheetId="1" r:id="rId1"/></sheets></workbook>"#,
            ),
            (
                "xl/_rels/workbook.xml.rels",
                r#"<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/worksheet" Target="worksheets/sheet1.xml"/></Relationships>"#,
            ),
            ("xl/worksheets/sheet1.xml", &sheet),
        ];
        let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
        for (name, content) in files {
            writer
                .start_file(name, SimpleFileOptions::default())
                .unwrap();
            writer.write_all(content.as_bytes()).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    const ROWS: &str = r#"<row r="1"><c r="A1" t="inlineStr"><is><t>text</t></is></c><c r="B1" t="inlineStr"><is><t>mean</t></is></c></row>
        <row r="2"><c r="A2" t="inlineStr"><is><t>价格 &amp; more</t></is></c><c r="B2"><v>-1.5</v></c></row>
        <row r="4"><c r="A4" t="b"><v>1</v></c><c r="B4"><v>3</v></c></row>
        <row r="5"><c r="A5" t="inlineStr"><is><t>no mean</t></is></c></row>
        <row r="6"><c r="A6"><v>1</v></c><c r="C6"><v>9</v></c></row>"#;

    #[test]
    fn rows_come_by_their_numbers_with_what_their_cells_hold() {
        let rows = rows(workbook(ROWS), &ReaderSpec::default()).unwrap().rows;
        let found: Vec<_> = rows
            .into_iter()
            .map(|row| (row.line, row.fields.map(Value::from)))
            .collect();
        assert_eq!(
            found,
            [
                (2, Ok(json!({"text": "价格 & more", "mean": -1.5}))),
                (4, Ok(json!({"text": true, "mean": 3}))),
                (5, Ok(json!({"text": "no mean", "mean": null}))),
                (6, Err("it has 3 fields instead of 2".to_owned())),
            ]
        );
    }

    #[test]
    fn a_sheet_that_is_not_there_is_said_with_the_nearest() {
        let spec = ReaderSpec {
            sheet: Some("reviews".to_owned()),
            ..ReaderSpec::default()
        };
        let failure = rows(workbook(ROWS), &spec).err().unwrap();
        assert!(
            format!("{failure:?}").contains("the nearest is `Reviews`"),
            "{failure:?}"
        );
    }

    #[test]
    fn a_cell_in_the_last_corner_takes_no_rectangle() {
        let far_row = format!("{ROWS}<row r=\"1048576\"><c r=\"A1048576\"><v>1</v></c></row>");
        let last = rows(workbook(&far_row), &ReaderSpec::default())
            .unwrap()
            .rows;
        assert_eq!(last.last().unwrap().line, 1_048_576);
        let far_column = format!("{ROWS}<row r=\"9\"><c r=\"XFD9\"><v>1</v></c></row>");
        let failure = rows(workbook(&far_column), &ReaderSpec::default())
            .err()
            .unwrap();
        assert!(
            format!("{failure:?}").contains("column 16384"),
            "{failure:?}"
        );
    }

    #[test]
    fn truncated_and_changed_workbooks_are_refused_or_read_but_never_panic() {
        let whole = workbook(ROWS);
        for at in (0..whole.len()).step_by(3) {
            assert!(
                rows(whole[..at].to_vec(), &ReaderSpec::default()).is_err(),
                "cut at {at}"
            );
            let mut changed = whole.clone();
            changed[at] ^= 0x55;
            let _read_or_refused = rows(changed, &ReaderSpec::default());
        }
    }
}
