//! Models as a list has them: narrowed, a window of them; and which model has which name.

use std::collections::BTreeMap;

use sqlx::Row;

use super::catalogue::model;
use super::listing::pattern;
use super::{Store, failed};
use crate::catalogue::ModelView;
use crate::error::WorkshopError;
use crate::listing::sought;
use crate::models::ModelsAsked;
use crate::people::Shown;

/// One window, in the order of the index `models_by_time`.
macro_rules! listed {
    ($shown:literal) => {
        concat!(
            "SELECT * FROM models
             WHERE (?1 IS NULL OR kind = ?1)
               AND (?2 IS NULL OR name LIKE ?2 ESCAPE '\\' OR source LIKE ?2 ESCAPE '\\'
                    OR digest LIKE ?2 ESCAPE '\\') ",
            $shown,
            " ORDER BY created_ms DESC, digest LIMIT ?3 OFFSET ?4"
        )
    };
}

/// Of all projects.
const LISTED: &str = listed!("");

/// Of those that are shown: each model's are looked up by its digest.
const LISTED_OF: &str = listed!(
    "AND EXISTS (SELECT 1 FROM belongs WHERE thing = models.digest
                 AND project IN (SELECT value FROM json_each(?5)))"
);

/// The names are few and each is looked up by itself.
const DEPLOYED: &str = "SELECT name, COALESCE(adapter, base) AS model FROM deployments
     WHERE name IN (SELECT value FROM json_each(?1))";

impl Store {
    /// The models that are asked for, of the projects that are shown, newest first.
    ///
    /// # Errors
    /// `store`.
    pub async fn models_asked(
        &self,
        asked: &ModelsAsked,
        shown: &Shown,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<ModelView>, WorkshopError> {
        let text = asked.text.as_deref().and_then(sought);
        let of = shown.list();
        let mut query = sqlx::query(if of.is_some() { LISTED_OF } else { LISTED })
            .bind(asked.kind.map(|it| it.as_str()))
            .bind(text.as_deref().map(pattern))
            .bind(limit)
            .bind(offset);
        if let Some(of) = of {
            query = query.bind(of);
        }
        let rows = query
            .fetch_all(&self.read)
            .await
            .map_err(failed("list the models"))?;
        Ok(rows.iter().map(model).collect())
    }

    /// One model.
    ///
    /// # Errors
    /// `store`.
    pub async fn model(&self, digest: &str) -> Result<Option<ModelView>, WorkshopError> {
        let row = sqlx::query("SELECT * FROM models WHERE digest = ?")
            .bind(digest)
            .fetch_optional(&self.read)
            .await
            .map_err(failed("read a model"))?;
        Ok(row.as_ref().map(model))
    }

    /// The digest of the model that is deployed under each of these names, for those that have one.
    ///
    /// # Errors
    /// `store`.
    pub async fn deployed(
        &self,
        names: Vec<String>,
    ) -> Result<BTreeMap<String, String>, WorkshopError> {
        if names.is_empty() {
            return Ok(BTreeMap::new());
        }
        let rows = sqlx::query(DEPLOYED)
            .bind(serde_json::json!(names).to_string())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read the deployments"))?;
        let pairs = rows.iter().map(|row| (row.get("name"), row.get("model")));
        Ok(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    async fn plan(store: &Store, sql: &str) -> Vec<String> {
        let explained = format!("EXPLAIN QUERY PLAN {sql}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(explained))
            .fetch_all(&store.read)
            .await
            .unwrap();
        rows.iter().map(|row| row.get("detail")).collect()
    }

    #[tokio::test]
    async fn a_list_is_read_in_the_order_of_its_index_and_names_are_looked_up() {
        let (_folder, shop) = testing::shop().await;
        for sql in [LISTED, LISTED_OF] {
            let listed = plan(shop.store(), sql).await;
            let ordered = listed.iter().any(|line| line.contains("models_by_time"));
            let sorts = listed.iter().any(|line| line.contains("TEMP B-TREE"));
            let scans = listed.iter().any(|line| line.contains("SCAN belongs"));
            assert!(ordered && !sorts && !scans, "{listed:?}");
        }
        let deployed = plan(shop.store(), DEPLOYED).await;
        let scans = deployed
            .iter()
            .any(|line| line.contains("SCAN deployments"));
        assert!(!scans, "{deployed:?}");
        shop.stop().await;
    }

    #[tokio::test]
    async fn a_name_has_the_model_that_was_deployed_last() {
        let (_folder, shop) = testing::shop().await;
        testing::deploy(&shop, "care").await;
        let names = ["care", "nobody"].map(str::to_owned).to_vec();
        let found = shop.store().deployed(names).await.unwrap();
        let digest = lathe_evidence::Digest::of(b"care").to_string();
        assert_eq!(found, BTreeMap::from([("care".to_owned(), digest)]));
        assert!(shop.store().deployed(Vec::new()).await.unwrap().is_empty());
        shop.stop().await;
    }
}
