//! Which layout a store has, and which this version knows: the numbers of the newest migrations.

use sqlx::Row as _;
use sqlx::migrate::Migrator;

use super::{Store, failed};
use crate::error::WorkshopError;

/// The steps from an empty file to the present layout.
pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// The layout that has projects.
const PROJECTS: i64 = 11;

impl Store {
    /// The layout that this version writes.
    pub fn schema_known() -> i64 {
        let versions = MIGRATIONS.iter().map(|migration| migration.version);
        versions.max().unwrap_or_default()
    }

    /// Whether this store has projects. One that was opened for writing has them; a home of an earlier
    /// version that is only read may not.
    ///
    /// # Errors
    /// `store`.
    pub(super) async fn has_projects(&self) -> Result<bool, WorkshopError> {
        Ok(self.write.is_some() || self.schema().await? >= PROJECTS)
    }

    /// The layout that this store has.
    ///
    /// # Errors
    /// `store`.
    pub async fn schema(&self) -> Result<i64, WorkshopError> {
        let query = "SELECT COALESCE(MAX(version), 0) AS version FROM _sqlx_migrations";
        let row = sqlx::query(query)
            .fetch_one(&self.read)
            .await
            .map_err(failed("read the layout"))?;
        Ok(row.get("version"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_was_opened_has_the_layout_that_is_known() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let folder = tempfile::tempdir().unwrap();
            let store = Store::open(&folder.path().join("s")).await.unwrap();
            let schema = store.schema().await.unwrap();
            assert!(schema > 0);
            assert_eq!(schema, Store::schema_known());
            store.close().await;
        });
    }
}
