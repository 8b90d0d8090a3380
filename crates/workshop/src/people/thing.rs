//! What an address or an operation names, to which projects it belongs, and whether somebody may.
//!
//! A thing that somebody may not even read is hidden from them: they are told what they would be told if it
//! were not there. So is what really is not there, to whoever may not read everything: else the two could be
//! told apart.

use lathe_evidence::statement::Predicate;

use super::{COMMON, People, Reach, Right, Shown, reach};
use crate::error::WorkshopError;
use crate::store::Store;

/// Something that belongs to projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Thing {
    /// An order, by its id.
    Order(String),
    /// A dataset version or a model, by its digest.
    Artifact(String),
    /// A name under which a model answers.
    Name(String),
    /// An answer, by its receipt.
    Receipt(String),
    /// What was said of an answer, by its id.
    Feedback(String),
    /// A registration: by its number, by the name it is under, or by the order it came from.
    Registration(String),
    /// A key of the API, by its id.
    Token(String),
    /// A file of the API, by its id.
    File(String),
    /// A project, by its id.
    Project(String),
}

impl Thing {
    /// The right that shows that it is there.
    fn shown_by(&self) -> Right {
        match self {
            Thing::Token(_) => Right::Operate,
            Thing::Feedback(_) => Right::Records,
            Thing::File(_) => Right::Tune,
            Thing::Order(_)
            | Thing::Artifact(_)
            | Thing::Name(_)
            | Thing::Receipt(_)
            | Thing::Registration(_)
            | Thing::Project(_) => Right::Look,
        }
    }
}

/// Whether somebody may, and in which projects that was decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Judged {
    /// They may: by these projects of the thing; by their roles in the workshop where it is in none.
    Allowed(Vec<String>),
    /// They may read it in these projects, and not do this.
    Denied(Vec<String>),
    /// They may not know that it is there.
    Hidden,
}

impl People {
    /// Whether somebody may do something with a thing.
    ///
    /// # Errors
    /// `store`, `ledger-broken`.
    pub async fn judge(
        &self,
        reach: &Reach,
        right: Right,
        thing: &Thing,
    ) -> Result<Judged, WorkshopError> {
        let homes = self.homes(thing).await?;
        Ok(judge(reach, right, thing.shown_by(), homes))
    }

    /// Whether whoever this is done for may still do something with a thing, with the roles and the part in its
    /// projects that they have by now: asked again and again by what goes on for long.
    ///
    /// # Errors
    /// `store`, `ledger-broken`.
    pub async fn may_still(&self, right: Right, thing: &Thing) -> Result<bool, WorkshopError> {
        let Some(reach) = reach::now() else {
            return Ok(true);
        };
        let judged = self.judge(&reach.anew(), right, thing).await?;
        Ok(matches!(judged, Judged::Allowed(_)))
    }

    /// The projects that a thing belongs to; none where there is no such thing.
    ///
    /// # Errors
    /// `store`, `ledger-broken`.
    pub async fn homes(&self, thing: &Thing) -> Result<Vec<String>, WorkshopError> {
        let Some(store) = &self.inner.store else {
            return Ok(vec![COMMON.to_owned()]);
        };
        match thing {
            Thing::Order(id) => store.project_of_order(id).await,
            Thing::Artifact(id) | Thing::File(id) => store.homes(id).await,
            Thing::Name(name) => Ok(vec![self.project_of_name(name)]),
            Thing::Receipt(id) => store.project_of_receipt(id).await,
            Thing::Feedback(id) => store.project_of_feedback(id).await,
            Thing::Token(id) => store.project_of_token(id).await,
            Thing::Registration(what) => self.of_registration(store, what).await,
            Thing::Project(id) => Ok(self
                .project(id)
                .iter()
                .map(|it| it.row.id.clone())
                .collect()),
        }
    }

    /// The projects that each of these datasets and models belongs to, in their order.
    ///
    /// # Errors
    /// `store`.
    pub async fn homes_of(&self, digests: &[&str]) -> Result<Vec<Vec<String>>, WorkshopError> {
        match &self.inner.store {
            Some(store) => store.homes_of(digests).await,
            None => Ok(vec![vec![COMMON.to_owned()]; digests.len()]),
        }
    }

    async fn of_registration(
        &self,
        store: &Store,
        what: &str,
    ) -> Result<Vec<String>, WorkshopError> {
        let name = {
            let history = store.ledger()?.read().await;
            let said = || {
                let steps = history.of_kind("registration");
                steps.filter_map(|entry| match &entry.statement.predicate {
                    Predicate::Registration(said) => Some(said),
                    _ => None,
                })
            };
            // A number is one's own, and a model may be called like another's.
            let found = said().find(|it| it.number == what);
            let found = found.or_else(|| said().find(|it| it.name == what));
            found.map(|it| it.name.clone())
        };
        match name {
            Some(name) => Ok(vec![self.project_of_name(&name)]),
            None => store.project_of_order(what).await,
        }
    }
}

