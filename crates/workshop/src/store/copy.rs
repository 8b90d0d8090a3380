//! A whole copy of a store, consistent while another process writes it.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::{Store, failed};
use crate::error::WorkshopError;

impl Store {
    /// Copies the store at `from` to the file `to`, which must not be there.
    ///
    /// # Errors
    /// `store`, `disk-full`.
    pub async fn copy(from: &Path, to: &Path) -> Result<(), WorkshopError> {
        let doing = "copy the store";
        let options = SqliteConnectOptions::new().filename(from);
        let mut connection = options.connect().await.map_err(failed(doing))?;
        sqlx::query("VACUUM INTO ?")
            .bind(to.to_string_lossy().into_owned())
            .execute(&mut connection)
            .await
            .map_err(failed(doing))?;
        connection.close().await.map_err(failed(doing))
    }
}
