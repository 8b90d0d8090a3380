//! Receipts by the records they name.

use lathe_evidence::Digest;
use lathe_evidence::receipt::Receipt;
use sqlx::Row;

use super::orders::parse;
use super::{Store, failed};
use crate::error::WorkshopError;

/// Receipts looked through for one record, the newest: they are not indexed by what they name.
const RECEIPTS_READ_MAX: u32 = 20_000;

impl Store {
    /// Receipts whose spans name a record, newest first, at most `limit` among the newest
    /// `RECEIPTS_READ_MAX`.
    ///
    /// # Errors
    /// `store`, `store-unreadable`.
    pub async fn receipts_naming(
        &self,
        leaf: &Digest,
        limit: u32,
    ) -> Result<Vec<Receipt>, WorkshopError> {
        // The digest stands in the receipt's canonical bytes as its 64 hexadecimal digits.
        let rows = sqlx::query(
            "SELECT bytes FROM (SELECT id, bytes FROM receipts WHERE state = 'closed'
                                ORDER BY id DESC LIMIT ?)
             WHERE instr(bytes, CAST(? AS BLOB)) > 0 ORDER BY id DESC LIMIT ?",
        )
        .bind(RECEIPTS_READ_MAX)
        .bind(leaf.to_string())
        .bind(limit)
        .fetch_all(&self.read)
        .await
        .map_err(failed("look for a record in the receipts"))?;
        rows.iter()
            .map(|row| {
                let bytes: Vec<u8> = row.get("bytes");
                parse("a receipt", &String::from_utf8_lossy(&bytes))
            })
            .collect()
    }
}
