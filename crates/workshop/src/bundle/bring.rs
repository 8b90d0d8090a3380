//! Taking a bundle over: verified as a stranger would, then placed as an order.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use lathe_evidence::Digest;
use lathe_evidence::statement::{Dataset, Deployment, Imported, Role, Training};
use lathe_ledger::history::{History, Problem, Trust};
use lathe_ledger::{Envelope, PublicKey};
use lathe_register::chain::{self, Chain, Denial};
use lathe_register::ml_bom::ml_bom;
use serde_json::json;

use super::card::{CardObject, CardStep, Carried, ORDER, SEAL, SEAL_TYPE, VERSION, carried_steps};
use super::export::stumbled;
use super::unpack::{Unpacked, scratch, unpack};
use super::{Brought, ImportRequest, views};
use crate::clock::now_ms;
use crate::error::WorkshopError;
use crate::home::Home;
use crate::key::digest_of;
use crate::objects::{self, Sealed};
use crate::order::{OrderId, OrderState, StepName};
use crate::pack::Pack;
use crate::people::reach;
use crate::steps::{self, Context, stage};
use crate::store::Change;
use crate::store::change::{Finished, NewArtifact, NewOrder};
use crate::store::orders::{OrderRow, parse};
use crate::upstream;
use crate::withdrawn::WithdrawnData;
use crate::worker::Made;
use crate::workshop::Workshop;

/// A bundle that holds, its artifacts in their places.
struct Verified {
    carried: Carried,
    chain: Chain,
    origin: String,
    root_key: Digest,
    size: u64,
    root: Digest,
    /// Artifacts by digest, the foreign evidence with them.
    sealed: BTreeMap<Digest, Sealed>,
    evidence: Digest,
}

impl Workshop {
    /// Verifies a bundle and places its order here.
    ///
    /// # Errors
    /// `bundle-unpinned` without a key; `bundle-damaged`; `bundle-refused`, naming everything that
    /// does not hold; `bundle-name-taken`, `upstream-taken`; the store's.
    pub async fn import_bundle(&self, request: &ImportRequest) -> Result<Brought, WorkshopError> {
        if request.keys.is_empty() {
            return Err(WorkshopError::new(
                "bundle-unpinned",
                "no key is named that must stand behind the bundle",
                "ask the other workshop for its root key's id (`lathe keys list`) and give --key ID",
            ));
        }
        let (home, asked) = (self.home().clone(), request.clone());
        let verified = reach::spawn_blocking(move || verify(&home, &asked));
        let verified = verified.await.map_err(stumbled)??;
        let history = self.store().ledger()?.read().await;
        upstream::leaves_free(&history, &verified.chain.name)?;
        drop(history);
        if !request.replace {
            self.refuse_taken(&verified.chain).await?;
        }
        self.place_brought(verified).await
    }

    /// Refuses to let a bundle take the name of another model unasked.
    async fn refuse_taken(&self, chain: &Chain) -> Result<(), WorkshopError> {
        let history = self.store().ledger()?.read().await;
        let other = history.of_kind("deployment").rev().find_map(|entry| {
            let said = history.said::<Deployment>(&entry.link)?;
            (said.name == chain.name).then_some(said)
        });
        match other {
            Some(said) if said.adapter.unwrap_or(said.base_model) != chain.model() => {
                Err(WorkshopError::new(
                    "bundle-name-taken",
                    format!("another model answers as {} here", chain.name),
                    "give --replace to let this one take its name once it has passed",
                ))
            }
            _ => Ok(()),
        }
    }

    async fn place_brought(&self, verified: Verified) -> Result<Brought, WorkshopError> {
        let order = new_order(&verified.carried);
        let changes = self.brought(&verified, &order)?;
        let id = order.id.clone();
        let (chain, evidence) = (verified.chain, verified.evidence);
        let said = Imported {
            origin: verified.origin.clone(),
            root_key: verified.root_key,
            size: verified.size,
            root: verified.root,
            deployment: chain.deployment,
            evidence,
            at_ms: 0,
        };
        let (name, model) = (chain.name.clone(), chain.model());
        let imported = self
            .apply_said(move |speaker| {
                let at_ms = speaker.at_ms();
                let link = speaker.say(&name, model, Imported { at_ms, ..said })?;
                Ok((changes, link))
            })
            .await?;
        self.wake();
        Ok(Brought {
            order: id,
            name: chain.name,
            origin: verified.origin,
            imported,
        })
    }