/// The judgement over a thing of these projects, which `shows` shows to be there.
fn judge(reach: &Reach, right: Right, shows: Right, homes: Vec<String>) -> Judged {
    let shown = reach.shown(shows);
    // Whoever sees nothing of its kind anywhere learns nothing of this one by being told so.
    if shown == Shown::Only(Vec::new()) {
        return Judged::Denied(Vec::new());
    }
    if homes.is_empty() {
        return match shown {
            Shown::Only(_) => Judged::Hidden,
            Shown::All if reach.may_here(right) => Judged::Allowed(Vec::new()),
            Shown::All => Judged::Denied(Vec::new()),
        };
    }
    let (seen, _): (Vec<String>, Vec<String>) =
        homes.into_iter().partition(|it| reach.may(shows, it));
    if seen.is_empty() {
        return Judged::Hidden;
    }
    let allowed = seen.iter().filter(|it| reach.may(right, it));
    match allowed.cloned().collect::<Vec<String>>() {
        none if none.is_empty() => Judged::Denied(seen),
        allowed => Judged::Allowed(allowed),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{Member, Person, PersonRole, PersonRow, ProjectRow};
    use super::*;
    use crate::testing::shop;

    fn person(roles: &[PersonRole], denied: &[Right]) -> Arc<Person> {
        Arc::new(Person {
            row: PersonRow {
                name: "anna".to_owned(),
                display: "Anna".to_owned(),
                origin: None,
                password: String::new(),
                roles: roles.to_vec(),
                denied: denied.to_vec(),
                created_ms: 1,
                password_ms: 1,
                disabled_ms: None,
            },
        })
    }

    /// Two projects beside the common one; Anna tunes in the ward and may ask nobody there.
    async fn two(people: &People) {
        for id in ["ward", "bank"] {
            let row = ProjectRow {
                id: id.to_owned(),
                name: id.to_owned(),
                created_ms: 1,
            };
            people.put_project(row).await.unwrap();
        }
        let member = Member {
            roles: vec![PersonRole::Tuner],
            denied: vec![Right::Ask],
            granted: Vec::new(),
        };
        write(people, member);
    }

    /// Without the store, which would want Anna to be let in first.
    fn write(people: &People, member: Member) {
        let mut all = super::super::write(&people.inner.projects);
        let mut ward = super::super::Project::clone(&all["ward"]);
        ward.members.insert("anna".to_owned(), member);
        all.insert("ward".to_owned(), Arc::new(ward));
    }

    #[tokio::test]
    async fn a_member_acts_in_their_project_and_knows_of_no_other() {
        let (_folder, shop) = shop().await;
        two(shop.people()).await;
        let reach = Reach::Person(person(&[], &[]), shop.people().clone());
        let of = |right, homes: &[&str]| {
            let homes = homes.iter().map(|it| (*it).to_owned()).collect();
            judge(&reach, right, Right::Look, homes)
        };
        let ward = || vec!["ward".to_owned()];
        assert_eq!(of(Right::Tune, &["ward"]), Judged::Allowed(ward()));
        assert_eq!(of(Right::Ask, &["ward"]), Judged::Denied(ward()));
        assert_eq!(of(Right::Approve, &["ward"]), Judged::Denied(ward()));
        assert_eq!(of(Right::Look, &["bank"]), Judged::Hidden);
        assert_eq!(of(Right::Look, &[COMMON]), Judged::Hidden);
        assert_eq!(of(Right::Look, &[]), Judged::Hidden);
        // What is shown by a right that she has nowhere is denied, whether it is there or not.
        for homes in [&["ward"][..], &["bank"], &[]] {
            let homes = homes.iter().map(|it| (*it).to_owned()).collect();
            let judged = judge(&reach, Right::Operate, Right::Operate, homes);
            assert_eq!(judged, Judged::Denied(Vec::new()));
        }
        // What was made in several is reached by any of them.
        assert_eq!(of(Right::Tune, &["bank", "ward"]), Judged::Allowed(ward()));
        assert_eq!(reach.shown(Right::Tune), Shown::Only(ward()));
        assert!(reach.may_anywhere(Right::Tune) && !reach.may_here(Right::Tune));
        assert!(reach.may_name(Right::Tune, "ward.care") && !reach.may_name(Right::Tune, "care"));
        shop.stop().await;
    }

    #[tokio::test]
    async fn roles_of_the_workshop_reach_every_project_but_where_one_denies() {
        let (_folder, shop) = shop().await;
        two(shop.people()).await;
        let tuner = person(&[PersonRole::Tuner], &[]);
        let reach = Reach::Person(tuner, shop.people().clone());
        let may = |project| reach.may(Right::Ask, project);
        assert!(may(COMMON) && may("bank") && !may("ward"));
        assert_eq!(reach.shown(Right::Look), Shown::All);
        let asks = reach.shown(Right::Ask);
        assert!(asks.has("bank") && !asks.has("ward"));
        let denied = person(&[PersonRole::Tuner], &[Right::Tune]);
        let reach = Reach::Person(denied, shop.people().clone());
        assert!(
            !reach.may(Right::Tune, "ward"),
            "the workshop's denial wins"
        );
        shop.stop().await;
    }

    #[tokio::test]
    async fn a_key_of_a_project_reaches_that_one() {
        let (_folder, shop) = shop().await;
        two(shop.people()).await;
        let reach = Reach::Key("ward".to_owned(), shop.people().clone());
        assert!(reach.may(Right::Operate, "ward") && !reach.may(Right::Look, COMMON));
        assert!(!reach.may_here(Right::Look));
        let unknown = judge(&reach, Right::Look, Right::Look, Vec::new());
        assert_eq!(unknown, Judged::Hidden);
        shop.stop().await;
    }
}
