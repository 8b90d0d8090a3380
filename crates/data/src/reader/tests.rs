//! Reading whole files: naming, typing, ids and what is kept out.

use serde_json::json;

use super::*;

fn spec(yaml: &str) -> ReaderSpec {
    serde_saphyr::from_str(yaml).unwrap()
}

fn read_text(text: &str, format: Format, yaml: &str) -> Result<Read, Failure> {
    read_bytes(text.as_bytes().to_vec(), format, &spec(yaml))
}

#[track_caller]
fn failure(text: &str, format: Format, yaml: &str, expected: &str) {
    let failure = format!("{:?}", read_text(text, format, yaml).unwrap_err());
    assert!(failure.contains(expected), "{failure}");
}

#[test]
fn a_table_without_header_is_named_typed_and_numbered() {
    let text = "1_1\t-0.9\ttext \"one\"\r\n1_2\tx\ttext two\r\n\r\n1_3\t2\ta\tb\r\n1_1\t0\tagain\r\n1_4\t2\tlast";
    let yaml =
        "{header: false, quote: none, columns: [id, mean, text], types: {mean: number}, id: id}";
    let read = read_text(text, Format::Tsv, yaml).unwrap();
    let records: Vec<_> = read
        .records
        .iter()
        .map(|record| {
            (
                record.line,
                record.id.as_str(),
                Value::from(record.fields.clone()),
            )
        })
        .collect();
    assert_eq!(
        records,
        [
            (
                1,
                "1_1",
                json!({"id": "1_1", "mean": -0.9, "text": "text \"one\""})
            ),
            (6, "1_4", json!({"id": "1_4", "mean": 2, "text": "last"})),
        ]
    );
    let broken: Vec<_> = read
        .broken
        .iter()
        .map(|b| (b.line, b.reason.as_str()))
        .collect();
    assert_eq!(
        broken,
        [
            (2, "`mean` is `x` instead of a number"),
            (4, "it has 4 fields instead of 3"),
            (5, "the id `1_1` stands on line 1 already"),
        ]
    );
    assert_eq!((read.broken_rows, read.encoding.as_str()), (3, "UTF-8"));
}

#[test]
fn a_header_names_the_columns_and_may_be_renamed() {
    let text = "\u{feff}text , n\nhello,1\n";
    let read = read_text(text, Format::Csv, "{types: {n: integer}}").unwrap();
    assert_eq!(
        Value::from(read.records[0].fields.clone()),
        json!({"text": "hello", "n": 1})
    );
    assert_eq!(read.records[0].id, "2");
    let read = read_text(text, Format::Csv, "{header: true, columns: [a, b]}").unwrap();
    assert_eq!(
        Value::from(read.records[0].fields.clone()),
        json!({"a": "hello", "b": "1"})
    );
}

#[test]
fn every_type_is_read_and_refused() {
    let check = |kind, value: Value, expected: Result<Value, &str>| {
        assert_eq!(typed(&value, kind), expected.map_err(str::to_owned));
    };
    check(FieldType::Number, json!(" 1.5 "), Ok(json!(1.5)));
    check(FieldType::Number, json!(""), Ok(Value::Null));
    check(
        FieldType::Number,
        json!("nan"),
        Err("is `nan` instead of a number"),
    );
    check(
        FieldType::Number,
        json!("1e999"),
        Err("is `1e999` instead of a number"),
    );
    check(FieldType::Integer, json!("-3"), Ok(json!(-3)));
    check(
        FieldType::Integer,
        json!(1.5),
        Err("is `1.5` instead of a whole number"),
    );
    check(FieldType::Boolean, json!("TRUE"), Ok(json!(true)));
    check(
        FieldType::Boolean,
        json!(2),
        Err("is `2` instead of true or false"),
    );
    check(FieldType::Text, json!(7), Ok(json!("7")));
    check(FieldType::Text, json!(" kept "), Ok(json!(" kept ")));
    check(
        FieldType::Text,
        json!([1]),
        Err("holds a list or an object instead of one value"),
    );
}

#[test]
fn what_the_specification_gets_wrong_is_said() {
    failure(
        "a,b\n1,2",
        Format::Csv,
        "{types: {mena: number, a: text}}",
        "no row has a column `mena`",
    );
    failure(
        "text,b\n1,2",
        Format::Csv,
        "{id: tetx}",
        "the nearest is `text`",
    );
    failure(
        "1,2",
        Format::Csv,
        "{header: false}",
        "list the columns' names",
    );
    failure(
        "a,b\n1,2",
        Format::Csv,
        "{header: true, columns: [a]}",
        "the header has 2 (a, b)",
    );
    failure("a,a\n1,2", Format::Csv, "{}", "two columns are called `a`");
    failure(
        "a\n",
        Format::Csv,
        "{delimiter: \"é\"}",
        "one ASCII character",
    );
    failure("", Format::Csv, "{}", "it is empty");
    let unknown = serde_saphyr::from_str::<ReaderSpec>("{delimeter: x}").unwrap_err();
    assert!(unknown.to_string().contains("delimeter"));
}

#[test]
fn the_extension_names_the_format() {
    let format = |name: &str| format_of(Path::new(name), &ReaderSpec::default());
    assert_eq!(format("a/b.CSV").unwrap(), Format::Csv);
    assert_eq!(format("b.parquet").unwrap(), Format::Parquet);
    let error = format("b.txt").unwrap_err().to_string();
    assert!(error.contains("write csv, tsv"), "{error}");
}

#[test]
fn a_file_that_is_not_there_is_said_by_name() {
    let error = read(Path::new("no/such.csv"), &ReaderSpec::default()).unwrap_err();
    assert_eq!(error.code(), "data-file");
    assert!(error.to_string().starts_with("cannot read no/such.csv"));
}

#[test]
fn broken_rows_are_counted_beyond_what_is_kept() {
    let text = "{\n".repeat(BROKEN_ROWS_KEPT_MAX + 5);
    let read = read_text(&text, Format::Jsonl, "{}").unwrap();
    assert_eq!(read.broken.len(), BROKEN_ROWS_KEPT_MAX);
    assert_eq!(read.broken_rows, BROKEN_ROWS_KEPT_MAX as u64 + 5);
}

#[test]
fn arbitrary_bytes_do_not_panic() {
    let samples = [
        &b"id,mean,text\n1,\"2\",\"a\nb\"\n"[..],
        b"1\t2\t\"x\n\xe4\xb8",
        b"{\"id\": 1, \"mean\": \"2\"}\n[]\n",
        b"[{\"id\": {\"x\": [1]}}, null]",
        b"PK\x03\x04",
    ];
    for sample in samples {
        for at in 0..sample.len() {
            fuzz(&sample[..at]);
            for byte in [0, b'"', b'\n', 0x7f, 0x81, 0xff] {
                let mut changed = sample.to_vec();
                changed[at] = byte;
                fuzz(&changed);
            }
        }
    }
}
