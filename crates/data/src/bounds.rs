//! The bounds on what comes from outside, in one place.

/// Archives inside archives: the most steps a source may take.
pub const ARCHIVE_STEPS_MAX: usize = 8;
/// The most entries an archive may have.
pub const ARCHIVE_ENTRIES_MAX: u64 = 1_000_000;
/// The longest name an archive's entry may have.
pub const ARCHIVE_NAME_BYTES_MAX: u64 = 4096;
/// The most bytes one archive may unpack to.
pub const ARCHIVE_UNPACKED_BYTES_MAX: u64 = 64 << 30;
/// The most unpacked bytes for each packed byte, once [`ARCHIVE_RATIO_FREE_BYTES`] are out.
pub const ARCHIVE_RATIO_MAX: u64 = 200;
/// How many bytes may come out of an archive before its ratio is looked at.
pub const ARCHIVE_RATIO_FREE_BYTES: u64 = 64 << 20;
/// The largest file that may be downloaded.
pub const DOWNLOAD_BYTES_MAX: u64 = 64 << 30;
/// The largest answer of a package index or a hub's listing.
pub const INDEX_BYTES_MAX: u64 = 64 << 20;
/// The largest data file that is read into records; the reader holds it in memory.
pub const DATA_FILE_BYTES_MAX: u64 = 4 << 30;
/// The most records one dataset may have.
pub const RECORDS_MAX: usize = 10_000_000;
/// The most broken rows that are kept one by one; the rest is counted.
pub const BROKEN_ROWS_KEPT_MAX: usize = 1000;
/// The most fields a record may have.
pub const FIELDS_MAX: usize = 1000;
/// The longest text of a source.
pub const SOURCE_BYTES_MAX: usize = 16 << 10;
/// The most bytes an Excel workbook may unpack to; its parser holds them in memory.
pub const WORKBOOK_UNPACKED_BYTES_MAX: u64 = 1 << 30;
/// The largest record of training data, as it stands in its file.
pub const SAMPLE_BYTES_MAX: usize = 16 << 20;
/// The largest `dataset_info.json`.
pub const DATASET_INFO_BYTES_MAX: u64 = 16 << 20;
