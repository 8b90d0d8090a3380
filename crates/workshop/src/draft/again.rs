//! A clone before it is placed: what of its settings cannot be, and what it would take with what it takes over.
//!
//! It is the order's effective pack that is changed, and what was fetched for the order is counted as it lies in
//! the home: whether its source is still there does not matter. Not here: placing it (`ops/clone.rs`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::estimate::{self, TakenOver};
use super::written::clone_command;
use super::{OrderPlan, mistakes, spec_of};
use crate::error::WorkshopError;
use crate::objects;
use crate::ops::{kept_by_clone, to_clone};
use crate::order::{OrderId, StepName};
use crate::pack::{Pack, change, stages};
use crate::store::orders::parse;
use crate::workshop::Workshop;

impl Workshop {
    /// What would become of a clone of an order with `set` changed: its steps, what it cannot be, what it would take.
    ///
    /// # Errors
    /// `order-unknown`, `order-brought`, `order-setting`; where it may not go into the project that is named; the
    /// store's.
    pub async fn clone_plan(
        &self,
        of: &OrderId,
        set: &BTreeMap<String, Value>,
        project: Option<&str>,
    ) -> Result<OrderPlan, WorkshopError> {
        self.reaches_set(set)?;
        let (row, _) = to_clone(self, of, project).await?;
        let before: Pack = parse("an order's pack", &row.spec)?;
        let mut mistakes = mistakes(&row.spec, set);
        let (mut estimate, mut steps) = (None, stages::steps_of(&row.spec));
        if mistakes.is_empty() {
            let (pack, _) = change::changed(&row.spec, set)?;
            steps = stages::steps_of(&spec_of(&pack));
            let taken = self.taken_over(of, (&before, &pack)).await?;
            let folder = self.home().away(&row.folder);
            let (found, missing) = estimate::of(self, pack, folder, taken).await?;
            estimate = Some(found).filter(|_| missing.is_empty());
            mistakes = missing;
        }
        Ok(OrderPlan {
            pack: before.name.clone(),
            title: before.title.clone(),
            steps,
            settings: change::settings(&before).into_iter().collect(),
            mistakes,
            estimate,
            command: clone_command(of, set, project),
            yaml: None,
        })
    }

    async fn taken_over(
        &self,
        of: &OrderId,
        packs: (&Pack, &Pack),
    ) -> Result<TakenOver, WorkshopError> {
        let mut taken = TakenOver::default();
        for kept in kept_by_clone(self, of, packs).await? {
            match kept.step {
                StepName::Model => taken.model = kept.artifact,
                _ => taken.data = kept.artifact.map(|it| objects::path(self.home(), &it)),
            }
        }
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    use lathe_tune::sft::SftSpec;
    use serde_json::json;

    use super::*;
    use crate::order::OrderRequest;
    use crate::pack::change::Expected;
    use crate::testing::{fetched, shop};

    fn set(pairs: &[(&str, Value)]) -> BTreeMap<String, Value> {
        let owned = pairs
            .iter()
            .map(|(key, to)| ((*key).to_owned(), to.clone()));
        owned.collect()
    }

    fn fixtures() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures")
    }

    fn asked(pack: PathBuf) -> OrderRequest {
        OrderRequest {
            pack,
            quick: false,
            offline: true,
            set: BTreeMap::new(),
            project: None,
        }
    }

    #[tokio::test]
    async fn a_clone_is_planned_as_an_order_of_the_same_settings_would_be() {
        let (_folder, shop) = shop().await;
        let request = asked(fixtures().join("tiny-pack"));
        let order = shop.submit(request.clone()).await.unwrap();
        let changes = set(&[("tune.sft.epochs", json!(2))]);
        let plan = shop.clone_plan(&order, &changes, None).await.unwrap();
        assert_eq!((&plan.mistakes[..], plan.yaml), (&[][..], None));
        let like = OrderRequest {
            set: changes,
            ..request
        };
        let like = shop.plan(&like).await.unwrap();
        assert_eq!(plan.estimate, like.estimate);
        assert_eq!((plan.steps, plan.settings), (like.steps, like.settings));
        let command = format!("lathe order clone {order} --set tune.sft.epochs=2");
        assert_eq!(plan.command, command);
        // Nothing was placed by looking.
        let asked = crate::OrdersAsked::default();
        assert_eq!(shop.orders(&asked, 10, 0).await.unwrap().len(), 1);
        shop.stop().await;
    }

    #[tokio::test]
    async fn each_mistake_of_a_clone_is_at_its_setting() {
        let (_folder, shop) = shop().await;
        let order = shop.submit(asked(fixtures().join("tiny-pack"))).await;
        let order = order.unwrap();
        let changes = set(&[
            ("tune.sft.epochs", json!("many")),
            ("tune.sft.rank", json!(0)),
        ]);
        let plan = shop.clone_plan(&order, &changes, None).await.unwrap();
        assert_eq!(plan.estimate, None);
        let told = plan.mistakes.iter().map(|it| (&*it.key, &it.expected));
        let rank = SftSpec::bounds("rank").unwrap();
        let wanted = [
            ("tune.sft.epochs", &Some(Expected::Number)),
            ("tune.sft.rank", &Some(Expected::Within(rank))),
        ];
        assert_eq!(told.collect::<Vec<_>>(), wanted);
        let gone = set(&[("data.source", json!("file:gone.tsv"))]);
        let plan = shop.clone_plan(&order, &gone, None).await.unwrap();
        assert_eq!(plan.mistakes[0].code, "data-missing");
        let nobody = OrderId("nobody".to_owned());
        let none = shop.clone_plan(&nobody, &gone, None).await.unwrap_err();
        assert_eq!(none.code(), "order-unknown");
        shop.stop().await;
    }

    /// What was fetched counts as it was then, whatever lies in the pack's folder now.
    #[tokio::test]
    async fn what_a_clone_takes_over_need_not_lie_at_its_source_any_more() {
        let (_folder, shop) = shop().await;
        let folder = shop.home().tmp().join("copy/tiny-pack");
        fs::create_dir_all(&folder).unwrap();
        for file in ["pack.yaml", "feelings.tsv"] {
            fs::copy(fixtures().join("tiny-pack").join(file), folder.join(file)).unwrap();
        }
        let request = OrderRequest {
            set: set(&[(
                "model.source",
                json!(format!("file:{}", fixtures().join("tiny-model").display())),
            )]),
            ..asked(folder.clone())
        };
        let order = shop.submit(request).await.unwrap();
        let before = shop.clone_plan(&order, &set(&[]), None).await.unwrap();
        assert_eq!(before.mistakes, []);
        let input = (StepName::Data, "0".repeat(64));
        fetched(&shop, &order, input, &folder.join("feelings.tsv")).await;
        fs::remove_file(folder.join("feelings.tsv")).unwrap();
        let after = shop.clone_plan(&order, &set(&[]), None).await.unwrap();
        assert_eq!(after.mistakes, []);
        assert_eq!(after.estimate, before.estimate);
        shop.stop().await;
    }
}
