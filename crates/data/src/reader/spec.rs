//! How a file is read, as a pack writes it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The formats that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// Comma separated values, RFC 4180.
    Csv,
    /// Tab separated values.
    Tsv,
    /// One JSON object a line.
    Jsonl,
    /// An array of JSON objects.
    Json,
    /// An Excel workbook.
    Xlsx,
    /// Apache Parquet.
    Parquet,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldType {
    /// Text.
    Text,
    /// A finite number.
    Number,
    /// A whole number.
    Integer,
    /// true or false.
    Boolean,
}

/// Whether fields may be quoted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Quote {
    /// By double quotes, a doubled one standing for itself.
    #[default]
    Double,
    /// Never: a quote is a character like any other.
    None,
}

/// How a file is read; every key may be absent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReaderSpec {
    /// The format; by the file's extension if absent.
    pub format: Option<Format>,
    /// The character between fields, for csv and tsv.
    pub delimiter: Option<char>,
    /// Quoting, for csv and tsv.
    pub quote: Quote,
    /// Whether the first row names the columns (csv, tsv, xlsx); true unless `columns` are given.
    pub header: Option<bool>,
    /// The columns' names in order; with a header, new names in place of its own.
    pub columns: Vec<String>,
    /// What columns hold; text for csv and tsv, as it is for the other formats.
    pub types: BTreeMap<String, FieldType>,
    /// The encoding; recognised (byte order mark, UTF-8, GB18030) if absent.
    pub encoding: Option<String>,
    /// The sheet, for xlsx; the first if absent.
    pub sheet: Option<String>,
    /// Where the array lies, as a JSON pointer, for json.
    pub pointer: Option<String>,
    /// The column that names the record; the line number if absent.
    pub id: Option<String>,
}

impl Format {
    /// The name as a pack writes it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::Tsv => "tsv",
            Self::Jsonl => "jsonl",
            Self::Json => "json",
            Self::Xlsx => "xlsx",
            Self::Parquet => "parquet",
        }
    }
}
