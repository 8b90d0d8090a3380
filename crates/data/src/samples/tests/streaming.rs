//! Large files, odd encodings, broken bytes: held in bounds, never a panic.

use std::sync::Arc;

use encoding_rs::GB18030;
use parquet::data_type::{ByteArray, ByteArrayType};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;

use super::*;

#[test]
fn parquet_comes_row_by_row_over_its_groups() {
    let schema =
        "message rows { required binary prompt (UTF8); required binary completion (UTF8); }";
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut bytes = Vec::new();
    let properties = Arc::new(WriterProperties::builder().build());
    let mut writer = SerializedFileWriter::new(&mut bytes, schema, properties).unwrap();
    for group in 0..3 {
        let mut columns = writer.next_row_group().unwrap();
        for name in ["p", "c"] {
            let values: Vec<_> = (0..2)
                .map(|row| ByteArray::from(format!("{name}{group}{row}").as_str()))
                .collect();
            let mut column = columns.next_column().unwrap().unwrap();
            column
                .typed::<ByteArrayType>()
                .write_batch(&values, None, None)
                .unwrap();
            column.close().unwrap();
        }
        columns.close().unwrap();
    }
    writer.close().unwrap();
    let told = told("a.parquet", &bytes);
    assert_eq!(told.len(), 6);
    assert_eq!(told[5], "U:p21 | A:c21");
    for cut in (0..bytes.len()).step_by(7) {
        let (_folder, path) = file("a.parquet", &bytes[..cut]);
        assert!(SampleSource::detect(&path).is_err(), "cut at {cut}");
        let mut changed = bytes.clone();
        changed[cut] ^= 0xff;
        let (_folder, path) = file("a.parquet", changed);
        let _read_or_refused = SampleSource::detect(&path).map(|source| all(&source).len());
    }
}

#[test]
fn tables_in_other_encodings_and_with_lost_quotes() {
    let gb = GB18030
        .encode("prompt,completion\n价格便宜，质量也不错,好评\n")
        .0
        .into_owned();
    assert_eq!(told("a.csv", gb), ["U:价格便宜，质量也不错 | A:好评"]);
    let mut utf16 = vec![0xff, 0xfe];
    utf16.extend(
        "prompt,completion\na,b\n"
            .encode_utf16()
            .flat_map(u16::to_le_bytes),
    );
    assert_eq!(told("a.csv", utf16), ["U:a | A:b"]);
    let rows = "prompt,completion\nx,y\n\"a,b\nc,d\ne\nf,\"g\" h\ni,j\n";
    let told: Vec<_> = detected("a.csv", rows)
        .iter()
        .map(|sample| match sample {
            Ok(sample) => tell(sample),
            Err(reason) => reason.split(": on line ").last().unwrap().to_owned(),
        })
        .collect();
    assert_eq!(told.len(), 6, "{told:?}");
    assert!(told[1].starts_with("3: text follows"), "{told:?}");
    assert_eq!(told[2], "U:c | A:d");
    assert_eq!(told[3], "5 are 1 cells instead of 2");
    assert!(told[4].starts_with("6: text follows"), "{told:?}");
    assert_eq!(told[5], "U:i | A:j");
    let samples = detected("a.csv", "prompt,completion\nx,y\n\"a,b\nc,d\n");
    assert!(samples[1].as_ref().unwrap_err().contains("never closed"));
    assert_eq!(tell(samples[2].as_ref().unwrap()), "U:c | A:d");
}

/// A long row crosses many blocks; a row that is too long ends the file.
#[test]
fn long_rows_are_read_and_endless_ones_refused() {
    let long = "x".repeat(1 << 20);
    let csv = format!("prompt,completion\na,\"{long}\"\nb,c\n");
    assert_eq!(told("a.csv", csv)[1], "U:b | A:c");
    let endless = "x".repeat(crate::bounds::SAMPLE_BYTES_MAX + (9 << 20));
    let samples = detected(
        "a.csv",
        format!("prompt,completion\na,b\nc,{endless}\nd,e\n"),
    );
    assert_eq!(samples.len(), 2);
    assert!(
        samples[1]
            .as_ref()
            .unwrap_err()
            .contains("more than 16777216 bytes")
    );
}

#[test]
fn changed_bytes_are_read_or_refused_but_never_panic() {
    let forms = [
        r#"[{"messages": [{"role": "user", "content": [{"type": "text", "text": "a"}]}, {"role": "assistant", "content": null, "tool_calls": [{"function": {"name": "f", "arguments": "{}"}}]}], "tools": [{"name": "f"}]}]"#,
        r#"{"conversations": [{"from": "human", "value": "a"}, {"from": "function_call", "value": "{\"name\": \"f\", \"arguments\": {}}"}]}"#,
        "prompt,completion,label\n\"a\"\"b\",c,true\n",
        r#"{"chosen": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}], "rejected": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "c"}]}"#,
        r#"{"d": {"file_name": "x", "formatting": "sharegpt", "columns": {"messages": "m"}, "tags": {"role_tag": "r"}}}"#,
    ];
    for form in forms {
        for place in 0..form.len() {
            fuzz(&form.as_bytes()[..place]);
            for change in [0x01, 0x20, 0x80] {
                let mut changed = form.as_bytes().to_vec();
                changed[place] ^= change;
                fuzz(&changed);
            }
        }
    }
}