    /// The order as placed, with what was brought as the work of its first steps.
    fn brought(&self, verified: &Verified, order: &NewOrder) -> Result<Vec<Change>, WorkshopError> {
        let at_ms = now_ms();
        let mut context = Context {
            shop: self.clone(),
            order: row_of(order, at_ms),
            pack: parse::<Pack>("the bundle's pack", &order.spec)?,
            upstream: BTreeMap::new(),
            links: BTreeMap::new(),
            withdrawn: WithdrawnData::default(),
        };
        let mut changes = vec![
            Change::Placed {
                order: Box::new(order.clone()),
                at_ms,
            },
            Change::ArtifactKept {
                artifact: Box::new(artifact(&verified.sealed[&verified.evidence])),
                kind: "foreign-evidence",
                at_ms,
            },
        ];
        for step in &verified.carried.steps {
            let finished = finished(
                &context,
                step,
                &verified.sealed[&step.artifact],
                verified.evidence,
            )?;
            let made = Made {
                artifact: Some(step.artifact.to_string()),
                output: step.output.clone(),
            };
            context.upstream.insert(step.name, made);
            changes.push(Change::StepBegins {
                order: context.order.id.clone(),
                step: step.name,
                input: finished.input.clone(),
                at_ms,
            });
            changes.push(Change::StepDone {
                finished: Box::new(finished),
                at_ms,
            });
        }
        Ok(changes)
    }
}

/// A step as if done here; its key names the bundle, so that no other order takes it for its own.
fn finished(
    context: &Context,
    step: &CardStep,
    sealed: &Sealed,
    evidence: Digest,
) -> Result<Finished, WorkshopError> {
    let registers = match steps::worker_step(step.name) {
        Some(known) => (known.registers)(context, sealed, &step.output)?,
        None => Vec::new(),
    };
    let key = json!({ "step": step.name, "bundle": evidence, "layout": VERSION });
    Ok(Finished {
        order: context.order.id.clone(),
        step: step.name,
        input: digest_of(&key).to_string(),
        output: step.output.clone(),
        artifact: Some(artifact(sealed)),
        registers,
    })
}

fn artifact(sealed: &Sealed) -> NewArtifact {
    NewArtifact {
        digest: sealed.digest.to_string(),
        manifest: sealed.manifest.clone(),
    }
}

fn new_order(card: &Carried) -> NewOrder {
    NewOrder {
        id: OrderId::new(),
        pack: card.order.pack.clone(),
        title: card.order.title.clone(),
        demonstration: card.order.demonstration,
        offline: true,
        folder: String::new(),
        pack_sha256: card.order.pack_sha256.clone(),
        spec: card.order.spec.clone(),
        origin: None,
        project: crate::people::COMMON.to_owned(),
    }
}

fn row_of(order: &NewOrder, at_ms: i64) -> OrderRow {
    let NewOrder {
        id,
        pack,
        title,
        demonstration,
        offline,
        folder,
        pack_sha256,
        spec,
        origin,
        project,
    } = order.clone();
    OrderRow {
        id,
        pack,
        title,
        demonstration,
        offline,
        folder,
        pack_sha256,
        spec,
        state: OrderState::Queued,
        created_ms: at_ms,
        ended_ms: None,
        deployment: None,
        origin,
        project,
    }
}

/// Verifies the bundle and puts its artifacts into their places; what is not placed is swept.
fn verify(home: &Home, request: &ImportRequest) -> Result<Verified, WorkshopError> {
    let folder = scratch(home);
    let result = unpack(&request.from, &folder).and_then(|unpacked| hold(home, &unpacked, request));
    let removed = objects::remove(&folder);
    let verified = result?;
    removed?;
    Ok(verified)
}

fn hold(
    home: &Home,
    unpacked: &Unpacked,
    request: &ImportRequest,
) -> Result<Verified, WorkshopError> {
    let trust = Trust {
        roots: request.keys.clone(),
        minimum: None,
    };
    let history = History::verify(unpacked.envelopes.clone(), &unpacked.checkpoint, &trust)
        .map_err(|problems| refused(&request.from, problems.iter().map(Problem::to_string)))?;
    let deployment = &unpacked.card.deployment;
    let chain = chain::verify(&history, deployment, &unpacked.pieces(), now_ms())
        .map_err(|denials| refused(&request.from, denials.iter().map(Denial::to_string)))?;
    let mut carried = order_of(&history, &unpacked.order, &unpacked.seal)
        .map_err(|problem| refused(&request.from, std::iter::once(problem)))?;
    tuned_there(&mut carried, &history, &chain);
    let mut strays = strays(&carried, &unpacked.objects, &history, &chain);
    if unpacked.card.name != chain.name {
        strays.push(format!(
            "{} is not the name that the chain is about",
            unpacked.card.name
        ));
    }
    let bom = format!("{:#}\n", ml_bom(&history, &chain));
    let (key, objects) = (&carried.model_key, &unpacked.objects);
    strays.extend(views::problems(&request.from, key, objects, &bom));
    if !strays.is_empty() {
        return Err(refused(&request.from, strays.into_iter()));
    }
    let mut sealed = BTreeMap::new();
    for object in &unpacked.objects {
        let copy = unpacked.artifacts().join(object.digest.to_string());
        let made = objects::place(home, &copy, object.manifest.clone())?;
        sealed.insert(made.digest, made);
    }
    let evidence = objects::seal(home, &unpacked.evidence())?;
    let digest = evidence.digest;
    sealed.insert(digest, evidence);
    Ok(Verified {
        carried,
        origin: history.origin().to_owned(),
        root_key: history.workshop().key.id,
        size: history.len(),
        root: history.root(),
        chain,
        sealed,
        evidence: digest,
    })
}

