//! Which order's model has which name, of a few orders at once: one query however many they are.

use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use super::{Store, failed};
use crate::error::WorkshopError;
use crate::order::OrderId;

/// An order that was deployed, and whose the name is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HeldRow {
    /// The order.
    pub(crate) order: OrderId,
    /// The name that its model was deployed under.
    pub(crate) name: String,
    /// The order that was given the name last; none where the name is nobody's.
    pub(crate) holder: Option<OrderId>,
}

/// Each order and its name are looked up by their keys.
const HELD: &str =
    "SELECT orders.id AS id, orders.deployment AS name, deployments.order_id AS holder
     FROM orders
     LEFT JOIN deployments ON deployments.name = orders.deployment
     WHERE orders.id IN (SELECT value FROM json_each(?1)) AND orders.deployment IS NOT NULL";

fn held(row: &SqliteRow) -> HeldRow {
    HeldRow {
        order: OrderId(row.get("id")),
        name: row.get("name"),
        holder: row.get::<Option<String>, _>("holder").map(OrderId),
    }
}

impl Store {
    /// Those of these orders that were deployed, and whose their names are now.
    ///
    /// # Errors
    /// `store`.
    pub(crate) async fn held(&self, orders: &[OrderId]) -> Result<Vec<HeldRow>, WorkshopError> {
        if orders.is_empty() {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(HELD)
            .bind(serde_json::json!(orders).to_string())
            .fetch_all(&self.read)
            .await
            .map_err(failed("read whose model has which name"))?;
        Ok(rows.iter().map(held).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[tokio::test]
    async fn orders_and_names_are_looked_up_and_not_searched() {
        let (_folder, shop) = testing::shop().await;
        let explained = format!("EXPLAIN QUERY PLAN {HELD}");
        let rows = sqlx::query(sqlx::AssertSqlSafe(explained))
            .fetch_all(&shop.store().read)
            .await
            .unwrap();
        let plan: Vec<String> = rows.iter().map(|row| row.get("detail")).collect();
        let scans = |table: &str| {
            plan.iter()
                .any(|line| line.contains(&format!("SCAN {table}")))
        };
        let is_searched = ["orders", "deployments"].into_iter().any(scans);
        assert!(!is_searched, "{plan:?}");
        assert_eq!(shop.store().held(&[]).await.unwrap(), []);
        shop.stop().await;
    }
}
