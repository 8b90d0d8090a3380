//! From an answer to the records, from a record to the answers, from a quotation to an answer.

use std::collections::HashSet;

use lathe_data::shingles::shingles;
use lathe_data::spans::passage_in;
use lathe_evidence::Digest;
use lathe_evidence::receipt::{Receipt, Span};
use lathe_evidence::statement::{Dataset, Deployment, Link, Predicate, Training, Withdrawn};
use lathe_ledger::History;

use super::records::Ground;
use super::{
    ANSWERS_COUNTED_MAX, BatchPlace, DeploymentUse, NAMING_MAX, PassageView, ReceiptLine,
    RecordTrace, RecordView, Said, TextsView, TraceView, TuneAgain, USES_MAX, chain_of, records,
};
use crate::error::WorkshopError;
use crate::listing::ReceiptsFrom;
use crate::ops::orders_again;
use crate::people::{Right, Shown, reach};
use crate::workshop::Workshop;

/// The share of a quotation's shingles, in percent, that an answer must have to be named.
const SHARED_PERCENT_MIN: u64 = 30;

impl Workshop {
    /// One answer and all it rests on; none where no such receipt is closed.
    ///
    /// # Errors
    /// The store's; `ledger-broken`; `data-damaged` where a record is not what its leaf says.
    pub async fn trace(&self, receipt: &str) -> Result<Option<TraceView>, WorkshopError> {
        let Some(stored) = self.store().receipt(receipt).await? else {
            return Ok(None);
        };
        let (mut chain, ground, replaced) = {
            let history = self.store().ledger()?.read().await;
            let chain = chain_of(&history, &stored.receipt.deployment);
            let ground = Ground::of(&history, chain.datasets.clone());
            (chain, ground, is_replaced(&history, &stored.receipt))
        };
        let versions: Vec<Digest> = chain.datasets.iter().map(|it| it.subject).collect();
        chain.withdrawn = self.withdrawals_of(&versions).await?;
        let batch = match stored.place {
            None => None,
            Some((number, position)) => self.store().batch(number).await?.map(|it| BatchPlace {
                batch: it.batch,
                position,
                count: it.count,
                root: it.root,
                link: it.link,
            }),
        };
        let leaves: HashSet<Digest> = stored.receipt.spans.iter().map(|it| it.leaf).collect();
        let records = records::find(self, &ground, &leaves).await?;
        Ok(Some(TraceView {
            leaf: Receipt::leaf(&stored.bytes),
            texts: stored.texts.map(|it| TextsView {
                prompt: it.prompt,
                answer: it.answer,
            }),
            batch,
            breaker: self.breaker_of(&stored.receipt.name).await?,
            replaced,
            passages: passages(&stored.receipt.spans, &records),
            receipt: stored.receipt,
            chain,
            records,
        }))
    }

    /// Receipts, newest first; of one deployment where it is named.
    ///
    /// # Errors
    /// The store's.
    pub async fn receipts(
        &self,
        of: Option<Link>,
        limit: u32,
        offset: u32,
    ) -> Result<Vec<Receipt>, WorkshopError> {
        let (shown, store) = (reach::shown(Right::Look), self.store());
        let stored = store.receipts(of.as_ref(), &shown, limit, offset).await?;
        Ok(stored.into_iter().map(|it| it.receipt).collect())
    }

    /// At most `limit` receipts from there on, newest first.
    ///
    /// # Errors
    /// The store's.
    pub async fn receipts_from(
        &self,
        from: &ReceiptsFrom,
        limit: u32,
    ) -> Result<Vec<Receipt>, WorkshopError> {
        let shown = reach::shown(Right::Look);
        let stored = self.store().receipts_from(from, &shown, limit).await?;
        Ok(stored.into_iter().map(|it| it.receipt).collect())
    }

