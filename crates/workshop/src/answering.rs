//! Which order's model, and which model, answers now, of those that were deployed under a name.
//!
//! A name is one order's at a time: the one that was deployed last. Of two orders that made the same model
//! bytes the one answers whose deployment is the current one. An order that was replaced has passed its gate
//! and answers nobody; so has one whose breaker was opened, or whose evidence no longer holds. What says so is the store's row of the name, the door and the breaker, never the order's own
//! row, which remembers that it was deployed.

use std::collections::BTreeMap;

use lathe_evidence::statement::BreakerState;

use crate::error::WorkshopError;
use crate::order::{Answering, AnsweringNow, OrderId, OrderSummary};
use crate::store::HeldRow;
use crate::workshop::Workshop;

impl Workshop {
    /// How each of these orders stands to its name; those that were never deployed are left out.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn answering(
        &self,
        orders: &[OrderId],
    ) -> Result<BTreeMap<OrderId, Answering>, WorkshopError> {
        let rows = self.store().held(orders).await?;
        let stands = |row: HeldRow| (row.order.clone(), self.stands(row));
        Ok(rows.into_iter().map(stands).collect())
    }

    /// The rows of a list, each with how it stands to its name.
    ///
    /// # Errors
    /// The store's.
    pub(crate) async fn with_answering(
        &self,
        mut rows: Vec<OrderSummary>,
    ) -> Result<Vec<OrderSummary>, WorkshopError> {
        let ids: Vec<OrderId> = rows.iter().map(|row| row.id.clone()).collect();
        let mut all = self.answering(&ids).await?;
        for row in &mut rows {
            row.answering = all.remove(&row.id);
        }
        Ok(rows)
    }

    fn stands(&self, row: HeldRow) -> Answering {
        let has_it = row.holder.as_ref().map(|holder| *holder == row.order);
        Answering {
            now: self.stands_to(&row.name, has_it),
            name: row.name,
            order: row.holder,
        }
    }

    /// How a model that was deployed under `name` answers, given which model has which name now.
    pub(crate) fn model_stands(
        &self,
        current: &BTreeMap<String, String>,
        name: &str,
        model: &str,
    ) -> AnsweringNow {
        self.stands_to(name, current.get(name).map(|it| it == model))
    }

    /// How what was deployed under `name` answers; `has_it` tells whether it has the name now, and is none where
    /// the name is nobody's.
    fn stands_to(&self, name: &str, has_it: Option<bool>) -> AnsweringNow {
        match has_it {
            None => AnsweringNow::Silent,
            Some(false) => AnsweringNow::Replaced,
            Some(true) if !self.is_open(name) => AnsweringNow::Silent,
            Some(true) => {
                let breaker = self.breakers().of(name);
                under(breaker.map_or(BreakerState::Closed, |it| it.state))
            }
        }
    }
}

/// Whether what is at the door answers under such a breaker.
fn under(breaker: BreakerState) -> AnsweringNow {
    match breaker {
        BreakerState::Closed => AnsweringNow::Answers,
        BreakerState::Restricted => AnsweringNow::Restricted,
        BreakerState::Open | BreakerState::ForcedOpen => AnsweringNow::Silent,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::DeploymentRow;
    use crate::listing::OrdersAsked;
    use crate::order::StepName;
    use crate::store::Change;
    use crate::testing;

    /// Places an order whose model was deployed as `care`, of what `input` stands for.
    async fn deployed(shop: &Workshop, input: &str) -> OrderId {
        let order = OrderId::new();
        let changes = [
            testing::placed(&order),
            Change::StepReuses {
                order: order.clone(),
                step: StepName::Deploy,
                input: input.to_owned(),
                at_ms: 3,
            },
            Change::Answers {
                order: order.clone(),
                name: "care".to_owned(),
            },
        ];
        shop.apply(&changes).await.unwrap();
        order
    }

    /// Gives the name to an order.
    async fn takes(shop: &Workshop, order: &OrderId, input: &str) {
        let rows = shop.store().deployments().await.unwrap();
        let before = rows.into_iter().find(|row| row.name == "care");
        let row = DeploymentRow {
            order: order.clone(),
            input: input.to_owned(),
            ..before.expect("it was deployed")
        };
        let given = Change::Deployed(Box::new(row));
        shop.apply(&[given]).await.unwrap();
    }

    #[tokio::test]
    async fn the_order_answers_whose_model_has_the_name() {
        let (_folder, shop) = testing::shop().await;
        testing::deploy(&shop, "care").await;
        let (first, second) = (deployed(&shop, "one").await, deployed(&shop, "two").await);
        let again = deployed(&shop, "one").await;
        let never = OrderId::new();
        shop.apply(&[testing::placed(&never)]).await.unwrap();
        let all = [first, second, again, never];
        let stands = async || {
            let found = shop.answering(&all).await.unwrap();
            all.each_ref().map(|id| found.get(id).map(|it| it.now))
        };
        use AnsweringNow::{Answers, Replaced, Silent};
        takes(&shop, &all[0], "one").await;
        // The door is not open yet.
        let first = [Some(Silent), Some(Replaced), Some(Replaced), None];
        assert_eq!(stands().await, first);
        shop.note_open("care");
        let first = [Some(Answers), Some(Replaced), Some(Replaced), None];
        assert_eq!(stands().await, first);
        // An order that was placed again with nothing changed made the same model: the newer of the two has the name.
        takes(&shop, &all[2], "one").await;
        let newer = [Some(Replaced), Some(Replaced), Some(Answers), None];
        assert_eq!(stands().await, newer);
        takes(&shop, &all[1], "two").await;
        let other = [Some(Replaced), Some(Answers), Some(Replaced), None];
        assert_eq!(stands().await, other);
        // Lists, pages and comparisons say the same.
        let rows = shop.orders(&OrdersAsked::default(), 9, 0).await.unwrap();
        let listed = |id: &OrderId| rows.iter().find(|row| row.id == *id).unwrap();
        let holder = listed(&all[0]).answering.clone().unwrap().order;
        assert_eq!(holder, Some(all[1].clone()));
        let view = shop.order(&all[1]).await.unwrap().unwrap();
        assert_eq!(view.answering.map(|it| it.now), Some(Answers));
        let gone = Change::Undeployed {
            name: "care".to_owned(),
        };
        shop.apply(&[gone]).await.unwrap();
        assert_eq!(stands().await[1], Some(Silent));
        // A model stands to its name as an order does.
        let current = BTreeMap::from([("care".to_owned(), "ab".to_owned())]);
        assert_eq!(shop.model_stands(&current, "care", "ab"), Answers);
        assert_eq!(shop.model_stands(&current, "care", "cd"), Replaced);
        let nobody = BTreeMap::new();
        assert_eq!(shop.model_stands(&nobody, "care", "ab"), Silent);
        shop.stop().await;
    }

    #[test]
    fn a_breaker_that_is_not_closed_is_said() {
        for (state, now) in [
            (BreakerState::Closed, AnsweringNow::Answers),
            (BreakerState::Restricted, AnsweringNow::Restricted),
            (BreakerState::Open, AnsweringNow::Silent),
            (BreakerState::ForcedOpen, AnsweringNow::Silent),
        ] {
            assert_eq!(under(state), now);
            let word = serde_json::to_value(now).unwrap();
            assert_eq!(word, now.as_str());
            assert_eq!(now.answers_somebody(), now != AnsweringNow::Silent);
        }
    }
}