/// Where and by what an adapter was tuned is what the statement that travelled says, not this
/// machine and this engine.
fn tuned_there(carried: &mut Carried, history: &History, chain: &Chain) {
    for (link, adapter) in &chain.stages {
        let Some(said) = history.said::<Training>(link) else {
            continue;
        };
        let made = carried.steps.iter_mut();
        for step in made.filter(|step| step.artifact == *adapter) {
            let facts = &mut step.output.facts;
            facts.insert(stage::ENGINE.to_owned(), said.engine.clone().into());
            facts.insert(stage::MACHINE.to_owned(), said.machine.clone().into());
        }
    }
}

/// The order, if a key of the foreign ledger that may run orders stands behind it.
fn order_of(history: &History, order: &[u8], seal: &[u8]) -> Result<Carried, String> {
    let said = |error: &dyn std::fmt::Display| format!("{SEAL}: {error}");
    let envelope = Envelope::parse(seal).map_err(|error| said(&error))?;
    if envelope.payload_type() != SEAL_TYPE {
        return Err(said(&format!("it holds a {}", envelope.payload_type())));
    }
    let known = envelope.signers().find_map(|signer| {
        let key = history.key(&signer)?;
        (key.stands() && key.has(Role::Operator)).then_some(key)
    });
    let known = known.ok_or_else(|| said(&"no key of its ledger that may run orders signed it"))?;
    let public = PublicKey::from_base64(&known.record.public).map_err(|error| said(&error))?;
    envelope.verify(&public).map_err(|error| said(&error))?;
    let found = Digest::of(order).to_string();
    if envelope.payload() != found.as_bytes() {
        return Err(format!(
            "{ORDER} is altered: it hashes to {found}, which nobody signed"
        ));
    }
    serde_json::from_slice(order).map_err(|error| format!("{ORDER}: {error}"))
}

/// Steps whose artifact is not the one that the chain proves.
fn strays(
    carried: &Carried,
    objects: &[CardObject],
    history: &History,
    chain: &Chain,
) -> Vec<String> {
    let mut wrong = Vec::new();
    let read = chain.datasets.iter().filter_map(|link| {
        let said = history.said::<Dataset>(link)?;
        Some(said.file)
    });
    let read: Vec<Digest> = read.collect();
    let holds_read = |artifact: Digest| {
        let object = objects.iter().find(|object| object.digest == artifact);
        let files = object
            .into_iter()
            .flat_map(|object| object.manifest.files());
        files.into_iter().any(|file| read.contains(&file.sha256))
    };
    let mut stages = chain.stages.iter().map(|(_, adapter)| adapter);
    let wanted = carried_steps(&carried.order.spec);
    if carried.steps.len() != wanted.len() {
        wrong.push("it carries steps that its pack does not have".to_owned());
    }
    for name in wanted {
        let Some(step) = carried.steps.iter().find(|step| step.name == name) else {
            wrong.push(format!("the step {name} is missing"));
            continue;
        };
        let proved = match name {
            StepName::Model => step.artifact == chain.base_model,
            // In the order of the chain, whose last is the one that is served.
            StepName::Pretrain | StepName::Tune | StepName::Preference | StepName::Corrections => {
                stages.next() == Some(&step.artifact)
            }
            StepName::Prepare
            | StepName::PretrainPrepare
            | StepName::PreferencePrepare
            | StepName::CorrectionsPrepare => chain.dataset_artifacts.contains(&step.artifact),
            // The file that was read: the dataset's statement holds its digest.
            _ => holds_read(step.artifact),
        };
        if !proved {
            wrong.push(format!(
                "{} of the step {name} is not what the chain is about",
                step.artifact
            ));
        }
        if !objects.iter().any(|object| object.digest == step.artifact) {
            wrong.push(format!(
                "{} of the step {name} does not go along",
                step.artifact
            ));
        }
    }
    wrong
}

fn refused(from: &Path, problems: impl Iterator<Item = String>) -> WorkshopError {
    let problems: Vec<String> = problems.collect();
    WorkshopError::new(
        "bundle-refused",
        format!(
            "{} does not hold: {}",
            PathBuf::from(from).display(),
            problems.join("; ")
        ),
        "nothing of it was taken; tell the workshop it came from",
    )
}