    /// At most `limit` records of a dataset version from the one at `offset` on, in its order; none where the ledger
    /// does not speak of it, or whoever asks may not see its records.
    ///
    /// # Errors
    /// The store's; `ledger-broken`; `data-damaged` where a record is not what its leaf says.
    pub async fn dataset_records(
        &self,
        dataset: &Digest,
        limit: u32,
        offset: u32,
    ) -> Result<Option<Vec<RecordView>>, WorkshopError> {
        let datasets = {
            let history = self.store().ledger()?.read().await;
            let mut datasets = said::<Dataset>(&history, "dataset");
            datasets.retain(|it| it.subject == *dataset);
            // It may have been said again: the records are the same.
            datasets.truncate(1);
            datasets
        };
        let datasets = self.shown_datasets(datasets).await?;
        if datasets.is_empty() {
            return Ok(None);
        }
        let ground = Ground::of(&*self.store().ledger()?.read().await, datasets);
        let found = records::window(self, &ground, offset as usize, limit as usize).await?;
        Ok(Some(found))
    }

    /// A record and all that depends on it; none where no dataset of the ledger has it.
    ///
    /// # Errors
    /// As [`Workshop::trace`].
    pub async fn trace_record(&self, leaf: &Digest) -> Result<Option<RecordTrace>, WorkshopError> {
        let datasets = {
            let history = self.store().ledger()?.read().await;
            said(&history, "dataset")
        };
        let ground = {
            let datasets = self.shown_datasets(datasets).await?;
            Ground::of(&*self.store().ledger()?.read().await, datasets)
        };
        let found = records::find(self, &ground, &HashSet::from([*leaf])).await?;
        let holders: HashSet<Digest> = found.iter().map(|it| it.dataset).collect();
        let Some(record) = found.into_iter().next_back() else {
            return Ok(None);
        };
        let (trainings, deployments) = {
            let history = self.store().ledger()?.read().await;
            let mut trainings: Vec<Said<Training>> = said(&history, "training");
            let mut resting: HashSet<Link> = HashSet::new();
            trainings.retain(|it| {
                let datasets = &it.said.datasets;
                let own = datasets.iter().any(|used| holders.contains(&used.dataset));
                // A stage stands after the one that it goes on from.
                let before = it.said.previous.as_ref();
                let rests = own || before.is_some_and(|it| resting.contains(&it.statement));
                record.tuned_on && rests && resting.insert(it.link)
            });
            (trainings, said(&history, "deployment"))
        };
        let trainings = self.shown_trainings(trainings).await?;
        let models: HashSet<Digest> = trainings.iter().map(|it| it.subject).collect();
        let uses = Uses::of(deployments, &models);
        let shown = reach::shown(Right::Records);
        // One more than is listed tells that there are more.
        let limit = NAMING_MAX as u32 + 1;
        let mut receipts = self.store().receipts_naming(leaf, &shown, limit).await?;
        let receipts_more = receipts.len() > NAMING_MAX;
        receipts.truncate(NAMING_MAX);
        let line = |receipt| ReceiptLine {
            receipt,
            shared: 0,
            of: 0,
        };
        let (deployments_in_all, deployments_current) = (uses.all.len(), uses.current);
        let deployments = self.listed(uses).await?;
        Ok(Some(RecordTrace {
            again: self.again_without(&record, &deployments).await?,
            record,
            trainings,
            deployments_in_all: deployments_in_all as u64,
            deployments_current: deployments_current as u64,
            deployments,
            receipts: receipts.into_iter().map(line).collect(),
            receipts_more,
        }))
    }

    /// The orders that tune again what of these answers now, where a rest is left without the record.
    async fn again_without(
        &self,
        record: &RecordView,
        deployments: &[DeploymentUse],
    ) -> Result<Vec<TuneAgain>, WorkshopError> {
        let what = record.withdrawn.as_ref().map(|it| &it.said.what);
        if !matches!(what, Some(Withdrawn::Leaf(_))) {
            return Ok(Vec::new());
        }
        let current = deployments.iter().filter(|it| it.current);
        let names: HashSet<&str> = current.map(|it| &it.deployment.said.name[..]).collect();
        let mut rows = self.store().deployments().await?;
        rows.retain(|row| names.contains(&row.name[..]));
        orders_again(self, &rows).await
    }

    /// Those of datasets that whoever asks may read records of. Of most nobody is asked: then all.
    async fn shown_datasets(
        &self,
        mut datasets: Vec<Said<Dataset>>,
    ) -> Result<Vec<Said<Dataset>>, WorkshopError> {
        let seen = self.seen(datasets.iter().map(|it| it.subject)).await?;
        datasets.retain(|it| seen.contains(&it.subject));
        Ok(datasets)
    }

    /// Those whose models whoever asks may see.
    async fn shown_trainings(
        &self,
        mut trainings: Vec<Said<Training>>,
    ) -> Result<Vec<Said<Training>>, WorkshopError> {
        let seen = self.seen(trainings.iter().map(|it| it.subject)).await?;
        trainings.retain(|it| seen.contains(&it.subject));
        Ok(trainings)
    }

    /// Those of these artifacts in whose projects whoever asks may see records.
    async fn seen(
        &self,
        artifacts: impl Iterator<Item = Digest>,
    ) -> Result<HashSet<Digest>, WorkshopError> {
        let shown = reach::shown(Right::Records);
        let mut seen = HashSet::new();
        for artifact in artifacts {
            let is_seen = match shown {
                Shown::All => true,
                Shown::Only(_) => {
                    let homes = self.store().homes(&artifact.to_string()).await?;
                    homes.iter().any(|it| shown.has(it))
                }
            };
            if is_seen {
                seen.insert(artifact);
            }
        }
        Ok(seen)
    }

    /// The first `USES_MAX` of these, each with its breaker and how much it answered.
    async fn listed(&self, uses: Uses) -> Result<Vec<DeploymentUse>, WorkshopError> {
        let mut listed = Vec::new();
        let places = uses.all.into_iter().enumerate().take(USES_MAX);
        for (place, deployment) in places {
            let max = ANSWERS_COUNTED_MAX;
            let receipts = self.store().receipts_of(&deployment.link, max).await?;
            listed.push(DeploymentUse {
                current: place < uses.current,
                breaker: self.breaker_of(&deployment.said.name).await?,
                receipts: receipts.min(u64::from(max)),
                receipts_more: receipts > u64::from(max),
                deployment,
            });
        }
        Ok(listed)
    }

    /// The answers that a quoted or lightly edited passage came from, the likeliest first.
    ///
    /// # Errors
    /// The store's; `trace-short` where the passage has fewer than three words.
    pub async fn trace_text(&self, text: &str) -> Result<Vec<ReceiptLine>, WorkshopError> {
        let hashes = shingles(text);
        if hashes.is_empty() {
            return Err(WorkshopError::new(
                "trace-short",
                "the passage is too short to be looked for",
                "quote at least three words, or four Chinese characters, one after the other",
            ));
        }
        let of = hashes.len() as u64;
        let mut lines = Vec::new();
        for (id, shared) in self.store().receipts_like(&hashes).await? {
            if shared * 100 < of * SHARED_PERCENT_MIN {
                continue;
            }
            let stored = self.store().receipt(&id).await?;
            let sees = |name: &str| reach::may_name(Right::Records, name);
            if let Some(stored) = stored.filter(|it| sees(&it.receipt.name)) {
                lines.push(ReceiptLine {
                    receipt: stored.receipt,
                    shared,
                    of,
                });
            }
        }
        Ok(lines)
    }
}

/// The deployments that depend on a record.
struct Uses {
    /// Those that are the newest of their name, then the others; of each the newest first.
    all: Vec<Said<Deployment>>,
    /// How many are the newest of their name.
    current: usize,
}

impl Uses {
    /// The deployments of these models among all there are, which stand as the ledger has them.
    fn of(deployments: Vec<Said<Deployment>>, models: &HashSet<Digest>) -> Uses {
        let mut names = HashSet::new();
        let (mut all, mut earlier) = (Vec::new(), Vec::new());
        for deployment in deployments.into_iter().rev() {
            let is_newest = names.insert(deployment.said.name.clone());
            if models.contains(&deployment.subject) {
                let side = if is_newest { &mut all } else { &mut earlier };
                side.push(deployment);
            }
        }
        let current = all.len();
        all.append(&mut earlier);
        Uses { all, current }
    }
}

/// Whether another model was deployed under the name of an answer since.
fn is_replaced(history: &History, receipt: &Receipt) -> bool {
    let newest = history.of_kind("deployment").rev().find(|entry| {
        let said = history.said::<Deployment>(&entry.link);
        said.is_some_and(|it| it.name == receipt.name)
    });
    // Another server's answers rest on no deployment here.
    let is_own = receipt.upstream.is_none();
    is_own && newest.is_some_and(|it| it.statement.subject() != receipt.model)
}

/// The standing statements of a kind, which is the name of `T`.
fn said<T: Clone>(history: &History, kind: &str) -> Vec<Said<T>>
where
    for<'a> &'a T: TryFrom<&'a Predicate>,
{
    let entries = history.of_kind(kind);
    entries
        .filter_map(|entry| Said::of_entry(history, entry))
        .collect()
}

/// The spans by passage, each with its text where a record that is still here tells it.
fn passages(spans: &[Span], records: &[RecordView]) -> Vec<PassageView> {
    let mut passages: Vec<PassageView> = Vec::new();
    for span in spans {
        let known = passages
            .iter_mut()
            .find(|it| (it.part, it.start, it.bytes) == (span.part, span.start, span.bytes));
        if let Some(known) = known {
            known.leaves.push(span.leaf);
            continue;
        }
        let record = records.iter().find(|it| it.leaf == span.leaf);
        let text = record.and_then(|it| {
            let fields = it.fields.values().filter_map(|value| value.as_str());
            [it.prompt.as_str(), it.answer.as_str()]
                .into_iter()
                .chain(fields)
                .find_map(|text| passage_in(text, span))
        });
        passages.push(PassageView {
            part: span.part,
            start: span.start,
            bytes: span.bytes,
            text: text.unwrap_or_default().to_owned(),
            leaves: vec![span.leaf],
        });
    }
    passages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    /// A deployment of a model under a name.
    fn deployed(index: u64, name: &str, model: &[u8]) -> Said<Deployment> {
        let digest = Digest::of(b"any");
        Said {
            index,
            link: Digest::of(&index.to_le_bytes()),
            subject: Digest::of(model),
            at_ms: 1,
            signer: digest,
            signer_name: String::new(),
            person: None,
            said: Deployment {
                name: name.to_owned(),
                registration: digest,
                verdict: digest,
                base_model: digest,
                adapter: None,
                task: digest,
                demonstration: false,
                previous: None,
                at_ms: 1,
            },
        }
    }

    #[test]
    fn what_answers_comes_before_what_answered() {
        let all = vec![
            deployed(0, "a", b"tuned on it"),
            deployed(1, "b", b"tuned on it"),
            deployed(2, "c", b"another"),
            deployed(3, "a", b"tuned on it"),
            deployed(4, "b", b"another"),
        ];
        let uses = Uses::of(all, &HashSet::from([Digest::of(b"tuned on it")]));
        let order: Vec<u64> = uses.all.iter().map(|it| it.index).collect();
        assert_eq!((order, uses.current), (vec![3, 1, 0], 1));
    }

    #[tokio::test]
    async fn of_very_many_deployments_some_are_listed() {
        let (_folder, shop) = testing::shop().await;
        let many = USES_MAX as u64 + 3;
        let all = (0..many).map(|at| deployed(at, &format!("name-{at}"), b"model"));
        let uses = Uses::of(all.collect(), &HashSet::from([Digest::of(b"model")]));
        assert_eq!(uses.all.len() as u64, many);
        let listed = shop.listed(uses).await.unwrap();
        assert_eq!(listed.len(), USES_MAX);
        assert_eq!(listed[0].deployment.index, many - 1);
        assert!(listed.iter().all(|it| it.current && !it.receipts_more));
        shop.stop().await;
    }
}
